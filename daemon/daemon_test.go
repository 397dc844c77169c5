// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/renewd/renewd/daemon"
)

// wall is a wall clock that a test can step.
type wall struct{ by atomic.Int64 }

func (w *wall) now() time.Time       { return time.Now().Add(time.Duration(w.by.Load())).Round(0) }
func (w *wall) step(d time.Duration) { w.by.Add(int64(d)) }

// A week of one-hour tokens: an issuer that fails one time in ten and is down for ten minutes every six hours, a clock
// that is set forth and back, and a machine that sleeps. The published token is alive at every look, but for the minute in
// which a step is noticed, and the issuer is never asked twice in a second.
func TestWeek(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { week(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func week(t *testing.T, random *rand.Rand) {
	clock, began := &wall{}, time.Now()
	i := &issuer{life: time.Hour, wall: clock.now}
	i.fail = func(n int) error {
		age := time.Since(began)
		switch {
		case n > 1 && age%(6*time.Hour) > 5*time.Hour+50*time.Minute:
			return &daemon.Failure{Class: daemon.ClassUnavailable, Err: errors.New("an outage")}
		case n > 1 && random.IntN(10) == 0:
			return &daemon.Failure{Class: daemon.ClassMalformed, Err: errors.New("bad luck")}
		}
		return nil
	}
	b := newBench(t, i)
	b.Draw = rand.New(rand.NewPCG(random.Uint64(), 2)).Float64
	d := &daemon.Daemon{Wall: clock.now}
	defer run(t, d, b.Keeper)()
	synctest.Wait()

	steps := map[int]time.Duration{ // in which minute, by how much: NTP, a human, a laptop lid
		700: 90 * time.Minute, 2000: -2 * time.Hour, 3000: 8 * time.Hour, 4500: -24 * time.Hour, 6000: 3 * time.Minute, 7000: -3 * time.Minute, 8000: 48 * time.Hour,
	}
	unsettled := 0
	for minute := range 7 * 24 * 60 {
		if by, ok := steps[minute]; ok {
			clock.step(by)
			unsettled = minute + 4
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		e := b.last()
		if e.Token.Value.IsZero() || b.content(t) != e.Token.Value.Reveal() {
			t.Fatalf("minute %d: the file does not hold the token in force", minute)
		}
		if err := daemon.Ready(t.Context(), b.Sink, clock.now()); err != nil && minute > unsettled {
			t.Fatalf("minute %d: %v", minute, err)
		}
		if ahead := e.Token.IssuedAt.Sub(clock.now()); ahead > 0 && minute > unsettled {
			t.Fatalf("minute %d: the token was issued %v ahead of the clock", minute, ahead)
		}
		if err := d.Live(); err != nil {
			t.Fatalf("minute %d: not live: %v", minute, err)
		}
	}
	for n := 1; n < len(i.asked); n++ {
		if d := i.asked[n].Sub(i.asked[n-1]); d >= 0 && d < time.Second {
			t.Fatalf("attempts %d and %d are %v apart", n, n+1, d)
		}
	}
	if n := len(i.asked); n < 7*24 || n > 7*24*6 {
		t.Errorf("asked %d times in a week of one-hour tokens", n)
	}
}

func TestPanicStaysInItsKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := newBench(t, source(func(context.Context) (daemon.Token, error) {
			none := []daemon.Token{}
			return none[len(none)], nil
		}))
		good := newBench(t, &issuer{life: 2 * time.Minute})
		good.Name = "good"
		d := &daemon.Daemon{}
		defer run(t, d, bad.Keeper, good.Keeper)()
		time.Sleep(10 * time.Minute)
		if n := bad.logs.FilterMessage("keeper panicked").Len(); n < 5 || n > 25 {
			t.Errorf("ten minutes of panics were logged %d times", n)
		}
		if e := bad.last(); e.Kind != daemon.Panicked || e.Name != "orders" {
			t.Errorf("last event %+v", e)
		}
		if e := good.last(); e.Kind != daemon.Published || time.Since(e.Start) > 2*time.Minute {
			t.Errorf("the other keeper stood still: %+v", e)
		}
		if err := d.Live(); err != nil {
			t.Errorf("not live: %v", err)
		}
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		b := newBench(t, i)
		other := newBench(t, &issuer{life: time.Hour})
		other.Name = "other"
		d := &daemon.Daemon{}
		defer run(t, d, b.Keeper, other.Keeper)()
		time.Sleep(5 * time.Minute)

		// Another schedule: planned again with the same token and the same draw.
		changed := b.again(t, i)
		changed.Draw = func() float64 { return 0.01 } // for the next token
		changed.Policy.AtStart, changed.Policy.AtEnd = 0.5, 0.5
		d.Set([]*daemon.Keeper{changed.Keeper, other.Keeper})
		synctest.Wait()
		e := changed.last()
		if e.Kind != daemon.Adopted || i.count() != 1 || e.Next.Sub(e.Token.IssuedAt) != 18*time.Minute {
			t.Errorf("a new schedule: %s, asked %d times, next after %v", e.Kind, i.count(), e.Next.Sub(e.Token.IssuedAt))
		}

		// Another place: written there from memory.
		moved := changed.again(t, i)
		fresh := newBench(t, i)
		moved.path, moved.Sink = fresh.path, fresh.Sink
		d.Set([]*daemon.Keeper{moved.Keeper, other.Keeper})
		synctest.Wait()
		if got := moved.content(t); got != "token-1" || i.count() != 1 {
			t.Errorf("a new place holds %q, asked %d times", got, i.count())
		}
		if got := b.content(t); got != "token-1" {
			t.Errorf("the old place holds %q", got)
		}

		// Another source: one attempt.
		again := moved.again(t, i)
		again.Fingerprint = "f2"
		d.Set([]*daemon.Keeper{again.Keeper, other.Keeper})
		time.Sleep(time.Second)
		synctest.Wait()
		if got := again.content(t); got != "token-2" || again.last().Trigger != daemon.TriggerConfig {
			t.Errorf("a new source: %q, trigger %s", got, again.last().Trigger)
		}

		// Removed: it stops, and the file stays.
		d.Set([]*daemon.Keeper{other.Keeper})
		time.Sleep(3 * time.Hour)
		if got := again.content(t); got != "token-2" {
			t.Errorf("after removal the file holds %q", got)
		}
		if n := other.count(daemon.Published); n < 4 {
			t.Errorf("the unchanged keeper was disturbed: it published %d times", n)
		}
	})
}

// A token has one draw: a step of the clock plans it anew, and does not move it in its window.
func TestClockStepKeepsTheDraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &wall{}
		i := &issuer{life: time.Hour, wall: clock.now}
		b := newBench(t, i)
		first := 0.5
		b.Draw = func() float64 {
			draw := first
			first = 0.01
			return draw
		}
		defer run(t, &daemon.Daemon{Wall: clock.now}, b.Keeper)()
		time.Sleep(5 * time.Minute)
		clock.step(5 * time.Minute)
		// It is due after 27 minutes, the middle of its window; a new draw would make it due at once.
		time.Sleep(16 * time.Minute)
		if i.count() != 1 {
			t.Errorf("after 26 minutes the issuer was asked %d times", i.count())
		}
		time.Sleep(2 * time.Minute)
		if i.count() != 2 {
			t.Errorf("after 28 minutes the issuer was asked %d times", i.count())
		}
	})
}

// What another source handed out is written nowhere else: the new place may be for other eyes.
func TestReloadDoesNotCarryATokenToAnotherSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &issuer{life: time.Hour})
		d := &daemon.Daemon{}
		defer run(t, d, b.Keeper)()
		time.Sleep(5 * time.Minute)
		next := newBench(t, &issuer{fail: func(int) error { return errors.New("down") }})
		next.Fingerprint = "f2"
		d.Set([]*daemon.Keeper{next.Keeper})
		for range 100 {
			time.Sleep(10 * time.Second)
			next.Trigger(daemon.TriggerPublished)
		}
		synctest.Wait()
		if _, err := os.Stat(next.path); err == nil {
			t.Errorf("the new place holds %q", next.content(t))
		}
		if got := b.content(t); got != "token-1" {
			t.Errorf("the old place holds %q", got)
		}
	})
}

// What was asked for is done, though the attempt was cut short by a reload or the clock stepped.
func TestReloadKeepsWhatWasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		slow := source(func(ctx context.Context) (daemon.Token, error) {
			select {
			case <-ctx.Done():
				return daemon.Token{}, ctx.Err()
			case <-time.After(3 * time.Second):
				return i.Token(ctx)
			}
		})
		b := newBench(t, slow)
		d := &daemon.Daemon{}
		defer run(t, d, b.Keeper)()
		time.Sleep(time.Minute)
		d.Refresh("")
		time.Sleep(time.Second)
		changed := b.again(t, slow)
		d.Set([]*daemon.Keeper{changed.Keeper})
		time.Sleep(10 * time.Second)
		if i.count() != 2 || changed.last().Trigger != daemon.TriggerRequest {
			t.Errorf("asked %d times, last trigger %s", i.count(), changed.last().Trigger)
		}
	})
}

func TestReloadKeepsFailuresAndPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().Round(0)
		i := &issuer{fail: func(int) error {
			return &daemon.Failure{Class: daemon.ClassThrottled, RetryAt: began.Add(30 * time.Minute), Err: errors.New("429")}
		}}
		b := newBench(t, i)
		d := &daemon.Daemon{}
		defer run(t, d, b.Keeper)()
		synctest.Wait()
		for n := range 20 {
			b = b.again(t, i)
			b.Fingerprint = fmt.Sprint("f", n)
			d.Set([]*daemon.Keeper{b.Keeper})
			time.Sleep(time.Minute)
			d.Refresh("")
		}
		if i.count() != 1 {
			t.Errorf("twenty reloads asked a throttling issuer %d times", i.count()-1)
		}
	})
}

func TestAttemptsInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		var keepers []*daemon.Keeper
		for n := range 50 {
			b := newBench(t, source(func(context.Context) (daemon.Token, error) {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(4 * time.Second)
				now.Add(-1)
				return token("t", time.Now(), time.Hour), nil
			}))
			b.Name = fmt.Sprint("t", n)
			keepers = append(keepers, b.Keeper)
		}
		d := &daemon.Daemon{}
		defer run(t, d, keepers...)()
		time.Sleep(50 / 8 * 5 * time.Second)
		if most.Load() != 8 {
			t.Errorf("%d attempts at a time", most.Load())
		}
		if err := d.Live(); err != nil {
			t.Errorf("waiting for a place is not being late: %v", err)
		}
	})
}

// Whoever hangs holds up the others for five seconds, not for its timeout; and another issuer's not at all.
func TestHangingAttemptsDoNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keepers []*daemon.Keeper
		for n := range 8 {
			b := newBench(t, source(func(ctx context.Context) (daemon.Token, error) {
				<-ctx.Done()
				return daemon.Token{}, ctx.Err()
			}))
			b.Name, b.Timeout = fmt.Sprint("hanging", n), 10*time.Minute
			keepers = append(keepers, b.Keeper)
		}
		d := &daemon.Daemon{}
		d.Set(keepers)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = d.Run(ctx) }()
		synctest.Wait()
		local := newBench(t, &issuer{life: time.Hour})
		other := newBench(t, &remote{issuer{life: time.Hour}})
		local.Name, other.Name = "local", "other"
		d.Set(append(keepers, local.Keeper, other.Keeper))
		synctest.Wait()
		if other.last().Kind != daemon.Published {
			t.Error("another issuer's token waits for those that hang")
		}
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		if local.last().Kind != daemon.Published {
			t.Error("a token waits for more than five seconds for those that hang")
		}
		cancel()
		synctest.Wait()
	})
}

// While a reload waits for a Keeper to end, what is asked of the others is not lost.
func TestTriggersReachKeepersDuringAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, source(func(ctx context.Context) (daemon.Token, error) {
			<-ctx.Done()
			time.Sleep(10 * time.Second) // an end that takes its time
			return daemon.Token{}, ctx.Err()
		}))
		i := &issuer{life: time.Hour}
		other := newBench(t, i)
		other.Name = "other"
		d := &daemon.Daemon{}
		defer run(t, d, b.Keeper, other.Keeper)()
		time.Sleep(5 * time.Second)
		late := newBench(t, &issuer{life: time.Hour})
		late.Name = "late"
		d.Set([]*daemon.Keeper{other.Keeper, late.Keeper})
		time.Sleep(time.Second)
		if !d.Refresh("other") || !d.Refresh("late") || d.Refresh("orders") {
			t.Error("the wrong tokens are known")
		}
		time.Sleep(20 * time.Second)
		if i.count() != 2 {
			t.Errorf("the running one was asked %d times", i.count())
		}
		if late.last().Kind != daemon.Published {
			t.Errorf("the new one has no token: %+v", late.last())
		}
	})
}

func TestLiveNamesTheKeeperThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		b := newBench(t, source(func(context.Context) (daemon.Token, error) {
			<-hang // a read from a dead network file system honors no context
			return daemon.Token{}, errors.New("late")
		}))
		d := &daemon.Daemon{}
		stop := run(t, d, b.Keeper)
		time.Sleep(80 * time.Second)
		if err := d.Live(); err != nil {
			t.Errorf("within timeout and a minute: %v", err)
		}
		time.Sleep(time.Minute)
		if err := d.Live(); err == nil {
			t.Error("a hanging keeper is said to be live")
		}
		close(hang)
		synctest.Wait()
		if err := d.Live(); err != nil {
			t.Errorf("after it came back: %v", err)
		}
		stop()
	})
}

func TestClockThatBreaksMakesNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &wall{}
		i := &issuer{life: time.Hour, wall: clock.now}
		b := newBench(t, i)
		defer run(t, &daemon.Daemon{Wall: clock.now}, b.Keeper)()
		synctest.Wait()
		clock.step(10 * time.Hour)
		if daemon.Ready(t.Context(), b.Sink, clock.now()) == nil {
			t.Error("ready with a token that expired nine hours ago")
		}
		time.Sleep(time.Minute + 2*time.Second)
		synctest.Wait()
		if err := daemon.Ready(t.Context(), b.Sink, clock.now()); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		if _, err := os.Stat(b.path); err != nil {
			t.Error(err)
		}
	})
}
