// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package schedule_test

import (
	"slices"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon/schedule"
)

var issued = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func life(d time.Duration) schedule.Life {
	return schedule.Life{Issued: issued, Expires: issued.Add(d)}
}

func with(change func(*schedule.Policy)) schedule.Policy {
	p := schedule.Default()
	change(&p)
	return p
}

func TestWindow(t *testing.T) {
	first := life(time.Hour)
	first.First = true
	unknown := schedule.Life{Issued: issued}
	firstUnknown := schedule.Life{Issued: issued, First: true}
	const s, m, h = time.Second, time.Minute, time.Hour
	for _, c := range []struct {
		name       string
		policy     schedule.Policy
		life       schedule.Life
		start, end time.Duration
		short      bool
	}{
		{"an hour", schedule.Default(), life(h), 42 * m, 48 * m, false},
		{"the first of an hour", schedule.Default(), first, 6 * m, 48 * m, false},
		{"the first without spread", with(func(p *schedule.Policy) { p.Spread = false }), first, 42 * m, 48 * m, false},
		{"five minutes keep a quarter", schedule.Default(), life(5 * m), 195 * s, 225 * s, false},
		{"eight minutes keep two", schedule.Default(), life(8 * m), 312 * s, 360 * s, false},
		{"two days count as one", schedule.Default(), life(48 * h), 1008 * m, 1152 * m, false},
		{"an outage of half an hour", with(func(p *schedule.Policy) { p.Outage = 30 * m }), life(h), 22 * m, 28 * m, false},
		{"an outage that just fits", with(func(p *schedule.Policy) { p.Outage = 46 * m }), life(h), 6 * m, 12 * m, false},
		{"an outage that does not fit", with(func(p *schedule.Policy) { p.Outage = 59 * m }), life(h), 6 * m, 12 * m, true},
		{"before", with(func(p *schedule.Policy) { p.Before = 20 * m }), life(h), 34 * m, 40 * m, false},
		{"before that does not fit", with(func(p *schedule.Policy) { p.Before = 2 * h }), life(h), 6 * m, 12 * m, true},
		{"before that asks for less", with(func(p *schedule.Policy) { p.Before = 5 * m }), life(h), 42 * m, 48 * m, false},
		{"interval", with(func(p *schedule.Policy) { p.Interval = 30 * m }), life(h), 24 * m, 30 * m, false},
		{"a short interval is obeyed", with(func(p *schedule.Policy) { p.Interval = 2 * m }), life(h), 1 * m, 2 * m, false},
		{"a long interval changes nothing", with(func(p *schedule.Policy) { p.Interval = 2 * h }), life(h), 42 * m, 48 * m, false},
		{"a fixed share", with(func(p *schedule.Policy) { p.AtStart, p.AtEnd = 0.5, 0.5 }), life(h), 30 * m, 30 * m, false},
		{"an early share is never moved later", with(func(p *schedule.Policy) { p.AtStart, p.AtEnd = 0.05, 0.10 }), life(h), 3 * m, 6 * m, false},
		{"nobody said", schedule.Default(), unknown, 195 * s, 225 * s, false},
		{"nobody said, interval", with(func(p *schedule.Policy) { p.Interval = 40 * m }), unknown, 35 * m, 40 * m, false},
		{"nobody said, interval, first", with(func(p *schedule.Policy) { p.Interval = 40 * m }), firstUnknown, 5 * m, 40 * m, false},
		{"under four floors", schedule.Default(), life(3 * s), 1500 * time.Millisecond, 1500 * time.Millisecond, false},
		{"no life at all", schedule.Default(), life(0), 0, 0, false},
	} {
		w := c.policy.Window(c.life)
		near := func(got time.Time, want time.Duration) bool {
			return got.Sub(issued.Add(want)).Abs() < time.Millisecond
		}
		if !near(w.Start, c.start) || !near(w.End, c.end) || w.Short != c.short {
			t.Errorf("%s: %v to %v short=%v, want %v to %v short=%v",
				c.name, w.Start.Sub(issued), w.End.Sub(issued), w.Short, c.start, c.end, c.short)
		}
	}
}

func TestRefresh(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	again := life(h)
	again.Unchanged = true
	year := life(365 * 24 * h)
	year.Unchanged = true
	for _, c := range []struct {
		name string
		life schedule.Life
		now  time.Duration
		draw float64
		want time.Duration
	}{
		{"the window's start", life(h), 0, 0, 42 * m},
		{"its middle", life(h), 0, 0.5, 45 * m},
		{"some of it has passed", life(h), 40 * m, 0.5, 5 * m},
		{"past it: the floor", life(h), 59 * m, 0.5, s},
		{"long past expiry: the floor", life(h), 99 * h, 0.5, s},
		{"issued in the future: the floor", life(h), -m, 0.5, s},
		{"an absurdly short life: the floor", life(time.Millisecond), 0, 0.5, s},
		{"two seconds", life(2 * s), 0, 0.5, s},
		{"handed out again: half of the rest", again, 40 * m, 0.5, 10 * m},
		{"handed out again at the end: the floor", again, h - s, 0.5, s},
		{"handed out again, valid for a year: within a day", year, 0, 0.5, 12 * h},
	} {
		got := schedule.Default().Refresh(issued.Add(c.now), c.life, c.draw)
		if (got - c.want).Abs() > time.Millisecond {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRetry(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	almost := 0.999999
	for _, c := range []struct {
		name string
		life schedule.Life
		now  time.Duration
		f    schedule.Failing
		draw float64
		want time.Duration
	}{
		{"first failure", life(h), 45 * m, schedule.Failing{Count: 1}, almost, m},
		{"second failure", life(h), 45 * m, schedule.Failing{Count: 2}, almost, 2 * m},
		{"tenth failure: the cap", life(h), 30 * m, schedule.Failing{Count: 10}, almost, 5 * m},
		{"ten thousandth failure", life(h), 30 * m, schedule.Failing{Count: 10000}, almost, 5 * m},
		{"half of the rest", life(h), 56 * m, schedule.Failing{Count: 10}, almost, 2 * m},
		{"the least wins", life(h), h - 10*s, schedule.Failing{Count: 10}, almost, 30 * s},
		{"a draw of nothing: the least", life(h), 45 * m, schedule.Failing{Count: 5}, 0, 30 * s},
		{"five minutes of life", life(5 * m), 225 * s, schedule.Failing{Count: 1}, almost, 5 * s},
		{"refused: the cap at once", life(h), 45 * m, schedule.Failing{Count: 1, Refused: true}, almost, 5 * m},
		{"no token yet", schedule.Life{}, 0, schedule.Failing{Count: 1}, almost, s},
		{"no token yet, fourth", schedule.Life{}, 0, schedule.Failing{Count: 4}, almost, 8 * s},
		{"no token yet, refused", schedule.Life{}, 0, schedule.Failing{Count: 1, Refused: true}, almost, m},
		{"no token yet, for ever", schedule.Life{}, 0, schedule.Failing{Count: 99}, almost, m},
		{"expired: as without a token", life(h), 2 * h, schedule.Failing{Count: 2}, almost, 2 * s},
		{"Retry-After", life(h), 45 * m, schedule.Failing{Count: 1, RetryAt: issued.Add(50 * m)}, almost, 5 * m},
		{"Retry-After past expiry: once before it", life(h), 45 * m, schedule.Failing{Count: 1, RetryAt: issued.Add(90 * m)}, almost, 14*m + 30*s},
		{"Retry-After past expiry, after that once", life(h), h - 30*s, schedule.Failing{Count: 2, RetryAt: issued.Add(90 * m)}, almost, 30*m + 30*s},
		{"Retry-After of a week", schedule.Life{}, 0, schedule.Failing{Count: 1, RetryAt: issued.Add(7 * 24 * h)}, almost, h},
		{"Retry-After that has passed", life(h), 45 * m, schedule.Failing{Count: 1, RetryAt: issued}, almost, m},
	} {
		got := schedule.Default().Retry(issued.Add(c.now), c.life, c.f, c.draw)
		if (got - c.want).Abs() > time.Millisecond {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHoldLetsOneAttemptThrough(t *testing.T) {
	p, l := schedule.Default(), life(time.Hour)
	retryAt := issued.Add(2 * time.Hour)
	last := issued.Add(time.Hour - 30*time.Second)
	for _, c := range []struct {
		name           string
		now, attempted time.Time
		want           time.Duration
	}{
		{"before it", last.Add(-time.Minute), issued, time.Minute},
		{"its moment", last, issued, 0},
		{"its moment, already used", last, last, time.Hour},
		{"a moment later, already used", last.Add(time.Second), last, time.Hour},
		{"the token is dead", issued.Add(90 * time.Minute), issued, 30 * time.Minute},
		{"the issuer's time has come", retryAt, issued, 0},
	} {
		if got := p.Hold(c.now, l, retryAt, c.attempted); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Whatever the numbers, every wait is at least the floor; a refresh happens before expiry when there is room for it, and
// leaves what readers were promised; a retry is bounded.
func FuzzBounds(f *testing.F) {
	f.Add(int64(3600e9), int64(0), int64(0), int64(0), int64(0), 0.7, 0.8, 0.5, 1, false)
	f.Add(int64(60e9), int64(30e9), int64(3600e9), int64(5e9), int64(-5e9), 0.1, 0.9, 0.0, 7, true)
	f.Fuzz(func(t *testing.T, span, age, outage, interval, before int64, at, to, draw float64, count int, first bool) {
		const most = int64(10 * 366 * 24 * time.Hour)
		if span < 0 || span > most || age < -most || age > most || !(draw >= 0 && draw < 1) || !(at >= 0.01 && at <= to && to <= 0.99) {
			return // outside what configuration and claims allow
		}
		for _, d := range []int64{outage, interval, before} {
			if d < 0 || d > most {
				return // outside what configuration allows
			}
		}
		p := schedule.Default()
		p.AtStart, p.AtEnd = at, to
		p.Outage, p.Interval, p.Before = time.Duration(outage), time.Duration(interval), time.Duration(before)
		l := life(time.Duration(span))
		l.First = first
		w := p.Window(l)
		if w.End.Before(w.Start) || w.Start.Before(issued) || w.End.After(l.Expires) {
			t.Fatalf("window %v to %v of a life of %v", w.Start.Sub(issued), w.End.Sub(issued), time.Duration(span))
		}
		wait := p.Refresh(issued, l, draw)
		if wait < p.Floor || wait > 24*time.Hour {
			t.Fatalf("refresh after %v", wait)
		}
		if time.Duration(span) >= 8*p.Floor && !w.Short && l.Expires.Sub(issued.Add(wait)) < p.Promise(l)-p.Floor {
			t.Fatalf("refresh after %v of %v leaves less than %v", wait, time.Duration(span), p.Promise(l))
		}
		now := issued.Add(time.Duration(age))
		if wait := p.Retry(now, l, schedule.Failing{Count: count}, draw); wait < p.Floor || wait > 5*time.Minute {
			t.Fatalf("retry after %v", wait)
		}
		if wait := p.Retry(now, l, schedule.Failing{Count: count, RetryAt: now.Add(time.Duration(interval))}, draw); wait < p.Floor || wait > time.Hour {
			t.Fatalf("retry with Retry-After after %v", wait)
		}
	})
}

func TestNoticesNameWhatDoesNotFit(t *testing.T) {
	const m, h = time.Minute, time.Hour
	for _, c := range []struct {
		name   string
		policy schedule.Policy
		life   schedule.Life
		want   []string
	}{
		{"the default", schedule.Default(), life(h), nil},
		{"an outage that fits", with(func(p *schedule.Policy) { p.Outage = 30 * m }), life(h), nil},
		{"an outage that does not", with(func(p *schedule.Policy) { p.Outage = 59 * m }), life(h),
			[]string{"outage: 59m does not fit into a life of 1h: at most, an issuer outage of 46m can be survived"}},
		{"before that does not", with(func(p *schedule.Policy) { p.Before = 50 * m }), life(h),
			[]string{"before: 50m does not fit into a life of 1h: the refresh ends at the latest 48m before expiry"}},
		{"both", with(func(p *schedule.Policy) { p.Before, p.Outage = 2*h, 2*h }), life(h), []string{
			"outage: 2h does not fit into a life of 1h: at most, an issuer outage of 46m can be survived",
			"before: 2h does not fit into a life of 1h: the refresh ends at the latest 48m before expiry"}},
		{"an interval makes it fit", with(func(p *schedule.Policy) { p.Before, p.Interval = 50*m, 5*m }), life(h), nil},
		{"a floor that leaves no promise", with(func(p *schedule.Policy) { p.Floor = 59 * m }), life(h),
			[]string{"floor: 59m does not fit into a life of 1h: readers find less left than they are promised"}},
		{"a floor that leaves no life", with(func(p *schedule.Policy) { p.Floor, p.Keep = h, 0 }), life(h),
			[]string{"floor: 1h does not fit into a life of 1h: it expires before it is refreshed"}},
		{"nobody said", schedule.Default(), schedule.Life{Issued: issued}, []string{"nobody said when the token expires: it is refreshed as if it lived 5m"}},
		{"short", schedule.Default(), life(3 * m), []string{"a life under 4 minutes is shorter than what readers cache: they are promised a quarter of it"}},
	} {
		if got := c.policy.Notices(c.life); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
