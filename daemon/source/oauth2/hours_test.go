// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
)

// lapse is a source in a bubble: an issuer that is good, then for hours says what it said in reality, and then is good again.
type lapse struct {
	*bench
	said  func(context.Context) (daemon.Token, error)
	wall  func() time.Time
	until time.Time // the end of the hours

	faults []error
	asked  []time.Time
}

func (l *lapse) Token(ctx context.Context) (daemon.Token, error) {
	now := l.wall()
	l.asked = append(l.asked, now)
	if n := len(l.asked); n > 1 && now.Sub(l.asked[n-2]) < time.Second {
		l.faults = append(l.faults, fmt.Errorf("attempt %d comes %v after the one before", n, now.Sub(l.asked[n-2])))
		time.Sleep(time.Hour) // or there would be millions
	}
	if len(l.asked) > 1 && now.Before(l.until) {
		return l.said(ctx)
	}
	value := good
	if !now.Before(l.until) {
		value = "better"
	}
	return daemon.Token{Value: daemon.NewSecret(value), Type: "Bearer", IssuedAt: now, ExpiresAt: now.Add(time.Hour)}, nil
}

func (*lapse) Endpoint() string { return "https://idp.test" }

// TestHoursOfEachAnswer lets an issuer answer in each hostile way for three hours, which is longer than the old token lives.
// What the real source makes of the answer is repeated in a bubble. No answer makes renewd ask faster than the floor allows or
// brings a byte into the file, and after them the file is good again by itself.
func TestHoursOfEachAnswer(t *testing.T) {
	i := hostile.New(t, nil)
	for name, c := range rows() {
		t.Run(name, func(t *testing.T) {
			i.Answer(c.answer)
			ctx, cancel := context.WithTimeout(t.Context(), max(c.timeout, time.Second))
			defer cancel()
			own := config(t, i)
			own.Scopes = []string{"a", "b"}
			began := time.Now().Round(0)
			token, err := source(t, own).Token(ctx)
			synctest.Test(t, func(t *testing.T) { hoursOf(t, began, token, err, c) })
		})
	}
}

// hoursOf repeats the outcome that the source had at began. The clock of the bubble goes on from there.
func hoursOf(t *testing.T, began time.Time, token daemon.Token, err error, c hostileCase) {
	start := time.Now()
	length := 3 * time.Hour
	if c.class == "" {
		length = 20 * time.Minute // each token is written, and the disk is a real one
	}
	l := &lapse{wall: func() time.Time { return began.Add(time.Since(start)).Round(0) }, until: began.Add(length)}
	l.said = func(context.Context) (daemon.Token, error) {
		again := token // what it says of its life counts from each answer
		if again.IssuedAt = l.wall(); !token.ExpiresAt.IsZero() {
			again.ExpiresAt = again.IssuedAt.Add(token.ExpiresAt.Sub(token.IssuedAt))
		}
		if f, ok := errors.AsType[*daemon.Failure](err); ok && !f.RetryAt.IsZero() {
			asks := *f // so does its patience
			asks.Endpoint, asks.RetryAt = l.Endpoint(), l.wall().Add(f.RetryAt.Sub(began))
			return again, &asks
		}
		return again, err
	}
	l.bench = newBench(t, l, 0)
	l.keeper.NoAdopt, l.keeper.Log = false, zap.NewNop()
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	d := &daemon.Daemon{Wall: l.wall}
	d.Set([]*daemon.Keeper{l.keeper})
	tasks.Go(func() { l.faults = append(l.faults, d.Run(ctx)) })
	for now := l.wall(); now.Before(l.until); now = l.wall() {
		time.Sleep(time.Minute)
		if text, err := os.ReadFile(l.path); c.class != "" && l.wall().Before(l.until) && (err != nil || string(text) != good) {
			t.Errorf("after %v the file holds %q, %v", now.Sub(began), text, err)
			break
		}
	}
	time.Sleep(6 * time.Minute)
	text, err := os.ReadFile(l.path)
	cancel()
	tasks.Wait()
	asked := len(slices.DeleteFunc(l.asked, l.until.Before))
	if c.class != "" && (string(text) != "better" || asked < 10) {
		t.Errorf("asked %d times in three hours; six minutes after them the file holds %q, %v", asked, text, err)
	}
	if err := errors.Join(l.faults...); err != nil {
		t.Errorf("%d faults, the first ones: %.300v", len(l.faults), err)
	}
}
