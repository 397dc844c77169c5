// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package simulate

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon/schedule"
)

// every is a rule that can be followed with a pencil.
func every(refresh, retry time.Duration) Rule {
	return Rule{
		Refresh: func(time.Time, schedule.Life, float64) time.Duration { return refresh },
		Retry:   func(time.Time, schedule.Life, schedule.Failing, float64) time.Duration { return retry },
	}
}

func run(t *testing.T, f Fleet, r Rule) Result {
	t.Helper()
	result, err := Run(f, r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// Pods that start at once and refresh at fixed ages can be counted by hand.
func TestClosedForms(t *testing.T) {
	const pods = 100
	outage := func(start, length time.Duration) []Outage { return []Outage{{start, length}} }
	for _, c := range []struct {
		name           string
		outages        []Outage
		capacity       float64
		refresh, retry time.Duration
		requests       uint64
		mean, without  float64
		outPeak, after float64
		recovery       time.Duration
		neverRecovers  bool
		peak, unserved int
	}{
		{name: "no outage: at 0, 45, … 765 s", refresh: 45 * time.Second, retry: time.Second, requests: 18 * pods, mean: pods / 45.0, peak: pods},
		{name: "between two refreshes", outages: outage(226*time.Second, 40*time.Second), refresh: 45 * time.Second, retry: time.Second,
			requests: 18 * pods, mean: pods / 45.0, after: pods, peak: pods},
		{name: "survived: due at 225, again at 231 and 237", outages: outage(220*time.Second, 15*time.Second), refresh: 45 * time.Second, retry: 6 * time.Second,
			requests: (5 + 3 + 12) * pods, mean: pods / 45.0, outPeak: pods, after: pods, recovery: 3 * time.Second, peak: pods},
		{name: "expired at 240, back at 245", outages: outage(220*time.Second, 20*time.Second), refresh: 45 * time.Second, retry: 20 * time.Second,
			requests: (5 + 2 + 12) * pods, mean: pods / 45.0, without: 5, outPeak: pods, after: pods, recovery: 6 * time.Second, peak: pods},
		{name: "one every second, but never in the end", outages: outage(220*time.Second, 580*time.Second), refresh: 45 * time.Second, retry: 100 * time.Second,
			requests: (5 + 6) * pods, mean: pods / 45.0, without: 560, outPeak: pods, neverRecovers: true, peak: pods},
		{name: "two that touch are one", outages: []Outage{{230 * time.Second, 5 * time.Second}, {220 * time.Second, 10 * time.Second}},
			refresh: 45 * time.Second, retry: 6 * time.Second,
			requests: (5 + 3 + 12) * pods, mean: pods / 45.0, outPeak: pods, after: pods, recovery: 3 * time.Second, peak: pods},
		{name: "two that do not", outages: []Outage{{220 * time.Second, 10 * time.Second}, {270 * time.Second, 10 * time.Second}},
			refresh: 45 * time.Second, retry: 6 * time.Second,
			requests: (5 + 2 + 2 + 11) * pods, mean: pods / 45.0, outPeak: pods, after: pods, recovery: 3 * time.Second, peak: pods},
		{name: "never a first token", outages: outage(0, 800*time.Second), refresh: 45 * time.Second, retry: 8 * time.Second,
			requests: 100 * pods, outPeak: pods, neverRecovers: true, peak: pods, unserved: pods},
		{name: "ten a second: the start takes ten seconds, and then nobody meets", capacity: 10, refresh: 45 * time.Second, retry: time.Second,
			requests: 10*55 + 17*pods, mean: pods / 45.0, peak: pods},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Fleet{Pods: pods, Life: time.Minute, Length: 800 * time.Second, Outages: c.outages, Capacity: c.capacity}
			got := run(t, f, every(c.refresh, c.retry))
			if got.Requests != c.requests || math.Abs(got.Mean-c.mean) > 1e-9 || math.Abs(got.Without-c.without) > 1e-9 ||
				got.OutagePeak != c.outPeak || got.AfterPeak != c.after || got.Recovery != c.recovery ||
				got.Recovered == c.neverRecovers || got.Unserved != c.unserved {
				t.Errorf("%+v", brief(got))
			}
			peak := 0
			for _, n := range got.Load {
				peak = max(peak, int(n))
			}
			if peak != c.peak {
				t.Errorf("peak %d, want %d", peak, c.peak)
			}
		})
	}
}

// A start that takes ten lives is over before anything is measured: every pod fails every second at the end of the outage.
func TestALongStartIsOverBeforeTheOutage(t *testing.T) {
	f := Fleet{Pods: 100, Life: time.Minute, Wave: 10 * time.Minute, Anytime: 50 * time.Second}
	got := run(t, f, every(45*time.Second, time.Second))
	if got.OutagePeak != 100 || got.Unserved != 0 || math.Abs(got.Mean-100/45.0) > 1e-9 {
		t.Errorf("%+v", brief(got))
	}
}

func brief(r Result) Result {
	r.Load = nil
	return r
}

// Without an outage the load follows from the mean age at which a rule refreshes.
func TestMeanLoadOfTheRules(t *testing.T) {
	const life = 3600.0
	ages := []float64{0.75 * life, 0.8 * life, 0.8*life - 5, 0.5 * life, life - 300, life - 10}
	f := Fleet{Pods: 2000, Life: time.Hour, Wave: time.Minute, Seed: 1}
	for i, r := range append([]Rule{Of("renewd", schedule.Default())}, Peers()...) {
		got := run(t, f, r)
		if want := float64(f.Pods) / ages[i]; math.Abs(got.Mean/want-1) > 0.002 || got.Without != 0 || got.Unserved != 0 {
			t.Errorf("%s: mean %.4f, want %.4f; %+v", r.Name, got.Mean, want, brief(got))
		}
	}
}

// What is claimed of this schedule and of others for a fleet of one-hour tokens and an outage of ten minutes, in multiples of
// pods / life.
func TestFleetKeepsWithinItsFigures(t *testing.T) {
	type span struct{ low, high float64 }
	f := Fleet{Pods: 20_000, Life: time.Hour, Wave: time.Minute, Anytime: 10 * time.Minute, Seed: 7}
	want := []struct{ steady, outage, after, without span }{
		{span{1, 4}, span{8, 15}, span{8, 18}, span{0, 0}},
		{span{60, 80}, span{420, 500}, span{60, 85}, span{0.1, 4}},
		{span{55, 80}, span{390, 470}, span{55, 85}, span{0.1, 4}},
		{span{25, 45}, span{150, 215}, span{100, 150}, span{0, 0}},
		{span{60, 80}, span{420, 500}, span{60, 85}, span{10, 60}},
		{span{60, 80}, span{420, 500}, span{350, 430}, span{40, 70}},
	}
	for i, r := range append([]Rule{Of("renewd", schedule.Default())}, Peers()...) {
		if i > 0 {
			f.Pods = 10_000 // what is in step needs no crowd to be seen
		}
		got, ideal := run(t, f, r), f.Ideal()
		for what, c := range map[string]struct {
			got  float64
			want span
		}{
			"steady peak": {got.SteadyPeak / ideal, want[i].steady},
			"outage peak": {got.OutagePeak / ideal, want[i].outage},
			"after peak":  {got.AfterPeak / ideal, want[i].after},
			"without":     {got.Without, want[i].without},
		} {
			if c.got < c.want.low || c.got > c.want.high {
				t.Errorf("%s: %s %.2f, want %v", r.Name, what, c.got, c.want)
			}
		}
		if !got.Recovered || got.Recovery > 301*time.Second {
			t.Errorf("%s: recovered %t after %v", r.Name, got.Recovered, got.Recovery)
		}
	}
}

func TestEqualArgumentsGiveEqualResults(t *testing.T) {
	f := Fleet{Pods: 500, Life: time.Hour, Wave: time.Minute, Anytime: 10 * time.Minute, Capacity: 1, Seed: 42}
	r := Of("renewd", schedule.Default())
	once := run(t, f, r)
	if again := run(t, f, r); !reflect.DeepEqual(once, again) {
		t.Errorf("%+v\n%+v", brief(once), brief(again))
	}
	f.Seed++
	if other := run(t, f, r); reflect.DeepEqual(once.Load, other.Load) {
		t.Error("another seed gives the same load")
	}
}

func TestRecommendIsTheLatestThatSurvives(t *testing.T) {
	for _, c := range []struct {
		outage      time.Duration
		capacity    float64
		least, most time.Duration // between the window and an outage that ends with the life
	}{
		{10 * time.Minute, 0, 0, time.Minute},
		{30 * time.Minute, 0, 0, time.Minute},
		{10 * time.Minute, 2, 5 * time.Minute, 10 * time.Minute}, // many wait for their turn when it is over
	} {
		f := Fleet{Pods: 2000, Life: time.Hour, Capacity: c.capacity, Seed: 1}
		p, ok, err := Recommend(f, schedule.Default(), c.outage)
		if err != nil || !ok || math.Abs(p.AtEnd-p.AtStart-0.1) > 1e-9 {
			t.Fatalf("%v: %+v %t %v", c.outage, p, ok, err)
		}
		without := func(p schedule.Policy) float64 {
			g := f
			g.Anytime = c.outage
			return run(t, g, Of("", p)).Without
		}
		later := p
		later.AtStart, later.AtEnd = p.AtStart+0.01, p.AtEnd+0.01
		if without(p) != 0 || without(later) == 0 {
			t.Errorf("%v: %.2f leaves %v s, a percent later %v s", c.outage, p.AtEnd, without(p), without(later))
		}
		if room := time.Duration((1-p.AtEnd)*float64(f.Life)) - c.outage; room < c.least || room > c.most {
			t.Errorf("%v: %v of room", c.outage, room)
		}
	}
	f := Fleet{Pods: 2000, Life: time.Hour, Seed: 1}
	if p, ok, err := Recommend(f, schedule.Default(), 59*time.Minute); ok || err != nil {
		t.Errorf("59 minutes: %+v %t %v", p, ok, err)
	}
}

// What is recommended is what is in force once it is written: nothing else in the policy moves it.
func TestRecommendedWindowIsTheOneInForce(t *testing.T) {
	const m = time.Minute
	f := Fleet{Pods: 200, Life: time.Hour, Seed: 1}
	for _, c := range []struct {
		name       string
		change     func(*schedule.Policy)
		outage     time.Duration
		start, end float64
	}{
		{"the promise of two minutes", func(*schedule.Policy) {}, time.Second, 0.86, 0.96},
		{"keep", func(p *schedule.Policy) { p.Keep = 15 * m }, 5 * m, 0.65, 0.75},
		{"before", func(p *schedule.Policy) { p.Before = 30 * m }, 20 * m, 0.40, 0.50},
		{"before, later than an outage demands", func(p *schedule.Policy) { p.Before = 12 * m }, 50 * m, 0.10, 0},
		{"interval", func(p *schedule.Policy) { p.Interval = 10 * m }, 20 * m, 0.08, 0.16},
		{"a short interval", func(p *schedule.Policy) { p.Interval = 5 * m }, 20 * m, 0.04, 0.08},
	} {
		p := schedule.Default()
		c.change(&p)
		got, ok, err := Recommend(f, p, c.outage)
		if err != nil || ok != (c.end > 0) {
			t.Errorf("%s: %t %v", c.name, ok, err)
			continue
		}
		if !ok {
			continue
		}
		if math.Abs(got.AtStart-c.start) > 1e-9 || math.Abs(got.AtEnd-c.end) > 1e-9 {
			t.Errorf("%s: %.2f to %.2f, want %.2f to %.2f", c.name, got.AtStart, got.AtEnd, c.start, c.end)
		}
		w := got.Window(schedule.Life{Issued: at(0), Expires: at(int64(f.Life))})
		for edge, share := range map[time.Time]float64{w.Start: got.AtStart, w.End: got.AtEnd} {
			if in := edge.Sub(at(0)).Seconds() / f.Life.Seconds(); math.Abs(in-share) > 1e-6 {
				t.Errorf("%s: %.4f is in force, %.2f is recommended", c.name, in, share)
			}
		}
	}
}

// The figures to reach, for a fleet that is large enough for them: a narrower spread or a faster retry breaks them. The outage
// begins when most of the pods are in their window.
func TestAHundredThousandPods(t *testing.T) {
	f := Fleet{Pods: 100_000, Life: time.Hour, Wave: time.Minute, Outages: []Outage{{245 * time.Minute, 10 * time.Minute}}, Seed: 1}
	got, ideal := run(t, f, Of("renewd", schedule.Default())), f.Ideal()
	if got.Mean > 1.4*ideal || got.SteadyPeak > 2.6*ideal || got.OutagePeak > 12*ideal || got.Without != 0 || got.Unserved != 0 {
		t.Errorf("mean %.2f, steady peak %.2f, outage peak %.2f of N/TTL; %+v", got.Mean/ideal, got.SteadyPeak/ideal, got.OutagePeak/ideal, brief(got))
	}
}

func TestImpossibleFleetsAreRefused(t *testing.T) {
	good := Fleet{Pods: 1, Life: time.Hour}
	for text, change := range map[string]func(*Fleet){
		"0 pods":                    func(f *Fleet) { f.Pods = 0 },
		"pods: from 1 to ten":       func(f *Fleet) { f.Pods = 10_000_001 },
		"a life of":                 func(f *Fleet) { f.Life = time.Millisecond },
		"a length of":               func(f *Fleet) { f.Length = -1 },
		"a wave of -1s":             func(f *Fleet) { f.Wave = -time.Second },
		"a wave of 9000h":           func(f *Fleet) { f.Wave = 9000 * time.Hour },
		"a capacity of NaN":         func(f *Fleet) { f.Capacity = math.NaN() },
		"a capacity of -1":          func(f *Fleet) { f.Capacity = -1 },
		"has no length":             func(f *Fleet) { f.Outages = []Outage{{0, 0}} },
		"outside of the simulation": func(f *Fleet) { f.Length, f.Outages = time.Hour, []Outage{{2 * time.Hour, 1}} },
		"needs a length of":         func(f *Fleet) { f.Anytime, f.Length = time.Minute, time.Hour },
		"exclude each other":        func(f *Fleet) { f.Anytime, f.Outages = time.Minute, []Outage{{0, 1}} },
	} {
		f := good
		change(&f)
		if _, err := Run(f, Of("", schedule.Default())); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func BenchmarkHundredThousandPods(b *testing.B) {
	f := Fleet{Pods: 100_000, Life: time.Hour, Wave: time.Minute, Anytime: 10 * time.Minute}
	for b.Loop() {
		if _, err := Run(f, Of("renewd", schedule.Default())); err != nil {
			b.Fatal(err)
		}
	}
}
