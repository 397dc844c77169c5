// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/schedule"
	"github.com/renewd/renewd/daemon/sink/file"
)

// source is a Source made of a function.
type source func(context.Context) (daemon.Token, error)

func (f source) Token(ctx context.Context) (daemon.Token, error) { return f(ctx) }

// raw is a Format whose bytes are the token.
type raw struct{}

func (raw) Encode(t daemon.Token) ([]byte, error) { return []byte(t.Value.Reveal()), nil }
func (raw) Decode(data []byte) (daemon.Token, error) {
	return daemon.Token{Value: daemon.NewSecret(string(data)), Type: "Bearer"}, nil
}

// issuer hands out numbered tokens of one lifetime, and remembers when it was asked.
type issuer struct {
	life time.Duration
	wall func() time.Time
	fail func(n int) error // nil: never

	mu    sync.Mutex
	asked []time.Time
}

func (i *issuer) Token(context.Context) (daemon.Token, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = append(i.asked, i.now())
	if i.fail != nil {
		if err := i.fail(len(i.asked)); err != nil {
			return daemon.Token{}, err
		}
	}
	return token(fmt.Sprintf("token-%d", len(i.asked)), i.now(), i.life), nil
}

func (i *issuer) now() time.Time {
	if i.wall != nil {
		return i.wall()
	}
	return time.Now().Round(0)
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.asked)
}

func token(value string, issued time.Time, life time.Duration) daemon.Token {
	return daemon.Token{Value: daemon.NewSecret(value), Type: "Bearer", IssuedAt: issued, ExpiresAt: issued.Add(life)}
}

// bench is one Keeper with a real file and everything that is seen of it.
type bench struct {
	*daemon.Keeper
	path string
	logs *observer.ObservedLogs

	mu     sync.Mutex
	events []daemon.Event
}

func newBench(t *testing.T, s daemon.Source) *bench {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	b := &bench{path: filepath.Join(t.TempDir(), "token"), logs: logs}
	b.Keeper = &daemon.Keeper{
		Name: "orders", Source: s, Fingerprint: "f1", Log: zap.New(core),
		Sink:   &file.Sink{Path: b.path, Format: raw{}, Mode: 0o600, Owner: -1, Group: -1},
		Policy: schedule.Default(),
		Draw:   func() float64 { return 0.5 },
		Observe: func(e daemon.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
		},
	}
	return b
}

// again returns a bench whose Keeper is what a restart would make of this one.
func (b *bench) again(t *testing.T, s daemon.Source) *bench {
	next := newBench(t, s)
	next.path = b.path
	next.Sink = b.Sink
	return next
}

func (b *bench) last() daemon.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) == 0 {
		return daemon.Event{}
	}
	return b.events[len(b.events)-1]
}

func (b *bench) count(kind daemon.Kind) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (b *bench) content(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// run starts the Keepers in a Daemon and returns what stops them.
func run(t *testing.T, d *daemon.Daemon, keepers ...*daemon.Keeper) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	d.Set(keepers)
	tasks.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() { cancel(); tasks.Wait() }
}

func TestTokenIsReplacedInItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		b := newBench(t, i)
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		synctest.Wait()
		if got := b.content(t); got != "token-1" {
			t.Fatalf("at start the file holds %q", got)
		}
		// The first is drawn from 6 to 48 minutes, the later ones from 42 to 48; the draw is the middle.
		time.Sleep(27*time.Minute + time.Second)
		if got := b.content(t); got != "token-2" {
			t.Fatalf("after the first window's middle the file holds %q", got)
		}
		time.Sleep(45 * time.Minute)
		if got := b.content(t); got != "token-3" {
			t.Fatalf("after the second window's middle the file holds %q", got)
		}
		if e := b.last(); e.Kind != daemon.Published || e.Trigger != daemon.TriggerSchedule || e.Failures != 0 ||
			e.Next.Sub(e.Token.IssuedAt) != 45*time.Minute || e.WindowEnd.Sub(e.Token.IssuedAt) != 48*time.Minute {
			t.Errorf("the last event: %+v", e)
		}
	})
}

func TestFailureKeepsTheOldTokenAndRearms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		i := &issuer{life: time.Hour}
		i.fail = func(n int) error {
			if n > 1 && !up.Load() {
				return &daemon.Failure{Class: daemon.ClassUnavailable, Code: "down", Err: errors.New("connection refused")}
			}
			return nil
		}
		b := newBench(t, i)
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		time.Sleep(3 * time.Hour)
		if got := b.content(t); got != "token-1" {
			t.Fatalf("two hours after its expiry the file holds %q", got)
		}
		if n := i.count(); n < 100 || n > 3*3600 {
			t.Errorf("asked %d times in three hours", n)
		}
		if n := b.logs.FilterMessage("token refresh failed").FilterLevelExact(zap.WarnLevel).Len(); n != 1 {
			t.Errorf("the same failure was logged %d times at warn, want once", n)
		}
		if n := b.logs.FilterMessage("token expired").Len(); n != 1 {
			t.Errorf("expiry was logged %d times, want once", n)
		}
		up.Store(true)
		time.Sleep(2 * time.Minute)
		if got := b.content(t); got == "token-1" || b.last().Failures != 0 {
			t.Errorf("two minutes after the issuer came back the file holds %q, %d failures", got, b.last().Failures)
		}
		if b.logs.FilterMessage("token refresh recovered").Len() != 1 {
			t.Error("recovery was not logged")
		}
	})
}

// No answer of a server, no trigger and no failure makes two attempts come closer than the floor.
// Who was refused, or has a key that cannot be used, waits as after many failures at once: hurrying cannot help.
func TestRefusalIsNotHurried(t *testing.T) {
	for class, want := range map[daemon.Class]time.Duration{
		daemon.ClassUnavailable: 30 * time.Second, daemon.ClassMalformed: 30 * time.Second,
		daemon.ClassRefused: 150 * time.Second, daemon.ClassConfig: 150 * time.Second,
	} {
		t.Run(string(class), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, &issuer{life: time.Hour, fail: func(n int) error {
					if n == 1 {
						return nil
					}
					return &daemon.Failure{Class: class, Err: errors.New("no")}
				}})
				defer run(t, &daemon.Daemon{}, b.Keeper)()
				time.Sleep(27*time.Minute + time.Second)
				e := b.last()
				if wait := e.Next.Sub(e.Start); e.Kind != daemon.Failed || wait != want {
					t.Errorf("%s, again after %v, want %v", e.Kind, wait, want)
				}
			})
		})
	}
}

func TestFloorHoldsAgainstEverything(t *testing.T) {
	for name, life := range map[string]time.Duration{"ends at once": time.Millisecond, "a second": time.Second, "an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{life: life}
				b := newBench(t, i)
				defer run(t, &daemon.Daemon{}, b.Keeper)()
				for range 1000 {
					time.Sleep(20 * time.Millisecond)
					b.Trigger(daemon.TriggerRequest)
					b.Trigger(daemon.TriggerClock)
					b.Trigger(daemon.TriggerInput)
				}
				synctest.Wait()
				for n := 1; n < len(i.asked); n++ {
					if d := i.asked[n].Sub(i.asked[n-1]); d < time.Second {
						t.Fatalf("attempts %d and %d are %v apart", n, n+1, d)
					}
				}
				if n := len(i.asked); n < 15 || n > 21 {
					t.Errorf("asked %d times in twenty seconds of triggers", n)
				}
			})
		})
	}
}

func TestTimeoutEndsAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, source(func(ctx context.Context) (daemon.Token, error) {
			<-ctx.Done()
			return daemon.Token{}, ctx.Err()
		}))
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		time.Sleep(30*time.Second + time.Millisecond)
		synctest.Wait()
		e := b.last()
		if e.Kind != daemon.Failed || daemon.ClassOf(e.Err) != daemon.ClassUnavailable || e.Took != 30*time.Second {
			t.Errorf("got %+v", e)
		}
	})
}

func TestRetryAfterBindsAllKeepersOfTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().Round(0)
		throttle := func(int) error {
			if now := time.Now(); now.Sub(began) < 10*time.Minute {
				return &daemon.Failure{Class: daemon.ClassThrottled, Endpoint: "https://idp", RetryAt: began.Add(10 * time.Minute), Err: errors.New("429")}
			}
			return nil
		}
		first, second := &remote{issuer{life: time.Hour, fail: throttle}}, &remote{issuer{life: time.Hour, fail: throttle}}
		a, b := newBench(t, first), newBench(t, second)
		b.Name = "billing"
		a.Draw = func() float64 { return 0 }
		stop := run(t, &daemon.Daemon{}, a.Keeper)
		synctest.Wait()
		stop()
		d := &daemon.Daemon{}
		a2 := a.again(t, first)
		defer run(t, d, a2.Keeper, b.Keeper)()
		for range 9*60 + 50 {
			time.Sleep(time.Second)
			d.Refresh("")
		}
		if n := first.count() + second.count(); n > 3 {
			t.Errorf("the endpoint was asked %d times while it had asked for patience", n)
		}
		time.Sleep(30 * time.Second)
		if a2.content(t) == "" || b.content(t) == "" {
			t.Error("no token after the issuer's time had come")
		}
	})
}

// A Keeper that never asked obeys what another one of its endpoint was told.
func TestRetryAfterIsNotTriedByAnotherKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(10 * time.Minute).Round(0)
		first := &remote{issuer{life: time.Hour, fail: func(int) error {
			if time.Now().Before(until) {
				return &daemon.Failure{Class: daemon.ClassThrottled, Endpoint: "https://idp", RetryAt: until, Err: errors.New("429")}
			}
			return nil
		}}}
		second, elsewhere := &remote{issuer{life: time.Hour}}, &issuer{life: time.Hour}
		a, b, c := newBench(t, first), newBench(t, second), newBench(t, elsewhere)
		b.Name, c.Name = "billing", "other"
		d := &daemon.Daemon{}
		defer run(t, d, a.Keeper)()
		synctest.Wait()
		d.Set([]*daemon.Keeper{a.Keeper, b.Keeper, c.Keeper})
		for range 9*60 + 50 {
			time.Sleep(time.Second)
			d.Refresh("billing")
		}
		synctest.Wait()
		if first.count() != 1 || second.count() != 0 || elsewhere.count() != 1 {
			t.Errorf("asked %d, %d and, of another issuer, %d times", first.count(), second.count(), elsewhere.count())
		}
		time.Sleep(30 * time.Second)
		if a.content(t) == "" || b.content(t) == "" {
			t.Error("no token after the issuer's time had come")
		}
	})
}

type remote struct{ issuer }

func (*remote) Endpoint() string { return "https://idp" }

func TestHealingWritesFromMemory(t *testing.T) {
	damage := map[string]func(path string) error{
		"deleted":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 2) },
		"altered":   func(path string) error { return os.WriteFile(path, []byte("token-9"), 0o600) },
		"opened up": func(path string) error { return os.Chmod(path, 0o666) },
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{life: time.Hour}
				b := newBench(t, i)
				defer run(t, &daemon.Daemon{}, b.Keeper)()
				synctest.Wait()
				for range 2 {
					if err := harm(b.path); err != nil {
						t.Fatal(err)
					}
					if daemon.Ready(t.Context(), b.Sink, time.Now()) == nil {
						t.Error("ready although the file was " + name)
					}
					b.Trigger(daemon.TriggerPublished)
					time.Sleep(time.Second + time.Millisecond)
					synctest.Wait()
					if got := b.content(t); got != "token-1" {
						t.Errorf("the file holds %q", got)
					}
					if err := daemon.Ready(t.Context(), b.Sink, time.Now()); err != nil {
						t.Errorf("not ready after healing: %v", err)
					}
				}
				if e := b.last(); e.Kind != daemon.Healed || i.count() != 1 {
					t.Errorf("kind %s, the issuer was asked %d times", e.Kind, i.count())
				}
			})
		})
	}
}

func TestHealingIsAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &issuer{life: time.Hour})
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		synctest.Wait()
		for range 100 {
			_ = os.Remove(b.path)
			b.Trigger(daemon.TriggerPublished)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if healed := b.count(daemon.Healed); healed < 9 || healed > 11 {
			t.Errorf("healed %d times in ten seconds", healed)
		}
	})
}

func TestRestartAdoptsWhatIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		b := newBench(t, i)
		stop := run(t, &daemon.Daemon{}, b.Keeper)
		synctest.Wait()
		next := b.last().Next
		stop()

		for range 20 {
			time.Sleep(time.Minute)
			b = b.again(t, i)
			b.Draw = func() float64 { return 0.01 }
			stop := run(t, &daemon.Daemon{}, b.Keeper)
			synctest.Wait()
			if e := b.last(); e.Kind != daemon.Adopted || !e.Next.Equal(next) {
				t.Fatalf("after a restart: %s, next attempt %v, was planned for %v", e.Kind, e.Next, next)
			}
			stop()
		}
		if i.count() != 1 {
			t.Errorf("twenty restarts asked the issuer %d times", i.count()-1)
		}
	})
}

// The first life is also that of an adopted token, survives a reload, and is forgotten with its source.
func TestShorterLifeIsSaid(t *testing.T) {
	for fingerprint, want := range map[string]int{"f1": 1, "f2": 0} {
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{life: time.Hour}
			b := newBench(t, i)
			stop := run(t, &daemon.Daemon{}, b.Keeper)
			synctest.Wait()
			stop()

			i.life = 40 * time.Minute
			b = b.again(t, i)
			d := &daemon.Daemon{}
			defer run(t, d, b.Keeper)()
			time.Sleep(2 * time.Hour)
			next := b.again(t, i)
			next.Fingerprint = fingerprint
			synctest.Wait() // an attempt may be due at this very moment
			i.life = 20 * time.Minute
			d.Set([]*daemon.Keeper{next.Keeper})
			time.Sleep(2 * time.Hour)
			notice := zap.String("notice", "the life of new tokens is less than half of the first one's: 20m of 1h")
			if before, after := b.logs.FilterField(notice).Len(), next.logs.FilterField(notice).Len(); before != 0 || after != want {
				t.Errorf("%s: said %d and %d times", fingerprint, before, after)
			}
		})
	}
}

func TestRestartAsksWhenItMust(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*bench)
		away    time.Duration
		trigger string
	}{
		"another source":   {func(b *bench) { b.Fingerprint = "f2" }, 0, daemon.TriggerConfig},
		"told not to":      {func(b *bench) { b.NoAdopt = true }, 0, daemon.TriggerStart},
		"expired":          {func(*bench) {}, 2 * time.Hour, daemon.TriggerStart},
		"due":              {func(*bench) {}, 50 * time.Minute, daemon.TriggerStart},
		"another audience": {func(b *bench) { b.Check.MaxBytes = 3 }, 0, daemon.TriggerStart},
		"no record":        {func(b *bench) { _ = os.Remove(filepath.Join(filepath.Dir(b.path), ".token.renewd")) }, 0, daemon.TriggerStart},
		"altered":          {func(b *bench) { _ = os.WriteFile(b.path, []byte("other"), 0o600) }, 0, daemon.TriggerStart},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{life: time.Hour}
				b := newBench(t, i)
				stop := run(t, &daemon.Daemon{}, b.Keeper)
				synctest.Wait()
				stop()
				time.Sleep(c.away)
				b = b.again(t, i)
				c.change(b)
				defer run(t, &daemon.Daemon{}, b.Keeper)()
				synctest.Wait()
				if i.count() != 2 || b.last().Trigger != c.trigger {
					t.Errorf("asked %d times, trigger %q", i.count()-1, b.last().Trigger)
				}
			})
		})
	}
}

func TestWriteFailureDoesNotAskTheIssuerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		b := newBench(t, i)
		if err := os.Mkdir(b.path, 0o700); err != nil {
			t.Fatal(err)
		}
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		time.Sleep(5 * time.Minute)
		if e := b.last(); e.Kind != daemon.Failed || daemon.ClassOf(e.Err) != daemon.ClassWrite || e.Failures < 3 {
			t.Fatalf("got %+v", e)
		}
		if err := os.Remove(b.path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if got := b.content(t); got != "token-1" || i.count() != 1 {
			t.Errorf("the file holds %q, the issuer was asked %d times", got, i.count())
		}
	})
}

func TestSameTokenAgainIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().Round(0)
		asked := 0
		b := newBench(t, source(func(context.Context) (daemon.Token, error) {
			asked++
			return token("same", began, time.Hour), nil
		}))
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		synctest.Wait()
		before, err := os.Stat(b.path)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(55 * time.Minute)
		after, err := os.Stat(b.path)
		if err != nil || !after.ModTime().Equal(before.ModTime()) || !os.SameFile(before, after) {
			t.Errorf("the file was written again: %v", err)
		}
		if e := b.last(); e.Kind != daemon.Unchanged || asked > 8 {
			t.Errorf("kind %s, asked %d times", e.Kind, asked)
		}
	})
}

func TestShutdownInMidAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		var slow atomic.Bool
		b := newBench(t, source(func(ctx context.Context) (daemon.Token, error) {
			if slow.Load() {
				<-ctx.Done()
				return daemon.Token{}, ctx.Err()
			}
			return i.Token(ctx)
		}))
		stop := run(t, &daemon.Daemon{}, b.Keeper)
		synctest.Wait()
		slow.Store(true)
		b.Trigger(daemon.TriggerRequest)
		time.Sleep(2 * time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 0 {
			t.Errorf("the end took %v", took)
		}
		if got := b.content(t); got != "token-1" || b.last().Kind != daemon.Published {
			t.Errorf("the file holds %q, last event %s", got, b.last().Kind)
		}
	})
}

func TestOnce(t *testing.T) {
	fail := func(c daemon.Class, times int) func(int) error {
		return func(n int) error {
			if n <= times {
				return &daemon.Failure{Class: c, Err: errors.New("no")}
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		fail  func(int) error
		class daemon.Class // empty: success
		asked int
	}{
		"at once":                {nil, "", 1},
		"after two failures":     {fail(daemon.ClassUnavailable, 2), "", 3},
		"refused: no use":        {fail(daemon.ClassRefused, 9), daemon.ClassRefused, 1},
		"configuration: no use":  {fail(daemon.ClassConfig, 9), daemon.ClassConfig, 1},
		"malformed, then better": {fail(daemon.ClassMalformed, 1), "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{life: time.Hour, fail: c.fail}
				b := newBench(t, i)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := b.Once(ctx)
				if (err != nil) != (c.class != "") || err != nil && daemon.ClassOf(err) != c.class || i.count() != c.asked {
					t.Errorf("error %v, asked %d times", err, i.count())
				}
			})
		})
	}
}

// A clock that slips back during a Retry-After costs a moment, not the attempt.
func TestOnceOutlastsARetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		i.fail = func(n int) error {
			if n == 1 {
				return &daemon.Failure{Class: daemon.ClassThrottled, RetryAt: time.Now().Add(10 * time.Second), Err: errors.New("429")}
			}
			return nil
		}
		b := newBench(t, i)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.Once(ctx); err != nil || i.count() != 2 {
			t.Errorf("%v, asked %d times", err, i.count())
		}
	})
}

// Healing says nothing about the source: it recovers only when it was asked.
func TestHealingIsNoRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		i.fail = func(n int) error {
			if n > 1 {
				return errors.New("down")
			}
			return nil
		}
		b := newBench(t, i)
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		time.Sleep(time.Minute)
		b.Trigger(daemon.TriggerRequest)
		time.Sleep(2 * time.Second)
		if err := os.Remove(b.path); err != nil {
			t.Fatal(err)
		}
		b.Trigger(daemon.TriggerPublished)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if b.last().Kind != daemon.Healed || b.last().Failures != 1 || b.logs.FilterMessage("token refresh recovered").Len() != 0 {
			t.Errorf("last event %+v, recovered said %d times", b.last(), b.logs.FilterMessage("token refresh recovered").Len())
		}
	})
}

func TestOnceEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &issuer{fail: func(int) error { return errors.New("down") }})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		if err := b.Once(ctx); err == nil || time.Since(began) > 20*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestSeveralPlacesHealEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		b := newBench(t, i)
		second := filepath.Join(t.TempDir(), "copy")
		b.Sink = daemon.Sinks{b.Sink, &file.Sink{Path: second, Format: raw{}, Mode: 0o600, Owner: -1, Group: -1}}
		stop := run(t, &daemon.Daemon{}, b.Keeper)
		synctest.Wait()
		stop()
		if err := os.Remove(b.path); err != nil {
			t.Fatal(err)
		}
		b = b.again(t, i)
		if err := daemon.Ready(t.Context(), b.Sink, time.Now()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ready: %v", err)
		}
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		synctest.Wait()
		if got := b.content(t); got != "token-1" || i.count() != 1 {
			t.Errorf("the file holds %q, the issuer was asked %d times", got, i.count())
		}
	})
}

// A place that cannot be written does not roll the others back, and does not keep the issuer from being asked.
func TestOnePlaceThatFailsDoesNotHarmTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		b := newBench(t, i)
		blocked := filepath.Join(t.TempDir(), "copy")
		b.Sink = daemon.Sinks{b.Sink, &file.Sink{Path: blocked, Format: raw{}, Mode: 0o600, Owner: -1, Group: -1}}
		b.Policy.Spread = false
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		synctest.Wait()
		if err := os.Remove(blocked); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(blocked, "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
		last := 1
		for range 4 * 3600 {
			time.Sleep(time.Second)
			b.Trigger(daemon.TriggerPublished)
			synctest.Wait()
			var n int
			if _, err := fmt.Sscanf(b.content(t), "token-%d", &n); err != nil || n < last {
				t.Fatalf("token %d was replaced by %q", last, b.content(t))
			}
			last = n
		}
		if last != 6 || i.count() != 6 {
			t.Errorf("after four hours the file holds token %d, the issuer was asked %d times", last, i.count())
		}
		if daemon.Ready(t.Context(), b.Sink, time.Now()) == nil {
			t.Error("ready, though one place cannot be read")
		}
		if err := os.RemoveAll(blocked); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if got, err := os.ReadFile(blocked); err != nil || string(got) != b.content(t) {
			t.Errorf("after it was out of the way the other place holds %q, %v", got, err)
		}
	})
}

func TestPlacesThatDifferAreNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		b := newBench(t, i)
		second := &file.Sink{Path: filepath.Join(t.TempDir(), "copy"), Format: raw{}, Mode: 0o600, Owner: -1, Group: -1}
		first := b.Sink
		b.Sink = daemon.Sinks{first, second}
		stop := run(t, &daemon.Daemon{}, b.Keeper)
		synctest.Wait()
		stop()
		other := token("token-0", time.Now().Round(0), time.Hour)
		if err := second.Write(t.Context(), other, daemon.Record{Token: other.Digest(), IssuedAt: other.IssuedAt, ExpiresAt: other.ExpiresAt, Fingerprint: "f1"}); err != nil {
			t.Fatal(err)
		}
		if daemon.Ready(t.Context(), b.Sink, time.Now()) == nil {
			t.Error("ready, though the places hold different tokens")
		}
		next := b.again(t, i)
		defer run(t, &daemon.Daemon{}, next.Keeper)()
		synctest.Wait()
		if err := daemon.Ready(t.Context(), b.Sink, time.Now()); err != nil || i.count() != 1 {
			t.Errorf("after a restart: %v, asked %d times", err, i.count())
		}
	})
}

// Another process published in our place: a better token of the same source is taken over, anything else is overwritten.
func TestWhatSomebodyElsePublished(t *testing.T) {
	for name, c := range map[string]struct {
		life        time.Duration
		fingerprint string
		distrust    bool
		want        string
	}{
		"better":                   {2 * time.Hour, "f1", false, "foreign"},
		"worse":                    {10 * time.Minute, "f1", false, "token-1"},
		"of another source":        {2 * time.Hour, "f2", false, "token-1"},
		"better, but not believed": {2 * time.Hour, "f1", true, "token-1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{life: time.Hour}
				b := newBench(t, i)
				b.Distrust = c.distrust
				defer run(t, &daemon.Daemon{}, b.Keeper)()
				synctest.Wait()
				other := token("foreign", time.Now().Round(0), c.life)
				r := daemon.Record{Token: other.Digest(), Type: "Bearer", IssuedAt: other.IssuedAt, ExpiresAt: other.ExpiresAt, Fingerprint: c.fingerprint, Draw: 0.5}
				if err := b.Sink.Write(t.Context(), other, r); err != nil {
					t.Fatal(err)
				}
				b.Trigger(daemon.TriggerPublished)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := b.content(t); got != c.want || i.count() != 1 {
					t.Errorf("the file holds %q, asked %d times", got, i.count())
				}
				if e := b.last(); c.want == "foreign" && e.Next.Sub(other.IssuedAt) != 90*time.Minute {
					t.Errorf("the next attempt is %v after the issue of what was taken over", e.Next.Sub(other.IssuedAt))
				}
			})
		})
	}
}

// A record that promises more than the token's own exp is not believed.
func TestRecordCannotOutliveTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		b := newBench(t, i)
		now := time.Now().Round(0)
		enc := base64.RawURLEncoding.EncodeToString
		jwt := enc([]byte(`{"alg":"HS256"}`)) + "." + enc(fmt.Appendf(nil, `{"exp":%d}`, now.Add(time.Minute).Unix())) + ".c2ln"
		planted := token(jwt, now, 10*365*24*time.Hour)
		if err := b.Sink.Write(t.Context(), planted, daemon.Record{Token: planted.Digest(), Type: "Bearer", IssuedAt: now, ExpiresAt: planted.ExpiresAt, Fingerprint: "f1"}); err != nil {
			t.Fatal(err)
		}
		if err := daemon.Ready(t.Context(), b.Sink, now.Add(2*time.Minute)); err == nil {
			t.Error("ready with a token whose exp has passed")
		}
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		time.Sleep(time.Minute)
		if got := b.content(t); got != "token-1" {
			t.Errorf("a minute later the file holds %q", got)
		}
	})
}

// A slow issuer does not keep the file from being healed, and a key that changes meanwhile is not overlooked.
func TestWorkGoesOnDuringAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		slow := make(chan struct{})
		b := newBench(t, source(func(ctx context.Context) (daemon.Token, error) {
			if i.count() == 1 {
				<-slow
			}
			return i.Token(ctx)
		}))
		defer run(t, &daemon.Daemon{}, b.Keeper)()
		time.Sleep(time.Minute)
		b.Trigger(daemon.TriggerRequest)
		time.Sleep(time.Second)
		for range 3 {
			if err := os.Remove(b.path); err != nil {
				t.Fatal(err)
			}
			b.Trigger(daemon.TriggerPublished)
			time.Sleep(time.Second + time.Millisecond)
			synctest.Wait()
			if got := b.content(t); got != "token-1" {
				t.Errorf("during the attempt the file holds %q", got)
			}
		}
		b.Trigger(daemon.TriggerInput)
		time.Sleep(time.Second)
		close(slow)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := b.content(t); got != "token-3" || b.last().Trigger != daemon.TriggerInput {
			t.Errorf("the file holds %q, last trigger %s", got, b.last().Trigger)
		}
	})
}

// Whatever the daemon logs at its most talkative, the token is not in it.
func TestLogHoldsNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const canary = "canary-6Xq1"
		var out bytes.Buffer
		core, logs := observer.New(zap.DebugLevel)
		n := 0
		b := newBench(t, source(func(context.Context) (daemon.Token, error) {
			n++
			if n%3 == 0 {
				panic(daemon.NewSecret(canary))
			}
			if n%3 == 1 {
				return daemon.Token{}, &daemon.Failure{Class: daemon.ClassRefused, Err: errors.New("no")}
			}
			return token(fmt.Sprint(canary, n), time.Now(), time.Hour), nil
		}))
		b.Log = zap.New(core)
		stop := run(t, &daemon.Daemon{Log: b.Log}, b.Keeper)
		for range 20 {
			time.Sleep(30 * time.Second)
			b.Trigger(daemon.TriggerRequest)
			if b.last().Token.Value.IsZero() {
				continue
			}
			fmt.Fprintf(&out, "%v %+v %#v %s %q\n", b.last(), b.last(), b.last(), b.last().Token, b.last().Token.Value)
			_ = os.Remove(b.path)
			b.Trigger(daemon.TriggerPublished)
		}
		stop()
		for _, e := range logs.All() {
			fmt.Fprintf(&out, "%s %+v\n", e.Message, e.ContextMap())
		}
		if logs.Len() < 20 {
			t.Fatalf("only %d lines were logged", logs.Len())
		}
		if strings.Contains(out.String(), canary) {
			t.Errorf("the token was printed:\n%s", out.String())
		}
	})
}
