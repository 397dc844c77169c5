// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package simulate runs a fleet of pods in virtual time, each keeping one token fresh by a Rule, and measures what that
// asks of the issuer. The rule of renewd is the code of daemon/schedule itself.
//
// It has no clock and does no I/O; equal arguments give equal results. Limits: the issuer answers at once, refuses at once
// while it is out or above its capacity, and never says Retry-After. Pods start once and never stop.
package simulate

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/renewd/renewd/daemon/schedule"
)

// Fleet is what is simulated, whatever the rule.
type Fleet struct {
	Pods     int           // from 1 to ten million
	Life     time.Duration // of every token; from a second to 30 days
	Wave     time.Duration // the pods start at random moments within this time; 0: all at once
	Length   time.Duration // of the simulation; 0: long enough; at most a year
	Outages  []Outage      // in any order; those that overlap are one
	Anytime  time.Duration // instead of Outages: an outage of this length at any moment of a life; 0: none
	Capacity float64       // requests a second that the issuer serves, refusing the others; 0: all of them
	Seed     uint64        // of all that is random
}

// Outage is a time in which the issuer refuses every request.
type Outage struct {
	Start, Length time.Duration // from the start of the simulation
}

// A fleet is settled after three lives, counted from the end of a start that takes longer than one: what the start did to it
// is over, or will never be. Anytime is one outage at each of twelve moments spread over the fifth life, so that a rule which
// keeps a fleet in step is not saved, or damned, by the moment.
const (
	settled = 3
	anytime = 4
	moments = 12
)

// Result is what one rule did to the fleet and to the issuer. Loads are requests a second. With Anytime the peaks and the
// recovery are the worst, Without is the mean, and Load and Outages are of the moment with the highest OutagePeak.
type Result struct {
	Rule    string
	Load    []uint32 // requests in each second, the refused ones included
	Outages []Outage // by start, without overlaps

	Mean       float64       // of a settled fleet before the first outage: pods / mean time between refreshes; 0: not known
	SteadyPeak float64       // the busiest second of that time
	OutagePeak float64       // the busiest second of an outage
	AfterPeak  float64       // the busiest second of the life that follows an outage
	Without    float64       // seconds without a valid token for each pod, from its first token on
	Recovery   time.Duration // the longest time from the end of an outage until no pod's last attempt had failed
	Recovered  bool          // false: a pod was still failing when the simulation, or the time to the next outage, was over
	Unserved   int           // pods that never got a first token
	Requests   uint64        // all that were simulated
}

// Ideal returns the load of a fleet that asks exactly once a life, evenly, in requests a second.
func (f Fleet) Ideal() float64 { return float64(f.Pods) / f.Life.Seconds() }

// Run simulates the fleet under one rule. An error says what is wrong with the fleet. Runs may be concurrent.
func Run(f Fleet, r Rule) (Result, error) {
	if f.Length == 0 {
		f.Length = f.enough()
	}
	if err := f.check(); err != nil {
		return Result{}, err
	}
	e := newEngine(f, r)
	if f.Anytime == 0 {
		e.place(f.Outages)
		e.run(f.Length)
		return e.measure(), nil
	}
	e.place(nil)
	var results []Result
	for i := range moments {
		o := Outage{f.started() + anytime*f.Life + f.Life*time.Duration(i)/moments, f.Anytime}
		e.run(o.Start)
		branch := e.branch()
		branch.place([]Outage{o})
		branch.run(min(f.Length, o.Start+o.Length+f.Life))
		results = append(results, branch.measure())
	}
	return merge(results), nil
}

// started returns the moment that lives are counted from.
func (f Fleet) started() time.Duration {
	if f.Wave <= f.Life {
		return 0
	}
	return f.Wave
}

// enough returns a length that shows all that Result speaks of.
func (f Fleet) enough() time.Duration {
	length := f.started() + 2*anytime*f.Life
	for _, o := range f.Outages {
		length = max(length, o.Start+o.Length+2*f.Life)
	}
	return length + f.Anytime
}

// check says what is wrong with a fleet whose length is known.
func (f Fleet) check() error {
	const day = 24 * time.Hour
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		for i, arg := range args {
			if d, ok := arg.(time.Duration); ok {
				args[i] = schedule.FormatDuration(d)
			}
		}
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(f.Pods < 1 || f.Pods > 10_000_000, "%d pods: from 1 to ten million", f.Pods)
	refuse(f.Life < time.Second || f.Life > 30*day, "a life of %v: from a second to 30 days", f.Life)
	refuse(f.Length < time.Second || f.Length > 366*day, "a length of %v: from a second to a year", f.Length)
	refuse(f.Wave < 0 || f.Wave > 366*day, "a wave of %v: up to a year", f.Wave)
	refuse(f.Wave > f.Length, "a wave of %v is longer than the simulation, %v", f.Wave, f.Length)
	refuse(!(f.Capacity >= 0) || math.IsInf(f.Capacity, 0), "a capacity of %v requests a second", f.Capacity)
	refuse(f.Anytime < 0 || f.Anytime > 30*day, "an outage of %v: up to 30 days", f.Anytime)
	least := f.started() + (anytime+2)*f.Life + f.Anytime
	refuse(f.Anytime > 0 && f.Length < least, "an outage at any moment needs a length of %v", least)
	for _, o := range f.Outages {
		refuse(f.Anytime > 0, "an outage at %v and one at any moment exclude each other", o.Start)
		refuse(o.Length <= 0, "an outage of %v has no length", o.Length)
		refuse(o.Start < 0 || o.Start > f.Length, "an outage at %v is outside of the simulation", o.Start)
	}
	return errors.Join(errs...)
}

// Recommend returns p with the latest window under which no pod of the fleet is ever without a valid token with an outage of
// this length as Anytime: the later the window, the smaller the load. The window keeps its width, its edges are whole
// percents, and p.Outage becomes 0, because the window now says it all. What else p demands stays: a window that Keep,
// Before or Interval would move is not recommended. The fleet's own outages and length do not count. It is false if no window
// survives that ends after 20 % of the life, or where Interval demands it.
func Recommend(f Fleet, p schedule.Policy, outage time.Duration) (schedule.Policy, bool, error) {
	f.Outages, f.Anytime, f.Length = nil, outage, 0
	p.Outage = 0
	if outage >= f.Life {
		return p, false, nil // nothing lives that long
	}
	width := math.Round(100 * (p.AtEnd - p.AtStart))
	var best schedule.Policy
	found := false
	// What ends later never survives what an earlier window does not, and none does that an outage outlasts from its last
	// moment on. The last survivor is near that one, unless the issuer is slow to serve all: so the steps grow from there.
	latest := latestEnd(p, f.Life)
	survivor, lost := min(20, latest)-1, min(latest, percent(f.Life-outage, f.Life))+1
	for step := 1; survivor+1 < lost; step *= 2 {
		end := max(lost-step, (survivor+lost)/2)
		earliest := float64(max(1, min(10, end/2)))
		p.AtStart, p.AtEnd = max(earliest, float64(end)-width)/100, float64(end)/100
		result, err := Run(f, Of("", p))
		if err != nil {
			return best, false, err
		}
		if result.Without > 0 || result.Unserved > 0 {
			lost = end
			continue
		}
		best, found, survivor = p, true, end
	}
	return best, found, nil
}

// latestEnd returns the last percent of a life at which a window can end without being moved by anything else that p says.
func latestEnd(p schedule.Policy, life time.Duration) int {
	p.AtStart, p.AtEnd = 0.99, 0.99
	l := schedule.Life{Issued: at(0), Expires: at(int64(life))}
	return max(1, percent(p.Window(l).End.Sub(l.Issued), life))
}

// percent returns a part of a life as a window counts it. A hundredth that is a little less than itself counts as itself.
func percent(part, life time.Duration) int {
	return int(100*part.Seconds()/min(life, schedule.LongestLife).Seconds() + 1e-6)
}
