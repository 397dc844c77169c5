// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"fmt"
	"strings"
	"time"
)

// table is a table of the document.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	var text strings.Builder
	line := func(cells []string) { fmt.Fprintf(&text, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	text.WriteString(strings.Repeat("|---", len(t.head)) + "|\n")
	for _, cells := range t.rows {
		line(cells)
	}
	return text.String()
}

// tables returns the tables of the document by their names.
func (s *study) tables() map[string]string {
	return map[string]string{
		"lives":     s.lives(),
		"outages":   s.outages(),
		"capacity":  s.capacity(),
		"windows":   s.windows(),
		"intervals": s.intervals(),
		"others":    s.others(),
	}
}

// lives shows what the default schedule makes of a lifetime.
func (s *study) lives() string {
	t := table{head: []string{"tokens live", "refreshed between", "readers have", "outage survived by readers", "by the token", "requests a second", "in an outage of a sixth"}}
	for _, life := range []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 8 * time.Hour, 24 * time.Hour} {
		q := question{life: life}
		p := s.plan(q)
		q.flags = []string{"--outage-at", "any+" + (life / 6).String()}
		a := s.renewd(q)
		t.add(short(life), short(p.start)+" – "+short(p.end), short(life-p.promise), short(p.promise-p.end), short(life-p.end), q.requests(a.mean), q.requests(a.outage))
	}
	return t.String()
}

// outages shows what an outage to survive costs.
func (s *study) outages() string {
	t := table{head: []string{"`outage`", "refreshed between", "mean", "busiest second", "in such an outage", "after it", "seconds without a token, per pod"}}
	for _, o := range []string{"10m", "15m", "20m", "30m", "40m", "50m"} {
		q := question{refresh: "outage: " + o, life: time.Hour, flags: []string{"--outage-at", "any+" + o}}
		p, a := s.plan(q), s.renewd(q)
		t.add("`"+o+"`", short(p.start)+" – "+short(p.end), a.mean+"×", a.steady+"×", a.outage+"×", a.after+"×", a.without)
	}
	return t.String()
}

// capacity shows how much an issuer must serve.
func (s *study) capacity() string {
	t := table{head: []string{"the issuer serves", "asked at most", "seconds without a token, per pod", "calm again after"}}
	for _, multiple := range []float64{1.5, 2, 3, 5, 10} {
		q := question{life: time.Hour}
		q.flags = []string{"--capacity", fmt.Sprintf("%.2f", multiple*pods/q.life.Seconds())}
		a := s.renewd(q)
		t.add(fmt.Sprintf("%v×", multiple), a.outage+"×", a.without, a.recovered)
	}
	return t.String()
}

// windows shows what the width of the window does.
func (s *study) windows() string {
	t := table{head: []string{"`at`", "mean", "busiest second", "in an outage of ten minutes", "after it"}}
	for _, at := range []string{"80%", "75%-80%", "70%-80%", "60%-80%", "50%-80%"} {
		a := s.renewd(question{refresh: "at: " + at, life: time.Hour})
		t.add("`"+at+"`", a.mean+"×", a.steady+"×", a.outage+"×", a.after+"×")
	}
	return t.String()
}

// intervals shows what asking more often costs.
func (s *study) intervals() string {
	t := table{head: []string{"`interval`", "refreshed between", "mean", "busiest second", "in an outage of ten minutes"}}
	for _, every := range []string{"0s", "30m", "10m", "5m"} {
		q := question{refresh: "interval: " + every, life: time.Hour}
		p, a := s.plan(q), s.renewd(q)
		t.add("`"+every+"`", short(p.start)+" – "+short(p.end), a.mean+"×", a.steady+"×", a.outage+"×")
	}
	return t.String()
}

// others shows what other rules do to the same issuer.
func (s *study) others() string {
	t := table{head: []string{"rule", "mean", "busiest second", "in an outage of ten minutes", "after it", "seconds without a token, per pod"}}
	for _, a := range s.simulate(question{life: time.Hour}) {
		t.add(a.rule, a.mean+"×", a.steady+"×", a.outage+"×", a.after+"×", a.without)
	}
	return t.String()
}

// fill puts the tables between their marks: `<!-- table NAME -->` and `<!-- end -->`.
func fill(document string, tables map[string]string) (string, error) {
	const end = "<!-- end -->"
	for name, text := range tables {
		mark := "<!-- table " + name + " -->\n"
		head, rest, begins := strings.Cut(document, mark)
		_, tail, ends := strings.Cut(rest, end)
		if !begins || !ends {
			return "", fmt.Errorf("the document has no place for the table %s", name)
		}
		document = head + mark + "\n" + text + "\n" + end + tail
	}
	return document, nil
}
