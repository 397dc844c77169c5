// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// pictures returns the pictures by their paths below the module.
func (s *study) pictures() map[string]string {
	return map[string]string{
		"docs/tuning/life.svg":    s.life(),
		"docs/tuning/fleet.svg":   s.fleet(),
		"docs/tuning/spread.svg":  s.spread(),
		"docs/tuning/outages.svg": s.prices(),
	}
}

// life draws one-hour tokens under three schedules, as `renewd plan` gives them.
func (s *study) life() string {
	d := drawing{width: 760, height: 388, title: "The life of a one-hour token under three schedules",
		desc: "Three bars from issue to expiry. By default the token is refreshed between 42 and 48 minutes; with outage: 20m between 32 and 38; " +
			"with keep: 15m between 39 and 45. What follows the window up to the promise to readers is the outage that is survived."}
	const left, width, bar = 30.0, 700.0, 26.0
	d.legend(left, 24, []mark{{"first", "first refresh after a start"}, {"window", "every later refresh"},
		{"retry", "time for an outage"}, {"promise", "promised to readers"}})
	for i, row := range []struct{ refresh, label string }{
		{"", "the default"}, {"outage: 20m", "outage: 20m – the window moves earlier"}, {"keep: 15m", "keep: 15m – readers that cache for long"},
	} {
		p := s.plan(question{refresh: row.refresh, life: time.Hour})
		y := 84 + 106*float64(i)
		x := func(at time.Duration) float64 { return left + width*at.Minutes()/p.life.Minutes() }
		box := func(class string, from, to time.Duration, top, height float64) {
			d.printf(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, class, x(from), top, max(0, x(to)-x(from)), height)
		}
		d.text("strong", left, y-10, "start", row.label)
		box("rest", 0, p.life, y, bar)
		box("first", p.first, p.end, y+bar-7, 7)
		box("window", p.start, p.end, y, bar-7)
		box("retry", p.end, p.promise, y, bar)
		box("promise", p.promise, p.life, y, bar)
		times := []time.Duration{0, p.first, p.start, p.end}
		if p.promise > p.end && p.life-p.promise > 5*time.Minute { // else its label would lie on another one
			times = append(times, p.promise)
		}
		for _, at := range times {
			d.text("muted", x(at), y+bar+18, "middle", short(at))
		}
		d.text("muted", x(p.life), y+bar+18, "middle", short(p.life))
		if survived := p.promise - p.end; survived > 0 {
			d.text("label", (x(p.end)+x(p.promise))/2, y+bar/2+5, "middle", short(survived))
		}
	}
	return d.String()
}

// fleet draws what four rules ask of an issuer around an outage.
func (s *study) fleet() string {
	loads := s.minutes(question{life: time.Hour, flags: []string{"--outage-at", "4h+10m"}})
	d := drawing{width: 760, height: 572, title: "What 20,000 pods ask of their issuer around an outage of ten minutes",
		desc: "The busiest second of each minute from hour 3 to hour 6, in multiples of the even load, on a logarithmic scale. renewd asks evenly and " +
			"somewhat more often in the outage; the other three rules come in waves that the outage makes far higher. The busiest seconds:"}
	d.text("muted", 20, 24, "start", "busiest second of each minute, in multiples of pods / life (logarithmic); shaded: the issuer is out")
	for i, rule := range []string{"renewd: 70-80 %", "fixed 80 %", "kubelet: 80 % less up to 10 s", "Istio: 50 % ± 1 %"} {
		if s.err == nil && len(loads[rule]) < 360 {
			s.err = fmt.Errorf("the CSV has no six hours of %q", rule)
		}
		if s.err != nil {
			return ""
		}
		d.desc += fmt.Sprintf(" %s: %.0f.", rule, slices.Max(loads[rule][180:360]))
		d.panel(panel{top: 46 + 130*float64(i), label: rule, load: loads[rule], from: 180, to: 360, most: 500, outage: [2]int{240, 250}, peer: i > 0})
	}
	return d.String()
}

// spread draws the hours after a start with and without the key.
func (s *study) spread() string {
	d := drawing{width: 760, height: 312, title: "Six hours after 20,000 pods have started within a minute",
		desc: "The busiest second of each minute in multiples of the even load, on a logarithmic scale. With spread: true the load is even from the first " +
			"hour on. With spread: false it comes in waves of about ten times that load, which need hours to flatten."}
	d.text("muted", 20, 24, "start", "busiest second of each minute, in multiples of pods / life (logarithmic)")
	for i, key := range []string{"spread: true", "spread: false"} {
		loads := s.minutes(question{refresh: key, life: time.Hour, flags: []string{"--outage-at", "none", "--hours", "6"}})
		d.panel(panel{top: 46 + 130*float64(i), label: key, load: loads["renewd: 70-80 %"], from: 0, to: 360, most: 100, peer: i > 0})
	}
	return d.String()
}

// prices draws the load over the outage to survive.
func (s *study) prices() string {
	d := drawing{width: 760, height: 372, title: "What it costs to survive an outage with one-hour tokens",
		desc: "The load in multiples of the even one over the key outage, from 10 to 45 minutes, on a logarithmic scale: the mean rises slowly to 30 minutes " +
			"and fast from there on, and so do the busiest second of every day and that of an outage."}
	const left, top, width, height, most = 60.0, 60.0, 660.0, 250.0, 100.0
	x := func(minutes int) float64 { return left + width*float64(minutes-10)/35 }
	y := func(load float64) float64 { return top + height*(1-math.Log(load)/math.Log(most)) }
	for _, n := range []float64{1, 3, 10, 30, 100} {
		d.printf(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, left, y(n), left+width)
		d.text("muted", left-8, y(n)+4, "end", fmt.Sprintf("%v×", n))
	}
	var lines [3]string
	names := []mark{{"line", "mean"}, {"line busy", "busiest second"}, {"line alarm", "busiest second in such an outage"}}
	for minutes := 10; minutes <= 45; minutes += 5 {
		length := strconv.Itoa(minutes) + "m"
		a := s.renewd(question{refresh: "outage: " + length, life: time.Hour, flags: []string{"--outage-at", "any+" + length}})
		d.text("muted", x(minutes), top+height+20, "middle", length)
		for i, text := range []string{a.mean, a.steady, a.outage} {
			load, err := strconv.ParseFloat(text, 64)
			if err != nil && s.err == nil {
				s.err = fmt.Errorf("a load of %q: %w", text, err)
			}
			if s.err != nil {
				return ""
			}
			lines[i] += fmt.Sprintf("%.1f,%.1f ", x(minutes), y(load))
			if minutes%10 == 0 {
				d.text("label", x(minutes), y(load)-8, "middle", text)
			}
		}
	}
	for i, points := range lines {
		d.printf(`<polyline class="%s" points="%s"/>`, names[i].class, points)
	}
	d.legend(left, 24, names)
	d.text("muted", left+width/2, top+height+46, "middle", "refresh.outage")
	return d.String()
}
