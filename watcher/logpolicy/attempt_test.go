// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A reload that hangs with the file system of a log file costs whoever offers it a second, once: the goroutine that watches
// the policy watches the keys of tokens as well. It counts when it gets through.
func TestAReloadThatHangsIsLeftAlone(t *testing.T) {
	r := newRig(t).run()
	changed := r.Follow("p.yaml", false)
	if err := changed(r.text("handlers: {main: {type: file, path: DIR}}"), nil); err != nil {
		t.Fatal(err)
	}
	stuck := r.theFile()
	stuck.mu.Lock() // as its goroutine holds it within a system call
	release := func() { stuck.mu.Unlock() }
	defer func() { release() }()
	next := r.text("level: DEBUG\nhandlers: {main: {type: file, path: DIR}, more: {type: file, path: DIR/more}}")
	begin := time.Now()
	if err := changed(next, nil); err == nil || time.Since(begin) > maxFlush+500*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	clear(next) // whoever offers a text uses its buffer again
	next = r.text("level: INFO\nhandlers: {more: {type: file, path: DIR/more}}")
	begin = time.Now()
	for range 20 {
		if err := changed(next, nil); err == nil {
			t.Error("what was not applied must be offered again")
		}
	}
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("the next twenty took %v", took)
	}
	if s := r.State(); s.Successful || s.Generation != 1 || s.Reloads[applyFailed] != 21 || !strings.Contains(s.Failure, "does not answer") {
		t.Errorf("%+v", s)
	}
	r.Switch.mu.Lock()
	stderr := r.Switch.stderr
	r.Switch.mu.Unlock()
	stderr.flush(time.Second)
	if n := strings.Count(r.err.String(), " | ERROR | policy not applied gen=1 error="); n != 1 {
		t.Errorf("said %d times\n%s", n, r.err.String())
	}

	release()
	release = func() {}
	eventually(t, "the first of them got through", func() bool { return r.State().Generation == 2 && r.levelOf("token") == "DEBUG" })
	eventually(t, "and the last, offered again", func() bool { return changed(next, nil) == nil })
	if s := r.State(); !s.Successful || r.levelOf("token") != "INFO" {
		t.Errorf("%+v", s)
	}
}

// A panic below an attempt ends neither the process nor what comes after it.
func TestAPanicEndsOneAttemptAlone(t *testing.T) {
	r := newRig(t).run()
	if err := r.Try(time.Second, func() error { panic("a library's") }); !errors.Is(err, errPanic) {
		t.Error(err)
	}
	if err := r.Offer("p", r.text("level: INFO"), "test"); err != nil || r.levelOf("token") != "INFO" {
		t.Error(err)
	}
	if n := r.counter("panics_total", "area policy"); n != 1 {
		t.Error(n)
	}
}

// Nobody offers again what a renewal could not: the policy is in force, and so it must not count as one that is not.
func TestARenewalThatHangsBlamesNoPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := New(Options{Areas: areas, Stderr: io.Discard, Placed: func(string) (time.Time, error) { return begin, nil }})
		text := []byte("version: 1\nareas: {token: {level: DEBUG, for: 1h}}")
		if err := s.Apply("p", text, "file"); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		if err := s.Try(0, func() error { <-release; return nil }); !errors.Is(err, errHangs) {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		begin = time.Now()
		read := func() ([]byte, error) { return text, nil }
		if err := s.Renew("p", read); !errors.Is(err, errHangs) || !s.State().Successful {
			t.Errorf("%v, %+v", err, s.State())
		}
		close(release)
		synctest.Wait()
		if err := s.Renew("p", read); err != nil || !s.current.Load().since.Equal(begin) {
			t.Errorf("%v, since %v", err, s.current.Load().since)
		}
	})
}
