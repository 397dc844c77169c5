// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package simulate

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"github.com/renewd/renewd/daemon/schedule"
)

// pod is one pod: small, for there are millions. Times are nanoseconds of simulation.
type pod struct {
	due    int64 // of its next attempt
	issued int64 // of its token; none: it has no token yet
	fails  uint16
	first  bool // its token is the first one
}

const none = -1

// engine is a fleet at one moment. Each pod waits for exactly one attempt, in the list of the second in which it is due.
// The lists hold the pods themselves: a million pods are then read and written in the order of memory.
type engine struct {
	Fleet
	rule    Rule
	source  *rand.PCG
	random  *rand.Rand // over source
	now     int        // the second that comes next
	seconds [][]pod    // the last one is the time after the simulation
	load    []uint32
	credit  float64 // requests that the issuer still serves in this second

	outages   []Outage                     // by start, without overlaps
	calm      []time.Duration              // for each outage: when no pod was failing any more; none: not yet
	steady    [2]time.Duration             // from when to when the fleet is settled and the issuer works
	intervals struct{ sum, count float64 } // between the refreshes of that time, in seconds
	failing   int                          // pods whose last attempt failed
	without   float64                      // seconds
}

func newEngine(f Fleet, r Rule) *engine {
	source := rand.NewPCG(f.Seed, 0)
	e := &engine{
		Fleet: f, rule: r, source: source, random: rand.New(source),
		seconds: make([][]pod, wholeSeconds(f.Length)+1),
		load:    make([]uint32, wholeSeconds(f.Length)),
	}
	for range f.Pods {
		e.enter(pod{due: e.random.Int64N(int64(e.Wave) + 1), issued: none})
	}
	return e
}

// branch returns a copy that goes on without its origin.
func (e *engine) branch() *engine {
	c, source := *e, *e.source
	c.source, c.random = &source, rand.New(&source)
	c.seconds, c.load = make([][]pod, len(e.seconds)), slices.Clone(e.load)
	for second, pods := range e.seconds {
		c.seconds[second] = slices.Clone(pods)
	}
	return &c
}

// wholeSeconds counts a second that has begun as a whole one.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// place says when the issuer is out. What overlaps is joined.
func (e *engine) place(outages []Outage) {
	e.outages = nil
	outages = slices.Clone(outages)
	sort.Slice(outages, func(i, j int) bool { return outages[i].Start < outages[j].Start })
	for _, o := range outages {
		if n := len(e.outages); n > 0 && o.Start <= e.outages[n-1].end() {
			e.outages[n-1].Length = max(e.outages[n-1].end(), o.end()) - e.outages[n-1].Start
			continue
		}
		e.outages = append(e.outages, o)
	}
	e.calm = slices.Repeat([]time.Duration{none}, len(e.outages))
	e.steady = [2]time.Duration{e.started() + settled*e.Life, e.Length}
	if len(e.outages) > 0 {
		e.steady[1] = e.outages[0].Start
	}
	e.steady[0] = min(e.steady[0], e.steady[1]/2)
}

func (o Outage) end() time.Duration { return o.Start + o.Length }

// enter puts a pod into the list of the second in which it is due.
func (e *engine) enter(p pod) {
	second := min(int(p.due/int64(time.Second)), len(e.seconds)-1)
	e.seconds[second] = append(e.seconds[second], p)
}

// leave takes all pods out of the list of a second. Where not all are served they are sorted: first come, first served.
func (e *engine) leave(second int) []pod {
	due := e.seconds[second]
	e.seconds[second] = nil
	if e.Capacity > 0 {
		slices.SortStableFunc(due, func(a, b pod) int { return cmp.Compare(a.due, b.due) })
	}
	return due
}

// run goes on until a moment, or the end of the simulation.
func (e *engine) run(until time.Duration) {
	for ; e.now < min(wholeSeconds(until), len(e.load)); e.now++ {
		e.credit = min(e.credit+e.Capacity, max(1, e.Capacity))
		// An attempt may bring another one within the same second.
		for len(e.seconds[e.now]) > 0 {
			for _, p := range e.leave(e.now) {
				e.attempt(p)
			}
		}
		for i, o := range e.outages {
			if after := time.Duration(e.now+1) * time.Second; e.failing == 0 && e.calm[i] == none && after >= o.end() {
				e.calm[i] = after
			}
		}
	}
}

// attempt lets a pod ask, and lets the rule say when it asks again.
func (e *engine) attempt(p pod) {
	now := p.due
	e.load[e.now]++
	if !e.serves(time.Duration(now)) {
		if p.fails == 0 {
			e.failing++
		}
		p.fails = min(p.fails, math.MaxUint16-1) + 1
		p.due += int64(e.rule.Retry(at(now), e.life(p), schedule.Failing{Count: int(p.fails)}, e.random.Float64()))
		e.enter(p)
		return
	}
	if p.fails > 0 {
		e.failing--
	}
	e.lack(p, now)
	if t := time.Duration(now); p.issued != none && t >= e.steady[0] && t < e.steady[1] {
		e.intervals.sum += time.Duration(now - p.issued).Seconds()
		e.intervals.count++
	}
	p.first, p.issued, p.fails = p.issued == none, now, 0
	p.due += int64(e.rule.Refresh(at(now), e.life(p), e.random.Float64()))
	e.enter(p)
}

// lack counts the time for which a pod's token has been over at a moment.
func (e *engine) lack(p pod, now int64) {
	if p.issued != none {
		e.without += max(0, time.Duration(now-p.issued)-e.Life).Seconds()
	}
}

// serves reports whether the issuer serves one more request.
func (e *engine) serves(now time.Duration) bool {
	for _, o := range e.outages {
		if now >= o.Start && now < o.end() {
			return false
		}
	}
	if e.Capacity > 0 {
		if e.credit < 1 {
			return false
		}
		e.credit--
	}
	return true
}

// life returns the life of a pod's token as a rule is shown it.
func (e *engine) life(p pod) schedule.Life {
	if p.issued == none {
		return schedule.Life{}
	}
	return schedule.Life{Issued: at(p.issued), Expires: at(p.issued + int64(e.Life)), First: p.first}
}

// at returns a moment of the simulation on the clock that a rule is shown.
func at(now int64) time.Time { return time.Unix(0, now) }
