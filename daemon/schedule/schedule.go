// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package schedule

import (
	"fmt"
	"strings"
	"time"
)

// LongestRetryAfter bounds how long an issuer's Retry-After is obeyed.
const LongestRetryAfter = time.Hour

// LongestLife is how long a longer life counts, so that a new key or a revocation reaches every token within a day.
const LongestLife = 24 * time.Hour

// Readers cache a file for up to a minute and are promised a quarter of the life: below this they get less than a minute.
const shortest = 4 * time.Minute

// Life is the life of the token in force. The zero value means that there is no token.
type Life struct {
	Issued    time.Time
	Expires   time.Time // zero: nobody said
	First     bool      // the first token after a start that did not adopt one
	Unchanged bool      // the issuer handed out the token again that it had handed out before
}

// Failing says what went wrong at the last attempt.
type Failing struct {
	Count   int       // consecutive failures, this one included
	Refused bool      // hurrying cannot help
	RetryAt time.Time // the issuer asked not to be asked before; zero if it did not
}

// Window is when a token is to be refreshed.
type Window struct {
	Start, End time.Time
	Short      bool // keep, outage or before ask for more than the life has
}

// Span returns the length of a life, and whether somebody said it; otherwise the policy's own stands in.
func (p Policy) Span(l Life) (time.Duration, bool) {
	switch {
	case !l.Expires.IsZero():
		return max(0, l.Expires.Sub(l.Issued)), true
	case p.Interval > 0 && p.AtEnd > 0:
		return time.Duration(min(float64(p.Interval)/p.AtEnd, float64(decade))), false
	}
	return p.DefaultTTL, false
}

// decade is longer than any life: arithmetic on it does not overflow.
const decade = 10 * 366 * 24 * time.Hour

// Promise returns the remaining life that readers of a token with this life may count on: min(Keep, life/4).
func (p Policy) Promise(l Life) time.Duration {
	span, _ := p.Span(l)
	return min(p.Keep, span/4)
}

// Window returns the refresh window of l:
//
//  1. AtStart to AtEnd of the life, where more than 24 hours count as 24.
//  2. Shifted earlier, with its width, until its end leaves Promise and Outage, and Before; but the end not below 20 % of
//     the life. What does not fit is Short.
//  3. The end is at most Interval after issue.
//  4. The start is not below 10 % of the life, or half of the end if that is earlier.
//  5. The first token after a start has its window begin there at once, if Spread.
//
// A life under four floors has no window: its middle is both ends.
func (p Policy) Window(l Life) Window {
	life, known := p.Span(l)
	if life < 4*p.Least() {
		middle := l.Issued.Add(life / 2)
		return Window{Start: middle, End: middle}
	}
	counted := min(life, LongestLife)
	start, end := part(counted, p.AtStart), part(counted, p.AtEnd)
	width := max(0, end-start)

	var short bool
	if known || p.Interval == 0 {
		wanted := min(end, life-p.Promise(l)-p.Outage, life-p.Before)
		lowest := min(counted/5, end)
		short = wanted < lowest
		end = max(wanted, lowest)
	}
	if p.Interval > 0 {
		end = min(end, p.Interval)
	}
	earliest := min(counted/10, end/2, start)
	start = max(end-width, earliest)
	if l.First && p.Spread {
		start = earliest
	}
	return Window{Start: l.Issued.Add(start), End: l.Issued.Add(end), Short: short}
}

// Notices says in words what is unusual about this life under this policy; nothing, mostly.
func (p Policy) Notices(l Life) []string {
	var notices []string
	life, known := p.Span(l)
	if !known {
		notices = append(notices, fmt.Sprintf("nobody said when the token expires: it is refreshed as if it lived %s", FormatDuration(life.Round(time.Second))))
	}
	if life < shortest {
		notices = append(notices, "a life under 4 minutes is shorter than what readers cache: they are promised a quarter of it")
	}
	w := p.Window(l)
	left := l.Issued.Add(life).Sub(w.End)
	if most := max(0, left-p.Promise(l)); w.Short && p.Outage > most {
		notices = append(notices, fmt.Sprintf("outage: %s does not fit into a life of %s: at most, an issuer outage of %s can be survived",
			FormatDuration(p.Outage), FormatDuration(life.Round(time.Second)), FormatDuration(most.Round(time.Second))))
	}
	if w.Short && p.Before > left {
		notices = append(notices, fmt.Sprintf("before: %s does not fit into a life of %s: the refresh ends at the latest %s before expiry",
			FormatDuration(p.Before), FormatDuration(life.Round(time.Second)), FormatDuration(left.Round(time.Second))))
	}
	switch floor := fmt.Sprintf("floor: %s does not fit into a life of %s: ", FormatDuration(p.Least()), FormatDuration(life.Round(time.Millisecond))); {
	case p.Least() >= life:
		notices = append(notices, floor+"it expires before it is refreshed")
	case p.Least() > life-p.Promise(l):
		notices = append(notices, floor+"readers find less left than they are promised")
	}
	return notices
}

// FormatDuration writes a duration as a configuration does, without the zero units of Go: "30m", not "30m0s".
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Refresh returns how long to wait after a success at now; never less than Floor. draw in [0,1) places the attempt in the
// window. A token that was issued in the future, or whose time has come, is refreshed at once, through the floor. A token
// that was handed out again is asked for at half of what is left.
func (p Policy) Refresh(now time.Time, l Life, draw float64) time.Duration {
	switch {
	case l.Issued.After(now):
		return p.Least()
	case l.Unchanged && !l.Expires.IsZero():
		return max(p.Least(), min(l.Expires.Sub(now), LongestLife)/2)
	}
	w := p.Window(l)
	due := w.Start.Add(part(w.End.Sub(w.Start), draw))
	return max(p.Least(), due.Sub(now))
}

// Retry returns how long to wait after a failure at now: full jitter, scaled by the life, bounded by what is left of it.
//
// While the token lives, base = life/60 within 1 s and 60 s, cap = life/12 within 5 s and 5 min, and the wait is draw ×
// min(cap, base × 2ⁿ), at most half of what is left, but not below life/120 within 1 s and 30 s. Without a living token
// base is 1 s and cap 60 s, for ever. A refusal starts at the cap. RetryAt is obeyed as Hold says.
func (p Policy) Retry(now time.Time, l Life, f Failing, draw float64) time.Duration {
	base, most, least := time.Second, time.Minute, p.Least()
	left, alive := p.left(now, l)
	if alive {
		life, _ := p.Span(l)
		base = within(life/60, time.Second, time.Minute)
		most = within(life/12, 5*time.Second, 5*time.Minute)
		least = max(least, within(life/120, time.Second, 30*time.Second))
	}
	bound := most
	if n := max(0, f.Count-1); !f.Refused && n < 16 {
		bound = min(most, base<<n)
	}
	if alive {
		bound = min(bound, left/2)
	}
	return max(part(bound, draw), least, p.Hold(now, l, f.RetryAt, now))
}

// Hold returns how long an attempt that is due at now must still wait because an issuer asked for patience until retryAt;
// zero if it may go. The issuer is obeyed for at most an hour. If its time ends after the token does, one attempt is
// let through at expiry − min(30 s, life/20); attempted is when the last one was made.
func (p Policy) Hold(now time.Time, l Life, retryAt, attempted time.Time) time.Duration {
	if !retryAt.After(now) {
		return 0
	}
	wait := min(retryAt.Sub(now), LongestRetryAfter)
	left, alive := p.left(now, l)
	if !alive || wait < left {
		return wait
	}
	life, _ := p.Span(l)
	last := now.Add(left - min(30*time.Second, life/20))
	if !attempted.Before(last) {
		return wait
	}
	return max(0, last.Sub(now))
}

// left returns what is left of the token's life at now, and whether there is any.
func (p Policy) left(now time.Time, l Life) (time.Duration, bool) {
	if l.Issued.IsZero() {
		return 0, false
	}
	life, _ := p.Span(l)
	left := l.Issued.Add(life).Sub(now)
	return left, left > 0
}

// Least returns the floor in force: no wait is shorter.
func (p Policy) Least() time.Duration {
	if p.Floor < time.Millisecond {
		return time.Second
	}
	return p.Floor
}

func part(d time.Duration, fraction float64) time.Duration {
	return time.Duration(float64(d) * min(max(fraction, 0), 1))
}

func within(d, low, high time.Duration) time.Duration { return min(max(d, low), high) }
