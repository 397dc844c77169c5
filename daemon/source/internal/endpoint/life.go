// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
)

// Life gathers what an answer says of its token's life. Every fact is a bound, and the earliest counts.
type Life struct {
	answer  *Answer
	expires time.Time // zero: no bound yet
	notices []string
}

const (
	longest  = 3650 * 24 * time.Hour // what is more cannot be meant
	apart    = 5 * time.Second       // how far clocks differ before it is said
	notYet   = time.Minute           // how far ahead an nbf may lie, as in daemon.Check
	clockSay = "the issuer's clock and ours differ by more than 5 seconds; lifetimes count by both"
)

// Life returns the life of a token that came with a, without any bound.
func (a *Answer) Life() *Life {
	l := &Life{answer: a}
	if a.ClocksDiffer() {
		l.Note(clockSay)
	}
	return l
}

// Note adds what was noticed without failing. It holds no secret.
func (l *Life) Note(notice string) { l.notices = append(l.notices, notice) }

// Seconds adds a lifetime in seconds, a JSON number or a string of digits. Anything else is no bound: absent or null
// without a word, the rest with a notice that names the member.
func (l *Life) Seconds(name string, value json.RawMessage) {
	if value == nil || string(value) == "null" {
		return
	}
	n, ok := claims.Number(value)
	if !ok {
		l.Note(name + " is not a number and is ignored")
		return
	}
	most := longest.Seconds()
	l.Limit(l.answer.Asked.Add(time.Duration(max(-most, min(n, most))) * time.Second))
}

// At adds an instant, as RFC 3339 text or as seconds since 1970; see Seconds.
func (l *Life) At(name string, value json.RawMessage) {
	if value == nil || string(value) == "null" {
		return
	}
	var text string
	_ = json.Unmarshal(value, &text) // what is no text may be a number
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		var ok bool
		if at, ok = claims.NumericDate(value); !ok {
			l.Note(name + " is not a time and is ignored")
			return
		}
	}
	l.until(name, at)
}

// JWT adds the exp of a token that is a JWT. The error says why it cannot be trusted to mean one thing, or that its time
// has not come by far.
func (l *Life) JWT(token string) error {
	c, err := claims.Parse(token)
	if errors.Is(err, claims.ErrOpaque) {
		return nil
	}
	if e, ok := errors.AsType[*claims.RepeatedError](err); ok {
		return fmt.Errorf("the token is a JWT in which the member %s appears twice", l.answer.Quote(e.Name))
	}
	if err != nil {
		return err
	}
	if c.NotBefore.Sub(l.answer.Received) > notYet && l.answer.ClocksDiffer() {
		return fmt.Errorf("the token is not valid before %s, and %s", stamp(c.NotBefore), l.answer.Clocks())
	}
	l.notices = append(l.notices, c.Notices...)
	if !c.ExpiresAt.IsZero() {
		l.until("exp", c.ExpiresAt)
	}
	return nil
}

// until adds an instant that the server wrote by its own clock.
func (l *Life) until(name string, at time.Time) {
	a := l.answer
	if at.After(a.Asked.Add(longest)) {
		l.Note(name + " is more than ten years ahead and is ignored")
		return
	}
	l.Limit(at)
	if !a.Date.IsZero() {
		l.Limit(a.Asked.Add(at.Sub(a.Date)))
	}
}

// Limit adds an instant by our clock.
func (l *Life) Limit(at time.Time) {
	if l.expires.IsZero() || at.Before(l.expires) {
		l.expires = at
	}
}

// Bounded reports whether there is any bound.
func (l *Life) Bounded() bool { return !l.expires.IsZero() }

// Token returns the token with this life and type. The error says that the life is over.
func (l *Life) Token(value, typ string) (daemon.Token, error) {
	if l.Bounded() && !l.expires.After(l.answer.Received) {
		return daemon.Token{}, fmt.Errorf("the token expired at %s, and %s", stamp(l.expires), l.answer.Clocks())
	}
	t := daemon.Token{Value: daemon.NewSecret(value), Type: typ, IssuedAt: l.answer.Asked, Notices: l.notices}
	if l.Bounded() {
		t.ExpiresAt = l.expires.Round(0).UTC()
	}
	return t, nil
}

// ClocksDiffer reports whether the server's clock and ours are more than five seconds apart, allowing for the time that the
// answer took.
func (a *Answer) ClocksDiffer() bool {
	return !a.Date.IsZero() && (a.Date.Before(a.Asked.Add(-apart)) || a.Date.After(a.Received.Add(apart)))
}

// Clocks says what time it is, by both clocks if they differ.
func (a *Answer) Clocks() string {
	ours := "the clock says " + stamp(a.Received)
	if a.ClocksDiffer() {
		return ours + ", the issuer's " + stamp(a.Date)
	}
	return ours
}
