// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// kernel stands in for inotify in a bubble, where no goroutine may sit in a system call.
type kernel struct {
	events chan fsnotify.Event
	errs   chan error
	opened []time.Duration
	start  time.Time
	refuse func(n int) error // of the nth opening, from 1
	added  map[string]int
	onAdd  func() // called once, in the middle of a check
}

func newKernel() *kernel { return &kernel{start: time.Now(), added: make(map[string]int)} }

func (k *kernel) open() (notifier, error) {
	k.opened = append(k.opened, time.Since(k.start))
	if k.refuse != nil {
		if err := k.refuse(len(k.opened)); err != nil {
			return nil, err
		}
	}
	k.events, k.errs = make(chan fsnotify.Event, burst), make(chan error, burst)
	return k, nil
}

func (k *kernel) Add(dir string) error {
	k.added[dir]++
	if f := k.onAdd; f != nil {
		k.onAdd = nil
		f()
	}
	return nil
}

func (k *kernel) Remove(string) error           { return nil }
func (k *kernel) Events() <-chan fsnotify.Event { return k.events }
func (k *kernel) Errors() <-chan error          { return k.errs }
func (k *kernel) Close() error                  { return nil }

// bubble runs body with a watcher of path in virtual time. wait(t) sleeps until t after the first check.
type bubble struct {
	w    *Watcher
	k    *kernel
	r    *record
	s    *states
	path string
	stop func()
	zero time.Time
	logs *observer.ObservedLogs
}

func (b *bubble) until(at time.Duration) {
	time.Sleep(time.Until(b.zero.Add(at)))
	synctest.Wait()
}

func (b *bubble) event(op fsnotify.Op) { b.k.events <- fsnotify.Event{Name: b.path, Op: op} }

// inBubble starts with a file that holds "old" and was reported.
func inBubble(t *testing.T, k func(*kernel), body func(*testing.T, *bubble)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{k: newKernel(), r: newRecord(), s: new(states), path: filepath.Join(dir, "file"), zero: time.Now()}
		if k != nil {
			k(b.k)
		}
		write(t, b.path, "old")
		core, logs := observer.New(zap.InfoLevel)
		b.logs = logs
		b.w = &Watcher{Observe: b.s.observe, Log: zap.New(core)}
		b.w.Set([]File{{Path: b.path, Changed: b.r.changed}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.w.run(ctx, b.k.open) }()
		b.stop = func() {
			cancel()
			synctest.Wait()
			select {
			case err := <-done:
				must(t, err)
				done <- nil
			default:
				t.Error("Run did not end at once")
			}
		}
		defer b.stop()
		synctest.Wait()
		b.r.wants(t, 0, "old")
		body(t, b)
	})
}

const ms = time.Millisecond

// TestEditedFileSettles: a step happens at a time, with the events that the kernel gives for it.
func TestEditedFileSettles(t *testing.T) {
	type step struct {
		at   time.Duration
		do   func(*testing.T, string)
		says []fsnotify.Op
	}
	put := func(text string) func(*testing.T, string) {
		return func(t *testing.T, p string) { write(t, p, text) }
	}
	more := func(text string) func(*testing.T, string) {
		return func(t *testing.T, p string) { appendTo(t, p, text) }
	}
	remove := func(t *testing.T, p string) { must(t, os.Remove(p)) }
	rename := func(t *testing.T, p string) { replace(t, p, "whole") }
	w := []fsnotify.Op{fsnotify.Write}
	tests := []struct {
		name  string
		steps []step
		said  []string
		at    []time.Duration
	}{
		{"one write", []step{{0, put("new"), w}}, []string{"new"}, []time.Duration{300 * ms}},
		{"rename over at once", []step{{0, rename, []fsnotify.Op{fsnotify.Create}}}, []string{"whole"}, []time.Duration{0}},
		{
			"rm and create in two parts",
			[]step{
				{0, remove, []fsnotify.Op{fsnotify.Remove}},
				{1 * ms, put("fir"), []fsnotify.Op{fsnotify.Create, fsnotify.Write}},
				{151 * ms, more("st"), w},
			},
			[]string{"first"}, []time.Duration{451 * ms},
		},
		{
			"truncate, pause, write",
			[]step{{0, put(""), w}, {300 * ms, put("ne"), w}, {600 * ms, put("newer"), w}},
			[]string{"newer"}, []time.Duration{900 * ms},
		},
		{
			"a part that is valid",
			[]step{{0, put("longer"), w}, {150 * ms, more(" still"), w}},
			[]string{"longer still"}, []time.Duration{450 * ms},
		},
		{"back to the same", []step{{0, put("new"), w}, {50 * ms, put("old"), w}}, nil, nil},
		{
			"a check ran ahead of the rename's event",
			[]step{{0, rename, []fsnotify.Op{fsnotify.Chmod}}, {30 * ms, nil, []fsnotify.Op{fsnotify.Create}}},
			[]string{"whole"}, []time.Duration{30 * ms},
		},
		{
			"edited, then renamed over",
			[]step{{0, put("half"), w}, {50 * ms, rename, []fsnotify.Op{fsnotify.Create}}},
			[]string{"whole"}, []time.Duration{50 * ms},
		},
		{
			"deleted and back",
			[]step{{0, remove, []fsnotify.Op{fsnotify.Remove}}, {2000 * ms, put("back"), []fsnotify.Op{fsnotify.Create, fsnotify.Write}}},
			[]string{"missing", "back"}, []time.Duration{305 * ms, 2300 * ms},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, b *bubble) {
				for _, s := range tt.steps {
					b.until(s.at)
					if s.do != nil {
						s.do(t, b.path)
					}
					for _, op := range s.says {
						b.event(op)
					}
					synctest.Wait()
				}
				b.until(5 * time.Second)
				said, at := b.r.words()[1:], b.r.times()[1:]
				if !slices.Equal(said, tt.said) || !slices.Equal(at, tt.at) {
					t.Errorf("told %q at %v, want %q at %v", said, at, tt.said, tt.at)
				}
			})
		})
	}
}

// TestEventsDuringCheckCount: what arrives while a file is read decides whether it was replaced.
func TestEventsDuringCheckCount(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		b.until(2 * time.Second)
		replace(t, b.path, "half")
		b.k.onAdd = func() { b.event(fsnotify.Write) }
		b.event(fsnotify.Create)
		b.until(2100 * ms)
		write(t, b.path, "whole")
		b.event(fsnotify.Write)
		b.until(3 * time.Second)
		b.r.wants(t, 0, "old", "whole")
	})
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		b.until(2 * time.Second)
		b.k.onAdd = func() { b.event(fsnotify.Remove) }
		b.s.then = func() { // the first check is over: now it really goes, and comes back in parts
			must(t, os.Rename(b.path, b.path+"~"))
			write(t, b.path, "half")
			b.event(fsnotify.Create)
		}
		b.event(fsnotify.Chmod)
		b.until(2100 * ms)
		write(t, b.path, "whole")
		b.event(fsnotify.Write)
		b.until(3 * time.Second)
		b.r.wants(t, 0, "old", "whole")
	})
}

func TestPollFindsWhatEventsMissed(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		b.until(time.Second)
		replace(t, b.path, "new")
		b.until(10299 * ms) // found at 10 s; without an event a new inode proves nothing
		b.r.wants(t, 0, "old")
		b.until(10300 * ms)
		b.r.wants(t, 0, "old", "new")
	})
}

func TestMtimeProvesNothing(t *testing.T) {
	for _, when := range []time.Time{time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)} {
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			write(t, b.path, "odd")
			must(t, os.Chtimes(b.path, when, when))
			b.until(10300 * ms)
			b.r.wants(t, 0, "old", "odd")
		})
	}
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		st, err := os.Stat(b.path)
		must(t, err)
		write(t, b.path, "new") // same size, same mtime
		must(t, os.Chtimes(b.path, time.Time{}, st.ModTime()))
		b.until(10300 * ms)
		b.r.wants(t, 0, "old", "new")
	})
}

func TestDegradedBacksOffAndRecovers(t *testing.T) {
	refuse := func(k *kernel) {
		k.refuse = func(n int) error {
			if n < 10 {
				return unix.EMFILE
			}
			return nil
		}
	}
	inBubble(t, refuse, func(t *testing.T, b *bubble) {
		if st := b.s.of(b.path); st.Mode != Degraded || !errors.Is(st.Cause, unix.EMFILE) {
			t.Errorf("state %+v, want degraded by EMFILE", st)
		}
		write(t, b.path, "polled")
		b.until(11 * time.Second)
		b.r.wants(t, 0, "old", "polled")

		b.until(5 * time.Minute)
		s := time.Second
		want := []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s, 31 * s, 63 * s, 123 * s, 183 * s, 243 * s}
		if !slices.Equal(b.k.opened, want) {
			t.Errorf("opened at %v, want %v", b.k.opened, want)
		}
		if st := b.s.of(b.path); st.Mode != Inotify || st.Cause != nil {
			t.Errorf("state %+v, want inotify", st)
		}
		if n := b.w.Errors()[kindInstances]; n != 9 {
			t.Errorf("%d openings counted as failed, want 9", n)
		}
		lines := b.logs.All()
		if len(lines) != 2 || lines[0].Level != zap.WarnLevel || lines[0].ContextMap()["poll"] != 10*time.Second ||
			lines[0].ContextMap()["hint"] == "" || lines[1].Level != zap.InfoLevel {
			t.Errorf("logged %v, want one warning with poll and hint, and one line at the end", lines)
		}
		replace(t, b.path, "by event")
		b.event(fsnotify.Create)
		synctest.Wait()
		b.r.wants(t, 0, "old", "polled", "by event")
	})
}

func TestErrorsCauseFullCheck(t *testing.T) {
	tests := []struct {
		kind string
		err  error
	}{
		{kindOverflow, fsnotify.ErrEventOverflow},
		{kindEinval, os.NewSyscallError("inotify_rm_watch", unix.EINVAL)},
		{kindOther, errors.New("anything")},
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, b *bubble) {
				b.until(time.Second)
				replace(t, b.path, "new")
				b.k.errs <- tt.err
				b.event(fsnotify.Create) // proves nothing: a REMOVE may have been lost
				b.until(1299 * ms)
				b.r.wants(t, 0, "old")
				b.until(1300 * ms)
				b.r.wants(t, 0, "old", "new")
				if n := b.w.Errors()[tt.kind]; n != 1 {
					t.Errorf("counted %d, want 1", n)
				}
				if n := b.k.added[filepath.Dir(b.path)]; n < 2 {
					t.Errorf("the directory was added %d times, want once more after the error", n)
				}
			})
		})
	}
}

// A file that is gone is reported as missing, however much goes on around it.
func TestMissingAmidErrorsIsMissing(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		b.until(time.Second)
		if err := os.Remove(b.path); err != nil {
			t.Fatal(err)
		}
		for range 1500 {
			b.k.errs <- fsnotify.ErrEventOverflow
			time.Sleep(2 * ms)
		}
		synctest.Wait()
		b.r.wants(t, 0, "old", "missing")
	})
}

func TestClosedNotifierIsOpenedAnew(t *testing.T) {
	for _, which := range []string{"events", "errors"} {
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.until(time.Second)
			if which == "events" {
				close(b.k.events)
			} else {
				close(b.k.errs)
			}
			synctest.Wait()
			if st := b.s.of(b.path); st.Mode != Degraded {
				t.Errorf("%s closed: %+v, want degraded", which, st)
			}
			b.until(2 * time.Second)
			if st := b.s.of(b.path); st.Mode != Inotify || len(b.k.opened) != 2 {
				t.Errorf("%s closed: %+v after %d openings, want inotify after 2", which, st, len(b.k.opened))
			}
			replace(t, b.path, "new")
			b.event(fsnotify.Create)
			synctest.Wait()
			b.r.wants(t, 0, "old", "new")
			if n := b.w.Errors()[kindClosed]; n != 1 {
				t.Errorf("counted %d, want 1", n)
			}
		})
	}
}

func TestConstantWriterIsUnreadableOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		for i := range 100 { // 5 s
			write(t, b.path, fmt.Sprint("part ", i))
			b.event(fsnotify.Write)
			b.until(time.Duration(i+1) * 50 * ms)
		}
		b.until(10 * time.Second)
		b.r.wants(t, 0, "old", "unreadable", "part 99")
		if err := b.r.errs[1]; !errors.Is(err, ErrBusy) {
			t.Errorf("error %v, want ErrBusy", err)
		}
		if at := b.r.times()[1]; at != time.Second {
			t.Errorf("unreadable after %v, want 1 s", at)
		}
	})
}

func TestRefusedContentIsToldAtEachPoll(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		b.r.fail = true
		replace(t, b.path, "new")
		b.event(fsnotify.Create)
		b.event(fsnotify.Chmod)
		b.until(20 * time.Second)
		b.r.wants(t, 0, "old", "new", "new", "new")
		b.event(fsnotify.Chmod) // an event alone is no reason, or Changed could call itself
		b.until(21 * time.Second)
		b.r.wants(t, 0, "old", "new", "new", "new")
		b.r.fail = false
		for range 100 {
			b.w.Recheck()
		}
		synctest.Wait()
		b.r.wants(t, 0, "old", "new", "new", "new", "new")
		b.until(time.Minute)
		b.r.wants(t, 0, "old", "new", "new", "new", "new")
	})
}

func TestRecheckDuringChangedIsNotLost(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		var said []string
		b.w.Set([]File{{Path: b.path, Changed: func(data []byte, _ error) error {
			said = append(said, string(data))
			if string(data) == "one" {
				replace(t, b.path, "two")
				b.w.Recheck()
			}
			return nil
		}}})
		replace(t, b.path, "one")
		b.event(fsnotify.Create)
		b.until(time.Second)
		if !slices.Equal(said, []string{"one", "two"}) {
			t.Errorf("told %q, want one and two", said)
		}
	})
}

func TestStopWhileSettling(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		write(t, b.path, "new")
		b.event(fsnotify.Write)
		b.until(50 * ms)
		b.stop()
		b.r.wants(t, 0, "old")
	})
}

func TestSetKeepsStateAndTellsNewcomers(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		second, known := newRecord(), newRecord()
		b.w.Set([]File{
			{Path: b.path, Changed: b.r.changed},
			{Path: b.path, Changed: second.changed, MaxBytes: 4},
			{Path: b.path, Changed: known.changed, Known: true},
		})
		synctest.Wait()
		b.r.wants(t, 0, "old")
		second.wants(t, 0, "old")
		known.wants(t, 0)

		replace(t, b.path, "longer")
		b.event(fsnotify.Create)
		synctest.Wait()
		b.r.wants(t, 0, "old", "longer")
		second.wants(t, 0, "old", "unreadable")
		known.wants(t, 0, "longer")
		if !errors.Is(second.lastErr(), ErrTooLarge) {
			t.Errorf("error %v, want ErrTooLarge", second.lastErr())
		}

		b.w.Set(nil)
		synctest.Wait()
		replace(t, b.path, "unwatched")
		b.event(fsnotify.Create)
		b.until(time.Minute)
		b.r.wants(t, 0, "old", "longer")

		b.w.Set([]File{{Path: b.path, Changed: b.r.changed, Known: true}})
		b.until(2 * time.Minute)
		b.r.wants(t, 0, "old", "longer")
	})
}

// TestKnownSettles: a change between Set and the first check may be half of one.
func TestKnownSettles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path, r, k := filepath.Join(dir, "file"), newRecord(), newKernel()
		write(t, path, "known")
		w := new(Watcher)
		w.Set([]File{{Path: path, Known: true, Changed: r.changed}})
		write(t, path, "changed")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go w.run(ctx, k.open)
		time.Sleep(299 * ms)
		r.wants(t, 0)
		time.Sleep(2 * ms)
		r.wants(t, 0, "changed")
	})
}

// TestSettlingDelaysNobody: deadlines are per file.
func TestSettlingDelaysNobody(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		other := newRecord()
		path := b.path + "2"
		write(t, path, "2")
		b.w.Set([]File{{Path: b.path, Changed: b.r.changed}, {Path: path, Changed: other.changed}})
		synctest.Wait()
		write(t, b.path, "edited")
		b.event(fsnotify.Write)
		b.until(10 * ms)
		replace(t, path, "3")
		b.k.events <- fsnotify.Event{Name: path, Op: fsnotify.Create}
		synctest.Wait()
		b.r.wants(t, 0, "old")
		other.wants(t, 0, "2", "3")
	})
}

// TestIdleWakesAtPollsOnly counts the finished checks of an hour.
func TestIdleWakesAtPollsOnly(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bubble) {
		b.w.Set([]File{{Path: b.path, Poll: time.Minute, Changed: b.r.changed}})
		b.until(10 * time.Second) // the poll that was planned before
		before := b.s.count()
		b.until(time.Hour + 10*time.Second)
		if n := b.s.count() - before; n != 60 {
			t.Errorf("%d checks in an hour, want 60", n)
		}
		if st := b.s.of(b.path); time.Since(st.LastCheck) != 10*time.Second {
			t.Errorf("last check %v ago, want 10 s", time.Since(st.LastCheck))
		}
	})
}
