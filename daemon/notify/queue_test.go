// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package notify_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/notify"
)

type consumer func(ctx context.Context, n notify.Note) error

func (c consumer) Notify(ctx context.Context, n notify.Note) error { return c(ctx, n) }
func (consumer) String() string                                    { return "test consumer" }

// told collects what consumers were told.
type told struct {
	mu    sync.Mutex
	notes []string
}

func (t *told) after(d time.Duration) notify.Notifier {
	return consumer(func(ctx context.Context, n notify.Note) error {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.notes = append(t.notes, n.Name+n.Digest)
		return nil
	})
}

func (t *told) list() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.notes)
}

func note(name, digest string) notify.Note { return notify.Note{Name: name, Digest: digest} }

// run starts q and returns a function that stops it and waits for its end.
func run(t *testing.T, q *notify.Queue) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := q.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

func TestSlowConsumerIsToldTheLatestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q notify.Queue
		var got told
		to := []notify.Notifier{got.after(time.Second)}
		q.Post("a", note("a", "1"), to) // before Run
		defer run(t, &q)()
		synctest.Wait()
		for i := range 100 {
			q.Post("a", note("a", fmt.Sprint(i+2)), to)
		}
		q.Post("b", note("b", "1"), []notify.Notifier{got.after(1500 * time.Millisecond)})
		time.Sleep(10 * time.Second)
		if want := []string{"a1", "b1", "a101"}; !slices.Equal(got.list(), want) {
			t.Errorf("got %q, want %q", got.list(), want)
		}
	})
}

func TestPostNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q notify.Queue
		var got told
		defer run(t, &q)()
		start := time.Now()
		for i := range 1000 {
			name := fmt.Sprint("t", i%100)
			q.Post(name, note(name, ""), []notify.Notifier{got.after(time.Second), got.after(time.Hour)})
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestTokensWaitForNoOtherUpToEight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q notify.Queue
		var got told
		defer run(t, &q)()
		for i := range 20 {
			name := fmt.Sprint("t", i, "-")
			q.Post(name, note(name, ""), []notify.Notifier{got.after(time.Second)})
		}
		for i, want := range []int{0, 8, 16, 20} {
			time.Sleep(time.Second/2 + time.Duration(i))
			synctest.Wait()
			if n := len(got.list()); n != want {
				t.Errorf("%d told in round %d, want %d", n, i, want)
			}
			time.Sleep(time.Second / 2)
		}
	})
}

func TestIdleQueueHasNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q notify.Queue
		var got told
		defer run(t, &q)()
		synctest.Wait()
		before := runtime.NumGoroutine()
		for i := range 10000 {
			q.Post(fmt.Sprint(i), notify.Note{}, []notify.Notifier{got.after(0)})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(got.list()); n != 10000 {
			t.Errorf("%d told", n)
		}
		if n := runtime.NumGoroutine(); n > before+3 { // the runtime's own come and go; a worker each would be eight

			t.Errorf("%d goroutines, %d before", n, before)
		}
	})
}

func TestRunEndsWithItsContextAndSaysWhatItDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		q := notify.Queue{Log: zap.New(core)}
		var got told
		stop := run(t, &q)
		q.Post("a", note("a", "1"), []notify.Notifier{got.after(time.Hour)})
		synctest.Wait()
		q.Post("a", note("a", "2"), []notify.Notifier{got.after(time.Hour)})
		start := time.Now()
		stop()
		if took := time.Since(start); took != 0 || len(got.list()) != 0 {
			t.Errorf("took %v, told %q", took, got.list())
		}
		var lines []string
		for _, e := range logs.All() {
			lines = append(lines, e.Message)
		}
		if want := []string{"consumer not notified", "notices dropped at the end"}; !slices.Equal(lines, want) {
			t.Errorf("got %q, want %q", lines, want)
		}
	})
}

func TestFailureIsLoggedObservedAndDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		var seen []string
		q := notify.Queue{Log: zap.New(core), Observe: func(name, kind string, err error) {
			seen = append(seen, fmt.Sprint(name, " ", kind, " ", err))
		}}
		var got told
		failing := consumer(func(context.Context, notify.Note) error {
			return &daemon.Failure{Class: daemon.ClassConfig, Err: errors.New("gone"), Hint: "look"}
		})
		stop := run(t, &q)
		q.Post("a", note("a", "1"), []notify.Notifier{failing, got.after(0)})
		q.Post("nobody", note("nobody", "1"), nil)
		time.Sleep(time.Hour)
		stop()
		if want := []string{"a test gone", "a test <nil>"}; !slices.Equal(seen, want) {
			t.Errorf("observed %q, want %q", seen, want)
		}
		all := logs.All()
		if len(all) != 2 || all[0].Level != zapcore.WarnLevel || all[1].Level != zapcore.InfoLevel {
			t.Fatalf("got %v", all)
		}
		fields := all[0].ContextMap()
		if fields["token"] != "a" || fields["consumer"] != "test consumer" || fields["error"] != "gone" || fields["hint"] != "look" {
			t.Errorf("got %v", fields)
		}
		if all[1].Message != "consumer notified" {
			t.Errorf("got %v", all[1])
		}
	})
}

func TestQueueUnderRace(t *testing.T) {
	var q notify.Queue
	var got told
	stop := run(t, &q)
	var posting sync.WaitGroup
	for i := range 4 {
		posting.Go(func() {
			for j := range 500 {
				name := fmt.Sprint("t", j%(i+3))
				q.Post(name, note(name, ""), []notify.Notifier{got.after(0)})
			}
			q.Post(fmt.Sprint("last", i), note(fmt.Sprint("last", i), ""), []notify.Notifier{got.after(0)})
		})
	}
	posting.Wait()
	for range 30_000 {
		n := 0
		for _, name := range got.list() {
			if strings.HasPrefix(name, "last") {
				n++
			}
		}
		if n == 4 {
			stop()
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	stop()
	t.Error("the last notes were not delivered")
}
