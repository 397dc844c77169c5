// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/schedule"
)

// after is a time after the issue of a token, or a length of time: in JSON a number of seconds.
type after time.Duration

func (d after) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).Seconds()) }

// String writes the time as a configuration does, and rounds to what matters: tenths of a second matter only in seconds.
func (d after) String() string {
	const day = 24 * time.Hour
	t := time.Duration(d)
	switch {
	case t < 10*time.Second:
		return strict.FormatDuration(t.Round(100 * time.Millisecond))
	case t < 2*day:
		return strict.FormatDuration(t.Round(time.Second))
	}
	t = t.Round(time.Minute)
	text := fmt.Sprint(int(t/day), "d")
	if t%day != 0 {
		text += strict.FormatDuration(t % day)
	}
	return text
}

// timetable is what will become of one token. Every number in it was asked of the schedule.
type timetable struct {
	Name            string   `json:"name"`
	Life            after    `json:"life"`
	Origin          string   `json:"lifeFrom"`
	FirstStart      after    `json:"firstWindowStart"` // of the first token after a start
	Start           after    `json:"windowStart"`
	End             after    `json:"windowEnd"`
	Guarantee       after    `json:"guarantee"` // what readers find left as long as the issuer works
	GuaranteeEnd    after    `json:"guaranteeUntil"`
	RequestsPerHour float64  `json:"requestsPerHour"` // if nothing fails
	Down            failing  `json:"issuerDown"`
	Refused         failing  `json:"issuerRefuses"`
	Notices         []string `json:"notices"`
}

// failing is what happens if attempts fail from the end of the window on.
type failing struct {
	Attempts int     `json:"attempts"` // until the token expires, if each wait is as long as it is on average
	First    []after `json:"firstAttempts"`
	Later    after   `json:"waitAfterExpiry"`

	// The longest outages that are survived, with the promise to readers and before the token expires: if an attempt comes
	// at the right moment, and however chance falls.
	Promise        after `json:"survivedWithGuarantee"`
	PromiseForSure after `json:"survivedWithGuaranteeForSure"`
	Token          after `json:"survived"`
	TokenForSure   after `json:"survivedForSure"`
}

func (k *kept) timetable(asked time.Duration) timetable {
	l, origin := k.life(asked)
	span, _ := k.Policy.Span(l)
	promise := k.Policy.Promise(l)
	first := l
	first.First = true
	// The window itself knows nothing of the floor.
	due := func(l schedule.Life, draw float64) after { return after(k.Policy.Refresh(l.Issued, l, draw)) }
	t := timetable{
		Name: k.Name, Life: after(span), Origin: origin,
		FirstStart: due(first, 0), Start: due(l, 0), End: due(l, 1),
		Guarantee: after(promise), GuaranteeEnd: after(span - promise),
		RequestsPerHour: perHour(k.Policy, l),
	}
	t.Down = k.failing(l, t, schedule.Failing{})
	t.Refused = k.failing(l, t, schedule.Failing{Refused: true})
	t.Notices = append(k.concerns(l, t), k.Policy.Notices(l)...)
	if t.Notices == nil {
		t.Notices = []string{}
	}
	return t
}

// perHour returns how often an issuer that works is asked: the middle of the window is the mean of all draws.
func perHour(p schedule.Policy, l schedule.Life) float64 {
	return time.Hour.Seconds() / p.Refresh(l.Issued, l, 0.5).Seconds()
}

// failing follows the attempts from the end of the window on.
func (k *kept) failing(l schedule.Life, t timetable, f schedule.Failing) failing {
	const listed = 100
	from, end := l.Issued.Add(time.Duration(t.End)), l.Issued.Add(time.Duration(t.Life))
	keeps := l.Issued.Add(time.Duration(t.GuaranteeEnd))
	out := failing{
		First:   []after{},
		Promise: after(max(0, keeps.Sub(from))), PromiseForSure: k.sure(l, f, from, keeps),
		Token: after(max(0, end.Sub(from))), TokenForSure: k.sure(l, f, from, end),
	}
	before := time.Duration(0)
	for at := from; ; out.Attempts++ {
		f.Count = out.Attempts + 1
		wait := k.Policy.Retry(at, l, f, 0.5)
		// Waits are all alike until what is left of the life shortens them. In a life of centuries they are millions.
		if more := int(end.Sub(at)/wait) - 4; wait == before && out.Attempts > listed && more > 0 {
			out.Attempts += more
			at = at.Add(time.Duration(more) * wait)
		}
		before = wait
		at = at.Add(wait)
		if !at.Before(end) {
			break
		}
		if out.Attempts < listed {
			out.First = append(out.First, after(at.Sub(l.Issued)))
		}
	}
	out.Later = after(k.Policy.Retry(end, l, f, 0.5))
	return out
}

// sure returns how long an outage that begins at from can last and be followed by an attempt before last, however chance
// falls: until the first moment from which the longest wait leads beyond last. There the count of failures is at most the one
// that the shortest waits lead to.
func (k *kept) sure(l schedule.Life, f schedule.Failing, from, last time.Time) after {
	shortest := k.Policy.Retry(from, l, schedule.Failing{Count: 1}, 0)
	room := last.Sub(from)
	return after(sort.Search(int(max(0, room)), func(d int) bool {
		f.Count = 1 + d/int(shortest)
		at := from.Add(time.Duration(d))
		return !at.Add(k.Policy.Retry(at, l, f, 1)).Before(last)
	}))
}

// concerns says what this token's configuration leads to that is probably not meant, beyond what the schedule says itself.
func (k *kept) concerns(l schedule.Life, t timetable) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	p, life := k.Policy, time.Duration(t.Life)
	if after(p.Outage) > t.Down.Promise && !p.Window(l).Short {
		add("outage: %v cannot be survived without breaking the promise to readers: at most %v", after(p.Outage), t.Down.Promise)
	}
	if after(p.Keep) > t.Guarantee {
		add("keep: %v cannot be met with a life of %v: readers are promised a quarter of it, %v", after(p.Keep), t.Life, t.Guarantee)
	}
	calm := p
	calm.Interval = 0
	if _, known := p.Span(l); known && p.Interval > 0 && perHour(p, l) > perHour(calm, l) {
		add("interval: %v has the issuer asked %s; the life alone would have it asked %s",
			after(p.Interval), pace(perHour(p, l)), pace(perHour(calm, l)))
	}
	if life > schedule.LongestLife {
		add("a life over %v counts as %v for the refresh: new keys and revocations reach every token within a day",
			after(schedule.LongestLife), after(schedule.LongestLife))
	}
	timeout := k.Timeout
	if timeout == 0 {
		timeout = daemon.DefaultTimeout
	}
	// Other sources read files and sign for themselves: they wait for nobody.
	if _, remote := k.Source.(daemon.Remote); (remote || k.conf.Kind == "exec") && timeout > time.Duration(t.GuaranteeEnd-t.End) {
		add("timeout: an attempt that hangs for %v at the end of the window breaks the promise to readers: %v are left for it",
			after(timeout), max(0, t.GuaranteeEnd-t.End))
	}
	return list
}

// pace writes how often something is done.
func pace(perHour float64) string {
	switch {
	case perHour < 1:
		return fmt.Sprint("every ", after(float64(time.Hour)/perHour))
	case perHour >= 1000: // %.3g would write an exponent
		return fmt.Sprintf("%.0f times an hour", perHour)
	}
	return fmt.Sprintf("%.3g times an hour", perHour)
}
