// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/renewd/renewd/daemon/schedule"
)

// attempt makes the attempt that is due, unless an issuer's Retry-After holds it back, and plans the next one:
//
//  1. wait for one of the few places of its issuer for attempts in flight
//  2. ask the Source within Timeout, and go on healing meanwhile
//  3. check the answer
//  4. publish it
//  5. plan, and report
func (k *Keeper) attempt(ctx context.Context) error {
	if wait := k.hold(); wait > 0 {
		k.next = k.now().Add(wait)
		return nil
	}
	release := k.place(ctx)
	if release == nil {
		return context.Cause(ctx)
	}
	defer release()

	trigger, start, began := k.reason, k.now(), time.Now()
	k.attempted, k.reason, k.busy = start, TriggerSchedule, true
	k.log().Debug("token refresh begins", zap.String("token", k.Name), zap.String("trigger", trigger), zap.Int("failures", k.failures))
	t, err := k.ask(ctx)
	k.busy = false
	if err != nil && ctx.Err() != nil {
		k.reason = trigger
		return err // told to stop: nothing is known about the issuer
	}
	var h held
	if err == nil {
		h, err = k.accept(t)
	}
	kind := Failed
	if err == nil {
		kind, err = k.publish(ctx, h)
	} else {
		k.fail(err)
	}
	k.report(Event{Kind: kind, Trigger: trigger, Err: err, Start: start, Took: time.Since(began)})
	return err
}

// hold returns how long the attempt that is due must wait because its issuer asked for patience.
func (k *Keeper) hold() time.Duration {
	now := k.now()
	until := later(k.retryAt, k.shared.patience(k.endpoint()))
	return k.Policy.Hold(now, k.current.life(), until, k.attempted)
}

// endpoint returns whom the Source asks; "" if nobody.
func (k *Keeper) endpoint() string {
	if r, ok := k.Source.(Remote); ok {
		return r.Endpoint()
	}
	return ""
}

// place waits for one of the places for attempts in flight. It returns nil if ctx ends before. Nothing is late while it
// waits here: a slow issuer must not make the process look dead.
func (k *Keeper) place(ctx context.Context) (release func()) {
	if k.shared == nil {
		return func() {}
	}
	k.promise(forever)
	release = k.shared.place(ctx, k.endpoint())
	k.promise(0)
	return release
}

// answer is what became of a call of the Source.
type answer struct {
	token    Token
	err      error
	panicked bool
}

// carried is the value of a panic that goes on in another goroutine. It was reported, with its trace, where it began.
type carried struct{}

// ask calls the Source in a goroutine of its own, and waits for it in any case. Meanwhile mail is opened and the disk is
// healed; what the mail asks for besides is planned after the attempt.
func (k *Keeper) ask(ctx context.Context) (Token, error) {
	// Not entered in ctx as its child, which would cost every Keeper that sleeps; the loop below passes its end on.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.timeout())
	defer cancel()
	end := ctx.Done()
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if value := recover(); value != nil {
				k.recovered(value)
				a.panicked = true
			}
			answers <- a
		}()
		a.token, a.err = k.Source.Token(bounded)
	}()
	for {
		var heal <-chan time.Time
		if !k.heal.IsZero() {
			heal = time.After(k.heal.Sub(k.now()))
		}
		select {
		case a := <-answers:
			if a.panicked {
				panic(carried{})
			}
			if _, classed := errors.AsType[*Failure](a.err); a.err != nil && !classed && bounded.Err() != nil {
				a.err = &Failure{Class: ClassUnavailable, Err: fmt.Errorf("no answer within %s", schedule.FormatDuration(k.timeout()))}
			}
			return a.token, a.err
		case <-k.mail.box():
			k.open(k.mail.take())
		case <-heal:
		case <-end:
			cancel()
			end = nil
		}
		if due(k.heal, k.now()) {
			k.look(ctx)
		}
	}
}

// accept checks what the Source handed out and draws its place in the window.
func (k *Keeper) accept(t Token) (held, error) {
	notices, err := k.Check.Verify(t, k.now())
	if err != nil {
		return held{}, err
	}
	h := held{t, Record{
		Token: t.Digest(), Type: t.Type, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt,
		Draw: k.draw(), First: k.first, Fingerprint: k.Fingerprint,
	}}
	k.first = false
	k.notice(slices.Concat(t.Notices, notices, k.Policy.Notices(h.life()), k.shrunk(h)))
	return h, nil
}

// shrunk says that a token lives less than half as long as the first one of its source: some issuers cut each life short by
// the age of a session, until none is left.
func (k *Keeper) shrunk(h held) []string {
	if h.Value.Equal(k.current.Value) {
		h = k.current // handed out again: its life is the one that it began with
	}
	life := h.ExpiresAt.Sub(h.IssuedAt).Round(time.Second)
	switch {
	case h.ExpiresAt.IsZero():
		return nil
	case k.whole == 0:
		k.whole = life
	case life < k.whole/2:
		return []string{fmt.Sprintf("the life of new tokens is less than half of the first one's: %s of %s",
			schedule.FormatDuration(life), schedule.FormatDuration(k.whole))}
	}
	return nil
}

// publish writes h and plans its refresh. A token that is published already keeps its record, so that nothing on disk
// changes. What cannot be written is kept, and written later without asking the issuer again.
func (k *Keeper) publish(ctx context.Context, h held) (Kind, error) {
	k.failures, k.refused, k.retryAt = 0, false, time.Time{}
	life, kind := h.life(), Published
	if h.Value.Equal(k.current.Value) && !k.foreign {
		kind, life.Unchanged = Unchanged, true
		if !h.ExpiresAt.IsZero() && h.ExpiresAt.Sub(k.current.ExpiresAt).Abs() < 2*time.Second {
			h = k.current
		}
	}
	k.plan(k.now(), life, h.Record.Draw)
	if err := k.write(ctx, h); err != nil {
		return Failed, err
	}
	return kind, nil
}

// write puts h on disk, or keeps it as pending and plans to try again. A write in hand is finished: it is quick, and half
// a publish is worth nothing.
func (k *Keeper) write(ctx context.Context, h held) error {
	err := k.Sink.Write(context.WithoutCancel(ctx), h.Token, h.Record)
	if err == nil {
		k.current, k.pending, k.foreign, k.writes, k.heal = h, nil, false, 0, time.Time{}
		return nil
	}
	k.writes++
	k.pending = &h
	now := k.now()
	k.heal = now.Add(k.Policy.Retry(now, k.current.life(), schedule.Failing{Count: k.writes}, k.draw()))
	return err
}

// fail plans the next attempt after a failure. The token in force stays.
func (k *Keeper) fail(err error) {
	now, class := k.now(), ClassOf(err)
	k.failures++
	k.refused = class == ClassConfig || class == ClassRefused
	if f, ok := errors.AsType[*Failure](err); ok && f.RetryAt.After(now) {
		k.retryAt = earlier(f.RetryAt, now.Add(schedule.LongestRetryAfter))
		k.shared.bePatient(f.Endpoint, k.retryAt)
	}
	k.plan(now, k.current.life(), k.current.Record.Draw)
}

// look reads what is published and writes what is in memory, if that is not what is there. No issuer is asked, and the
// next attempt stays as it is planned.
func (k *Keeper) look(ctx context.Context) {
	now, h, kind := k.now(), k.current, Healed
	k.heal = time.Time{}
	switch {
	case k.pending != nil:
		h, kind = *k.pending, Published
	case k.foreign:
		return
	}
	if !h.aliveAt(now) {
		return
	}
	t, r, err := k.Sink.Read(ctx)
	if err == nil && r.Token == h.Record.Token && kind == Healed {
		return
	}
	if err == nil && k.takesOver(t, r, h) {
		k.current, k.pending, k.writes = held{t, r}, nil, 0
		k.plan(now, k.current.life(), r.Draw)
		k.report(Event{Kind: Adopted, Trigger: TriggerPublished, Start: now})
		return
	}
	k.healed = now
	began := time.Now()
	if err = k.write(ctx, h); err != nil {
		kind = Failed
	}
	k.report(Event{Kind: kind, Trigger: TriggerPublished, Err: err, Start: now, Took: time.Since(began)})
}

// takesOver reports whether what somebody else published in our place is better than h: of the same source, good, and
// with more life left. That is what `renewd once --force` beside a running daemon does.
func (k *Keeper) takesOver(t Token, r Record, h held) bool {
	if k.Distrust || t.Value.IsZero() || r.Fingerprint != k.Fingerprint || !r.ExpiresAt.After(h.ExpiresAt) {
		return false
	}
	t.ExpiresAt = provenExpiry(t, k.now())
	_, err := k.Check.Verify(t, k.now())
	return err == nil && t.ExpiresAt.After(h.ExpiresAt)
}
