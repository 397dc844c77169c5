// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestTheBuiltInPolicyIsInForceAtOnce(t *testing.T) {
	r := newRig(t)
	log := r.Logger().Named("daemon")
	log.Info("hidden")
	log.Warn("before Run", zap.Int("n", 1))
	if r.flush(); !strings.HasSuffix(r.err.String(), " | WARNING | before Run n=1\n") || strings.Contains(r.err.String(), "hidden") {
		t.Errorf("%q", r.err.String())
	}
	if s := r.State(); s.Generation != 0 || !s.Successful || zapcore.LevelOf(log.Core()) != zapcore.WarnLevel || log.Core().Enabled(zapcore.InfoLevel) {
		t.Errorf("%+v", s)
	}
}

// A child made before a reload obeys it: its fields are encoded for each generation.
func TestOldChildrenObeyTheNewPolicy(t *testing.T) {
	r := newRig(t).run()
	child := r.Logger().Named("token.db").With(zap.String("who", "child"), zap.Any("m", map[string]string{"card": "c-1", "key": "k-1"}))
	child.Info("before")
	r.apply("level: DEBUG\nformats: {text: {pattern: 'new %(message)s'}}\nredact: {keys: [card]}\n")
	child.Debug("after")
	r.flush()
	contains(t, r.err.String(), `new after who=child m="{\"card\":\"[redacted]\",\"key\":\"k-1\"}"`)
	r.apply("level: DEBUG\nhandlers: {c: {type: stream, stream: stdout, format: json}}\n")
	child.Debug("again")
	r.flush()
	contains(t, r.out.String(), `"msg":"again","who":"child","m":{"card":"c-1","key":"k-1"}}`)
	lacks(t, r.err.String(), "before", "again")
}

// What a With field was made of may change afterwards; the line does not, and there is no race.
func TestWithFieldsAreFrozen(t *testing.T) {
	r := newRig(t).run()
	m := map[string]int{"n": 1}
	child := r.Logger().With(zap.Any("m", m), zap.Namespace("ns"))
	m["n"] = 2
	child.Warn("x", zap.Int("i", 3))
	r.flush()
	contains(t, r.err.String(), `m="{\"n\":1}" ns="{\"i\":3}"`)
}

// Areas, handlers and floors.
func TestAreasChooseTheirHandlers(t *testing.T) {
	r := newRig(t).run()
	r.SetTokens([]string{"db"})
	r.apply(`
level: INFO
areas: {token: {handlers: [b]}, token.db: {level: DEBUG}, status: {handlers: [a, c]}}
formats: {a: {pattern: 'a %(message)s'}, b: {pattern: 'b %(message)s'}, c: {pattern: 'c %(message)s'}}
handlers:
  a: {type: stream, format: a}
  b: {type: stream, format: b, default: false}
  c: {type: stream, format: c, level: WARNING, default: false}
`)
	r.flush()
	r.err.reset()
	for _, area := range []string{"daemon", "token", "token.db", "token.other", "tokens", "status"} {
		r.Logger().Named(area).Debug(area + "-debug")
		r.Logger().Named(area).Info(area + "-info")
		r.Logger().Named(area).Warn(area + "-warn")
	}
	r.flush()
	want := "a daemon-info|a daemon-warn|b token-info|b token-warn|b token.db-debug|b token.db-info|b token.db-warn|b token.other-info|b token.other-warn|" +
		"a tokens-info|a tokens-warn|a status-info|a status-warn|c status-warn|"
	if got := strings.ReplaceAll(r.err.String(), "\n", "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for label, n := range map[string]uint64{"area token.db level DEBUG": 1, "area token level INFO": 2, "area status level WARNING": 1, "area root level INFO": 1} {
		if r.counter("lines_total", label) < n {
			t.Errorf("%s: %d, want %d: %v", label, r.counter("lines_total", label), n, r.State().Counters)
		}
	}
}

// A handler that hangs costs callers 100 ms once, then lines are dropped and counted, and it recovers.
func TestAStuckHandlerDelaysOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &buffer{gate: make(chan struct{})}
		s := New(Options{Areas: areas, Stderr: out, Stdout: &buffer{}})
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = s.Run(ctx) })
		log := s.Logger().Named("token")
		begin := time.Now()
		for range 5000 {
			log.Warn("x")
		}
		if waited := time.Since(begin); waited != maxWait {
			t.Errorf("waited %v", waited)
		}
		if err := s.Sync(); err == nil || time.Since(begin) > maxWait+maxFlush {
			t.Error("a stuck handler must be given up by Sync", err)
		}
		out.mu.Lock()
		close(out.gate)
		out.gate = nil
		out.mu.Unlock()
		synctest.Wait()
		log.Warn("recovered")
		if err := s.Sync(); err != nil {
			t.Error(err)
		}
		n := strings.Count(out.String(), " | x\n") + 1
		contains(t, out.String(), "recovered")
		if dropped := 5001 - n; dropped < 3900 || fmt.Sprint(s.State().Counters[0]) != fmt.Sprintf("{lines_dropped_total [handler console reason full] %d}", dropped) {
			t.Errorf("%d lines, %v", n, s.State().Counters)
		}
		cancel()
		group.Wait()
	})
}

// When Run returns everything is over, but for a handler that is stuck, which is left behind after a second.
func TestRunEndsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &buffer{gate: make(chan struct{})}
		s := New(Options{Areas: areas, Stderr: out, Stdout: &buffer{}})
		ctx, cancel := context.WithCancel(t.Context())
		s.Logger().Warn("x")
		var group sync.WaitGroup
		group.Go(func() { _ = s.Run(ctx) })
		synctest.Wait()
		begin := time.Now()
		cancel()
		group.Wait()
		if took := time.Since(begin); took != maxFlush {
			t.Errorf("took %v", took)
		}
		close(out.gate)
	})
}

func TestLinesAfterRunWaitForSync(t *testing.T) {
	r := newRig(t).run()
	before := runtime.NumGoroutine()
	r.stop()
	r.Logger().Warn("late")
	if n := runtime.NumGoroutine(); n >= before {
		t.Errorf("%d goroutines, %d with Run", n, before)
	}
	r.flush()
	contains(t, r.err.String(), "late")
}

// A caller that is still inside when a handler leaves the policy loses nothing: its line opens the handler once more.
func TestAStuckHandlerTakesNoLinesOfOthersWithIt(t *testing.T) {
	r := newRig(t)
	r.apply("handlers: {a: {type: file, path: DIR}, b: {type: stream, stream: stdout}, c: {type: stream}}")
	gate := make(chan struct{})
	defer close(gate)
	r.out.gate = gate
	r.Logger().Warn("last words")
	if err := r.Sync(); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	contains(t, r.err.String(), "last words")
	contains(t, r.read("renewd.log"), "last words")
}

func TestALateLineIsWritten(t *testing.T) {
	out := &buffer{}
	k := silent().newSink("x", &stream{out: out}, nil)
	k.start()
	k.stop(true)
	if !k.ended(time.Second) {
		t.Fatal("still runs")
	}
	k.put([]byte("late"), &output{name: "x"}, false)
	eventually(t, "the late line", func() bool { return out.String() == "late\n" })
	if !k.ended(time.Second) {
		t.Error("still runs")
	}
}

// A log call from within a handler.
func TestAHandlerMayLog(t *testing.T) {
	var s *Switch
	w := writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "first") {
			s.Logger().Error("from within")
		}
		return 0, errors.New("no")
	})
	s = New(Options{Areas: areas, Stderr: w})
	s.Logger().Error("first")
	s.Logger().Error("second")
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	_ = s.Sync()
	var n uint64
	for _, c := range s.State().Counters {
		if c.Name == "lines_dropped_total" {
			n += c.Value
		}
	}
	if n != 3 {
		t.Errorf("%v", s.State().Counters)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAHandlerMayPanic(t *testing.T) {
	r := newRig(t)
	s := New(Options{Areas: areas, Stdout: writerFunc(func([]byte) (int, error) { panic("no") }), Stderr: &r.err})
	if err := s.Apply("p", []byte("version: 1\nhandlers: {o: {type: stream, stream: stdout}}"), "test"); err != nil {
		t.Fatal(err)
	}
	s.Logger().Error("kept")
	_, _ = s.Sync(), s.Sync()
	contains(t, r.err.String(), "log handler o: panic in a log handler", " | ERROR | kept")
}

// A short write is an error, and the next line begins on a line of its own.
func TestAShortWriteIsMended(t *testing.T) {
	var got strings.Builder
	room := 4000
	w := writerFunc(func(p []byte) (int, error) {
		n := min(room, len(p))
		room -= n
		got.Write(p[:n])
		if n < len(p) {
			return n, syscall.ENOSPC
		}
		return n, nil
	})
	r := newRig(t)
	s := New(Options{Areas: areas, Stdout: w, Stderr: &r.err})
	if err := s.Apply("p", []byte("version: 1\nformats: {text: {pattern: '%(message)s'}}\nhandlers: {o: {type: stream, stream: stdout, onError: drop}}"), "test"); err != nil {
		t.Fatal(err)
	}
	_ = s.Sync()
	room = 8
	s.Logger().Warn("first")
	s.Logger().Warn("second")
	s.Logger().Warn("third")
	_ = s.Sync()
	room = 100
	s.Logger().Warn("fourth")
	_, _ = s.Sync(), s.Sync()
	if want := "first\nse\nfourth\n"; !strings.HasSuffix(got.String(), want) {
		t.Errorf("%q", got.String())
	}
	contains(t, r.err.String(), "log handler o: no space left on device")
	if strings.Count(r.err.String(), "no space left") != 1 {
		t.Error("said more than once a minute")
	}
	var dropped uint64
	for _, c := range s.State().Counters {
		if c.Name == "write_errors_total" {
			dropped = c.Value
			if fmt.Sprint(c.Labels) != "[handler o errno ENOSPC]" {
				t.Error(c)
			}
		}
	}
	if dropped < 2 {
		t.Error(dropped)
	}
}

// A pipe takes 4 KiB whole: the lines of other programs that write to it do not end up in ours.
func TestStreamsGetWholeLinesInWritesThatPipesKeepTogether(t *testing.T) {
	var writes []string
	s := New(Options{Areas: areas, Stderr: writerFunc(func(p []byte) (int, error) { writes = append(writes, string(p)); return len(p), nil })})
	log := s.Logger()
	for i := range 300 {
		log.Warn(fmt.Sprint(i))
		if i == 100 {
			log.Warn(strings.Repeat("x", 10000))
		}
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	for _, w := range writes {
		if !strings.HasSuffix(w, "\n") || len(w) > pipeBuf && strings.Count(w, "\n") > 1 {
			t.Errorf("%d bytes: %q", len(w), w)
		}
	}
	if len(writes) > 100 {
		t.Errorf("%d writes for 301 lines", len(writes))
	}
	contains(t, strings.Join(writes, ""), "| 0\n", "| 299\n", "xxxx\n")
}

// What panics between a log call and the queues costs a line, which is counted, and never the caller.
func TestAPanicInTheLogStaysThere(t *testing.T) {
	r := newRig(t).run()
	g := *r.current.Load()
	broken := *g.outputs["console"]
	g.outputs = map[string]*output{"console": &broken}
	made := r.evaluate(&g)
	broken.format = nil
	r.current.Store(made)
	r.Logger().Named("token").Error("into the void")
	if n := r.counter("panics_total", "area token"); n != 1 {
		t.Errorf("%d panics were counted", n)
	}
}

// The place of a call is found without zap's help, however the logger is used.
func TestCallersAreThoseWhoLog(t *testing.T) {
	r := newRig(t).run()
	r.apply("level: INFO\nformats: {text: {pattern: '%(filename)s %(funcName)s %(message)s', fields: omit}}")
	r.flush()
	r.err.reset()
	log := r.Logger().Named("token").With(zap.Int("n", 1))
	log.Info("a")
	log.Sugar().Infof("%s", "b")
	if ce := log.Check(zapcore.WarnLevel, "c"); ce != nil {
		ce.Write()
	}
	logCritical(log, "d")
	r.Failed("daemon", "e", errors.New("why"))
	r.flush()
	for _, m := range []string{"a", "b", "c", "d", "e"} {
		contains(t, r.err.String(), "core_test.go TestCallersAreThoseWhoLog "+m)
	}
}

func TestCriticalDoesNotPanicInDevelopment(t *testing.T) {
	r := newRig(t).run()
	logCritical(r.Logger().WithOptions(zap.Development()).Named("daemon"), "very bad", zap.Int("n", 1))
	logCritical(zap.NewNop(), "nobody hears")
	r.flush()
	contains(t, r.err.String(), " | CRITICAL | very bad n=1", "TestCriticalDoesNotPanic")
}

func TestErrorsAndPanicsAreLoggedAsThePolicySays(t *testing.T) {
	r := newRig(t).run()
	r.apply("exceptions: {level: WARNING, trace: 'OFF', panics: ERROR}\nformats: {text: {pattern: '%(levelname)s %(name)s %(funcName)s %(message)s'}}")
	r.flush()
	r.err.reset()
	r.Failed("daemon", "worker ended", errors.New("why"))
	func() {
		defer func() { r.Recovered("token", recover()) }()
		panic("boom")
	}()
	r.flush()
	contains(t, r.err.String(), "WARNING daemon TestErrorsAndPanics", "worker ended error=why\n", "ERROR token 1 panic panic=boom trace=", "logpolicy.TestErrorsAndPanicsAreLoggedAsThePolicySays.func1")
	if r.counter("panics_total", "area token") != 1 {
		t.Error(r.State().Counters)
	}
	r.apply("exceptions: {level: 'OFF', panics: 'OFF'}")
	r.flush()
	r.err.reset()
	r.Failed("daemon", "worker ended", errors.New("why"))
	r.flush()
	if r.err.String() != "" {
		t.Error(r.err.String())
	}
}

// Go ends a process that gets EPIPE on descriptor 1 or 2. A reader that goes away must not do that.
func TestABrokenPipeDoesNotEndTheProcess(t *testing.T) {
	if os.Getenv("LOGPOLICY_CHILD") == "pipe" {
		s := New(Options{Areas: areas})
		for range 3 {
			s.Logger().Error("into the void")
			_ = s.Sync()
		}
		os.Exit(42)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestABrokenPipe")
	cmd.Env = append(os.Environ(), "LOGPOLICY_CHILD=pipe")
	cmd.Stderr = write
	_ = read.Close()
	err = cmd.Run()
	_ = write.Close()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 42 {
		t.Error(err)
	}
}

// A file system that hangs while a policy is prepared stops neither the levels nor the lines nor the end of Run.
func TestAnApplyThatHangsStopsNothingElse(t *testing.T) {
	r := newRig(t)
	r.applying.Lock() // as Apply holds it while it opens files
	defer r.applying.Unlock()
	r.run()
	if err := r.SetLevel("root", "INFO", time.Minute); err != nil {
		t.Fatal(err)
	}
	r.SetTokens([]string{"db"})
	r.Logger().Named("token.db").Info("goes on")
	r.flush()
	contains(t, r.err.String(), "goes on")
	begin := time.Now()
	if r.stop(); time.Since(begin) > 20*maxFlush || r.State().Generation != 0 {
		t.Error("Run did not end")
	}
}

// A handler that hangs may leave the policy, and come back: neither waits for it, and what it was given before is written when
// it moves again.
func TestAHangingHandlerMayLeaveAndComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, stderr := &buffer{gate: make(chan struct{})}, &buffer{}
		s := New(Options{Areas: areas, Stderr: stderr, Stdout: out})
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = s.Run(ctx) })
		const with = "handlers: {out: {type: stream, stream: stdout}, console: {type: stream}}"
		mustApply(t, s, with)
		for i := range 2000 {
			s.Logger().Warn(fmt.Sprint("line-", i))
		}
		synctest.Wait()
		begin := time.Now()
		mustApply(t, s, "level: INFO")
		s.Logger().Info("without it")
		mustApply(t, s, with)
		s.Logger().Warn("with it again")
		mustApply(t, s, "level: INFO")
		if took := time.Since(begin); took > 2*maxWait {
			t.Errorf("three reloads took %v", took)
		}
		out.mu.Lock()
		close(out.gate)
		out.gate = nil
		out.mu.Unlock()
		synctest.Wait()
		if err := s.Sync(); err != nil {
			t.Error(err)
		}
		contains(t, out.String(), "| line-0\n", "| line-1000\n")
		contains(t, stderr.String(), "without it\n", "with it again\n", "line-1999\n")
		var dropped uint64
		for _, c := range s.State().Counters {
			if c.Name == "lines_dropped_total" {
				dropped += c.Value
				if c.Labels[1] != "out" {
					t.Errorf("%v", c)
				}
			}
		}
		if n := strings.Count(out.String(), "line-"); n+int(dropped) < 2000 || n < 1000 {
			t.Errorf("%d lines, %d dropped", n, dropped)
		}
		cancel()
		group.Wait()
	})
}
