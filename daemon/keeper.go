// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"cmp"
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/renewd/renewd/daemon/schedule"
)

// The reasons for which an attempt is made. Events and metrics carry them.
const (
	TriggerSchedule  = "schedule"  // its time had come
	TriggerStart     = "start"     // nothing good was on disk
	TriggerInput     = "input"     // a file that the source reads changed
	TriggerPublished = "published" // what is published changed: no attempt, but a look at the disk
	TriggerConfig    = "config"    // the source's configuration changed
	TriggerRequest   = "request"   // somebody asked: a signal or the admin socket
	TriggerClock     = "clock"     // the clock stepped or the machine slept: no attempt, but a new plan
)

// DefaultTimeout bounds an attempt of a Keeper whose Timeout is zero.
const DefaultTimeout = 30 * time.Second

// Keeper keeps one token fresh: it adopts what is on disk, asks its Source when the schedule says so, checks the answer,
// publishes it, and re-arms, whatever happened. The exported fields are set before Run and not changed after. A Keeper
// is run once; a Daemon replaces it by another one when its configuration changes.
type Keeper struct {
	Name        string
	Source      Source
	Sink        Sink
	Policy      schedule.Policy
	Check       Check
	Timeout     time.Duration  // of one attempt; 0: DefaultTimeout
	Fingerprint string         // of the Source's configuration: a published token with another one is not adopted
	NoAdopt     bool           // ask the Source even if a good token is published
	Log         *zap.Logger    // nil: silent
	Observe     func(Event)    // called after every attempt, from the Keeper's goroutine; nil: nobody is told
	Draw        func() float64 // uniform over [0,1), from the Keeper's goroutine; nil: math/rand/v2

	// Distrust is for a Source that reads what is published: once the Keeper has a token, nothing that somebody else put in
	// its place is taken over, however good it looks.
	Distrust bool

	mail   mailbox
	shared *shared      // nil outside a Daemon
	alive  atomic.Int64 // on shared's monotonic clock: when the loop must have shown life again
	state
}

// state is what a Keeper knows. Its goroutine owns it, and hands it to its successor once it is over.
type state struct {
	current held  // what readers have, as far as we know; zero if they have nothing
	foreign bool  // current is of another source or fails the checks: it stays where it is, but is written nowhere
	pending *held // checked and still to be published; nil: nothing is
	seeded  bool  // the state came from a predecessor
	first   bool  // no token was obtained or adopted since the start

	whole time.Duration // the life of the first token of this source; 0: none said when it expires

	failures  int // attempts in a row
	refused   bool
	retryAt   time.Time
	busy      bool      // an attempt is under way
	attempted time.Time // when the last attempt began
	next      time.Time // when the next one is due
	reason    string    // why it is due

	writes int       // failed writes in a row
	healed time.Time // when the disk was last written to heal
	heal   time.Time // when to look at the disk; zero: not asked for

	notices []string // as last logged
	failing string   // the kind of failure last logged; empty: none since the last success
	dead    bool     // that the token has expired was logged
}

// held is a token with the record that stands beside it on disk.
type held struct {
	Token
	Record Record
}

func (h held) none() bool { return h.Value.IsZero() }

func (h held) aliveAt(now time.Time) bool {
	return !h.none() && (h.ExpiresAt.IsZero() || h.ExpiresAt.After(now))
}

func (h held) life() schedule.Life {
	return schedule.Life{Issued: h.IssuedAt, Expires: h.ExpiresAt, First: h.Record.First}
}

// Run keeps the token fresh until ctx ends, and then returns nil. It never returns because of a failure.
func (k *Keeper) Run(ctx context.Context) error {
	k.begin(ctx)
	timer := time.NewTimer(k.wait())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.mail.box():
			k.open(k.mail.take())
		case <-timer.C:
		}
		if ctx.Err() != nil {
			return nil // also when the timer was as fast
		}
		if due(k.heal, k.now()) {
			k.look(ctx)
		}
		if due(k.next, k.now()) {
			_ = k.attempt(ctx) // it reports its error, and has planned the next attempt
		}
		timer.Reset(k.wait())
	}
}

// Once publishes one token, unless what is on disk can be adopted, by the attempts that Run makes and with its waits, and
// returns nil only after it has read back a living token. It gives up where waiting cannot help (the source is not
// usable as configured, the issuer refused, the token cannot be written) and when ctx ends before the next attempt.
// The error is that of the last attempt.
func (k *Keeper) Once(ctx context.Context) error {
	k.begin(ctx)
	if due(k.heal, k.now()) {
		k.look(ctx)
	}
	var last error
	for wanted := due(k.next, k.now()); wanted; {
		before := k.attempted
		err := k.attempt(ctx)
		made := !k.attempted.Equal(before) // else it was held back by a Retry-After
		if made && err == nil {
			break
		}
		if made {
			last = err
		}
		end, bounded := ctx.Deadline()
		if final(ClassOf(last)) || ctx.Err() != nil || bounded && end.Before(k.next) {
			return cmp.Or(last, ctx.Err())
		}
		select {
		case <-ctx.Done():
			return cmp.Or(last, ctx.Err())
		case <-time.After(k.next.Sub(k.now())):
		}
	}
	return Ready(ctx, k.Sink, k.now())
}

func final(c Class) bool { return c == ClassConfig || c == ClassRefused || c == ClassWrite }

// Trigger asks for an attempt, or for what else the reason stands for. It returns at once, may be called from any
// goroutine, and several calls before the Keeper wakes count as one. The floor and an issuer's Retry-After hold.
func (k *Keeper) Trigger(reason string) { k.mail.post(reason) }

// begin sets the first plan: from the predecessor's state, or from what is on disk.
func (k *Keeper) begin(ctx context.Context) {
	now := k.now()
	if k.seeded {
		k.resume(now)
		return
	}
	k.next, k.reason, k.first = now, TriggerStart, true
	if k.NoAdopt {
		return
	}
	t, r, err := k.Sink.Read(ctx)
	if t.Value.IsZero() {
		return
	}
	t.ExpiresAt = provenExpiry(t, now)
	notices, bad := k.Check.Verify(t, now)
	if bad != nil {
		return
	}
	// Also a token that is about to be replaced is worth keeping: until then it is what healing writes.
	k.current = held{t, r}
	if r.Fingerprint != k.Fingerprint {
		k.foreign, k.reason = true, TriggerConfig
		return
	}
	k.first = false
	k.notice(append(notices, k.shrunk(k.current)...))
	if err != nil {
		k.heal = now // another place of several, or a mode
	}
	if wait := k.Policy.Refresh(now, k.current.life(), r.Draw); wait > k.Policy.Least() {
		k.next, k.reason = now.Add(wait), TriggerSchedule
	}
	k.report(Event{Kind: Adopted, Trigger: TriggerStart, Start: now})
}

// resume plans anew with the state of a predecessor whose configuration was another: a new source is asked, a new place
// is written from memory, a new schedule counts from the token's issue. What came from another source, or does not pass
// the checks any more, is written nowhere.
func (k *Keeper) resume(now time.Time) {
	k.seeded, k.busy, k.heal = false, false, time.Time{}
	if k.pending != nil && k.pending.Record.Fingerprint != k.Fingerprint {
		k.pending = nil
	}
	_, bad := k.Check.Verify(k.current.Token, now)
	if k.foreign = bad != nil || k.current.Record.Fingerprint != k.Fingerprint; k.foreign {
		k.next, k.reason, k.whole = k.allowed(now), TriggerConfig, 0
		return
	}
	k.heal = now
	k.plan(now, k.current.life(), k.current.Record.Draw)
	k.report(Event{Kind: Adopted, Trigger: TriggerConfig, Start: now})
}

// open acts on the mail that came in.
func (k *Keeper) open(m mail) {
	now := k.now()
	if m.clock {
		k.attempted, k.healed = earlier(k.attempted, now), earlier(k.healed, now)
		k.retryAt = earlier(k.retryAt, now.Add(schedule.LongestRetryAfter))
		k.plan(now, k.current.life(), k.current.Record.Draw)
	}
	if m.published {
		k.heal = later(now, k.healed.Add(time.Second))
	}
	if m.attempt != "" {
		if at := k.allowed(now); k.busy || at.Before(k.next) {
			k.next, k.reason = at, m.attempt
		}
	}
}

// plan sets the next attempt: as soon as it is allowed if somebody asked for it, else in the window of a life and at its
// draw, else, after a failure, when to try again.
func (k *Keeper) plan(now time.Time, life schedule.Life, draw float64) {
	switch {
	case k.reason != TriggerSchedule && k.reason != TriggerStart:
		k.next = k.allowed(now)
	case k.failures == 0 && !life.Issued.IsZero():
		k.next, k.reason = now.Add(k.Policy.Refresh(now, life, draw)), TriggerSchedule
	default:
		f := schedule.Failing{Count: k.failures, Refused: k.refused, RetryAt: k.retryAt}
		k.next, k.reason = now.Add(k.Policy.Retry(now, life, f, k.draw())), TriggerSchedule
	}
}

// allowed returns the earliest instant at which an attempt may be made.
func (k *Keeper) allowed(now time.Time) time.Time {
	return later(now, k.attempted.Add(k.Policy.Least()))
}

// wait returns how long the loop may sleep, and promises life signs until then.
func (k *Keeper) wait() time.Duration {
	at := k.next
	if !k.heal.IsZero() && k.heal.Before(at) {
		at = k.heal
	}
	wait := max(0, at.Sub(k.now()))
	k.promise(wait)
	return wait
}

// promise says that the loop shows life again within d and the time that an attempt may take.
func (k *Keeper) promise(d time.Duration) {
	if k.shared != nil {
		k.alive.Store(int64(k.shared.elapsed() + d + k.timeout()))
	}
}

func (k *Keeper) now() time.Time {
	if k.shared != nil {
		return k.shared.now()
	}
	return time.Now().Round(0)
}

func (k *Keeper) draw() float64 {
	if k.Draw != nil {
		return k.Draw()
	}
	return rand.Float64()
}

func (k *Keeper) timeout() time.Duration {
	if k.Timeout > 0 {
		return k.Timeout
	}
	return DefaultTimeout
}

func (k *Keeper) log() *zap.Logger {
	if k.Log != nil {
		return k.Log
	}
	return zap.NewNop()
}

// report completes e with what holds now and hands it to the observer.
func (k *Keeper) report(e Event) {
	e.Name, e.Token, e.Failures, e.Next = k.Name, k.current.Token, k.failures+k.writes, k.next
	if !k.current.none() {
		w := k.Policy.Window(k.current.life())
		e.WindowStart, e.WindowEnd = w.Start, w.End
	}
	k.say(e)
	if k.Observe != nil {
		k.Observe(e)
	}
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
