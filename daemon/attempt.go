// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/renewd/renewd/daemon/schedule"
)

// Remote is implemented by a Source that asks a server. All Keepers with one Endpoint obey a Retry-After that any of
// them was given.
type Remote interface {
	// Endpoint returns scheme and host; it does not change during the Source's life.
	Endpoint() string
}

// attempt makes the attempt that is due, unless an issuer's Retry-After holds it back, and plans the next one:
//
//  1. wait for one of the few places for attempts in flight
//  2. take the token that is still to be published, or ask the Source within Timeout
//  3. check it
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

	trigger, start := k.reason, k.now()
	began := time.Now()
	k.attempted = start
	h, err := k.obtain(ctx, trigger)
	if err != nil && ctx.Err() != nil {
		return err // told to stop: nothing is known about the issuer
	}
	kind := Failed
	if err == nil {
		kind, err = k.publish(ctx, h)
	}
	if err == nil {
		k.succeed(kind)
	} else {
		kind = Failed
		k.fail(err)
	}
	k.report(Event{Kind: kind, Trigger: trigger, Err: err, Start: start, Took: time.Since(began)})
	return err
}

// hold returns how long the attempt that is due must wait because its issuer asked for patience.
func (k *Keeper) hold() time.Duration {
	now := k.now()
	until := k.retryAt
	if r, ok := k.Source.(Remote); ok {
		until = later(until, k.shared.patience(r.Endpoint()))
	}
	return k.Policy.Hold(now, k.current.life(), until, k.attempted)
}

// place waits for one of the places for attempts in flight. It returns nil if ctx ends before. Nothing is late while it
// waits here: a slow issuer must not make the process look dead.
func (k *Keeper) place(ctx context.Context) (release func()) {
	if k.shared == nil {
		return func() {}
	}
	k.promise(forever)
	select {
	case k.shared.places <- struct{}{}:
		k.promise(0)
		return func() { <-k.shared.places }
	case <-ctx.Done():
		return nil
	}
}

// obtain returns the token to publish: the pending one as long as it is fresh and nobody asked for another, or a new one
// from the Source.
func (k *Keeper) obtain(ctx context.Context, trigger string) (held, error) {
	if p := k.pending; p != nil && trigger == TriggerSchedule && p.aliveAt(k.now()) &&
		k.Policy.Refresh(k.now(), p.life(), p.Record.Draw) > k.Policy.Least() {
		return *p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout())
	defer cancel()
	t, err := k.Source.Token(ctx)
	if err != nil {
		if _, classed := errors.AsType[*Failure](err); !classed && ctx.Err() != nil {
			err = &Failure{Class: ClassUnavailable, Err: fmt.Errorf("no answer within %v", k.timeout())}
		}
		return held{}, err
	}
	notices, err := k.Check.Verify(t, k.now())
	if err != nil {
		return held{}, err
	}
	h := held{t, Record{
		Token: t.Digest(), Type: t.Type, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt,
		Draw: k.draw(), First: k.first, Fingerprint: k.Fingerprint,
	}}
	k.notice(slices.Concat(t.Notices, notices, k.Policy.Notices(h.life())))
	return h, nil
}

// publish writes h, and keeps it as pending if that fails. A token that is published already keeps its record, so that
// nothing on disk changes.
func (k *Keeper) publish(ctx context.Context, h held) (Kind, error) {
	kind := Published
	if h.Value.Equal(k.current.Value) {
		if k.pending == nil {
			kind = Unchanged
		}
		if !h.ExpiresAt.IsZero() && h.ExpiresAt.Sub(k.current.ExpiresAt).Abs() < 2*time.Second &&
			h.Record.Fingerprint == k.current.Record.Fingerprint {
			h = k.current
		}
	}
	// A write in hand is finished: it is quick, and half a publish is worth nothing.
	if err := k.Sink.Write(context.WithoutCancel(ctx), h.Token, h.Record); err != nil {
		k.pending = &h
		return Failed, err
	}
	k.current, k.pending = h, nil
	return kind, nil
}

// succeed plans the next attempt after a success.
func (k *Keeper) succeed(kind Kind) {
	k.failures, k.refused, k.retryAt, k.first = 0, false, time.Time{}, false
	life := k.current.life()
	life.Unchanged = kind == Unchanged
	now := k.now()
	k.next, k.reason = now.Add(k.Policy.Refresh(now, life, k.current.Record.Draw)), TriggerSchedule
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
	k.replan(now)
}

// look reads what is published and writes it again from memory if it is not as it was written. No issuer is asked.
func (k *Keeper) look(ctx context.Context) {
	now := k.now()
	k.heal = time.Time{}
	if !k.current.aliveAt(now) {
		return
	}
	if _, _, err := k.Sink.Read(ctx); err == nil {
		return
	}
	k.healed = now
	began := time.Now()
	kind := Healed
	err := k.Sink.Write(context.WithoutCancel(ctx), k.current.Token, k.current.Record)
	if err != nil {
		kind, k.pending = Failed, new(k.current)
		k.fail(err)
	}
	k.report(Event{Kind: kind, Trigger: TriggerPublished, Err: err, Start: now, Took: time.Since(began)})
}
