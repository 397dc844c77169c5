// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package simulate

import (
	"slices"
	"time"
)

// measure reads the result off a fleet whose time is over, and ends it: the tokens that are over count as lacking.
func (e *engine) measure() Result {
	over := time.Duration(e.now) * time.Second
	r := Result{
		Rule: e.rule.Name, Load: e.load[:e.now], Outages: e.outages,
		SteadyPeak: e.peak(e.steady[0], min(e.steady[1], over)),
		Recovered:  true,
	}
	if e.intervals.count > 0 {
		r.Mean = float64(e.Pods) * e.intervals.count / e.intervals.sum
	}
	for i, o := range e.outages {
		next := over
		if i+1 < len(e.outages) {
			next = e.outages[i+1].Start
		}
		r.OutagePeak = max(r.OutagePeak, e.peak(o.Start, o.end()))
		r.AfterPeak = max(r.AfterPeak, e.peak(o.end(), min(o.end()+e.Life, next)))
		if e.calm[i] == none || e.calm[i] > next {
			r.Recovered = false
			continue
		}
		r.Recovery = max(r.Recovery, e.calm[i]-o.end())
	}
	for _, pods := range e.seconds {
		for _, p := range pods {
			e.lack(p, int64(over))
			if p.issued == none {
				r.Unserved++
			}
		}
	}
	r.Without = e.without / float64(e.Pods)
	for _, n := range r.Load {
		r.Requests += uint64(n)
	}
	return r
}

// peak returns the requests of the busiest second that lies wholly within a time.
func (e *engine) peak(from, to time.Duration) float64 {
	first, after := min(wholeSeconds(from), e.now), min(int(to/time.Second), e.now)
	if first >= after {
		return 0
	}
	return float64(slices.Max(e.load[first:after]))
}

// merge makes one result of those of an outage at several moments.
func merge(results []Result) Result {
	r := slices.MaxFunc(results, func(a, b Result) int { return int(a.OutagePeak - b.OutagePeak) })
	r.Mean, r.Without, r.Requests = 0, 0, 0
	for _, one := range results {
		r.Mean += one.Mean / float64(len(results))
		r.SteadyPeak = max(r.SteadyPeak, one.SteadyPeak)
		r.AfterPeak = max(r.AfterPeak, one.AfterPeak)
		r.Without += one.Without / float64(len(results))
		r.Recovery = max(r.Recovery, one.Recovery)
		r.Recovered = r.Recovered && one.Recovered
		r.Unserved = max(r.Unserved, one.Unserved)
		r.Requests += one.Requests
	}
	return r
}
