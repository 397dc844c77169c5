// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package logpolicy reads the log policy file and makes a running logger obey it: levels by area, handlers, formats,
// rotation, redaction. A policy is in force whole or not at all, and the last good one stays. It does not watch the file:
// whoever does calls what Follow returns.
//
// Logging never stops its caller: a line waits for a slow handler for 100 ms, once in a stall, and is then dropped and
// counted; nothing that happens below is returned to a log call, and a panic in there is caught.
//
// The way of a line: core gathers it and redacts its parts; generation.line gives it the form of a format and redacts it
// as a whole; sink queues it, and its goroutine hands it to a stream or a file.
//
// Limits: after Run has returned, and before it is called, lines wait in their queues until Sync writes them. A handler
// stuck in a system call is left behind after a second. A secret that has no shape is hidden by its type or by the name of
// its field, and else not. Before a file is written, its path is tested only once a second. Linux only.
package logpolicy

import (
	"cmp"
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Options says what a Switch works with.
type Options struct {
	Areas          []Area    // every logger's name is one of them, or below "token."
	Level          *Level    // replaces the policy's top level; nil: nothing does
	Stderr, Stdout io.Writer // nil: those of the process

	// Placed returns when the file of this name was put in place: "for" counts from then. An error means that the policy is
	// no file's; then, and if Placed is nil, it counts from when the process first applied the text.
	Placed func(name string) (time.Time, error)
}

// Switch is a logger's outputs and levels, which change together. Make it with New. All methods are safe for concurrent use.
type Switch struct {
	areas   []Area
	flag    *Level
	placed  func(name string) (time.Time, error)
	counts  *counters
	stderr  *sink
	stdout  *sink
	process int
	started time.Time
	current atomic.Pointer[generation]
	records sync.Pool     // of *record
	wake    chan struct{} // of one: there is another deadline

	applying sync.Mutex // held by Apply, also while files are opened, which may take long
	changing sync.Mutex // held by whoever swaps current; after applying, before mu

	mu      sync.Mutex // guards all below, for short
	running bool
	files   map[string]*sink // by real path, for the life of the process
	tokens  []string         // nil: not known
	admin   []override       // in the order they were set
	report  report
	trying  *attempt // nil: there is none
}

// generation is what is in force at one time. It is immutable.
type generation struct {
	number   int // 0: nothing was applied yet
	name     string
	sum      string    // SHA-256 of the content, in hexadecimal digits; empty: the built-in policy
	loaded   time.Time // when it came into force
	since    time.Time // what "for" counts from
	partial  bool      // a file could not be opened at start
	policy   *policy
	outputs  map[string]*output
	layers   layers
	ending   []override // temporary levels in force
	tree     tree
	least    zapcore.Level
	redactor *redactor
	fields   zapcore.Encoder
	callers  bool // a format asks where the program logged
}

// New returns a Switch with the built-in policy in force: WARNING, stderr, text. It starts nothing.
func New(o Options) *Switch {
	s := &Switch{areas: slices.Clone(o.Areas), flag: o.Level, placed: o.Placed, counts: newCounters(), process: os.Getpid(), started: time.Now(),
		wake: make(chan struct{}, 1), files: map[string]*sink{}}
	s.stderr = s.newSink("stderr", &stream{out: cmp.Or[io.Writer](o.Stderr, os.Stderr)}, nil)
	s.stdout = s.newSink("stdout", &stream{out: cmp.Or[io.Writer](o.Stdout, os.Stdout)}, s.stderr)
	s.records.New = func() any { return new(record) }
	s.report.good = true
	s.current.Store(s.evaluate(s.builtIn(0)))
	return s
}

// builtIn returns the policy that holds where there is none.
func (s *Switch) builtIn(number int) *generation {
	p := newPolicy()
	return &generation{number: number, policy: p, fields: fieldEncoder(), redactor: newRedactor(p.Redact, s.countRedaction),
		outputs: map[string]*output{"console": newOutput("console", p, s.stderr)}}
}

func (s *Switch) countRedaction(rule string) { s.counts.add("redactions_total", 1, "rule", rule) }

// panicked counts a panic of an area.
func (s *Switch) panicked(logger string) {
	s.counts.add("panics_total", 1, "area", cmp.Or(s.current.Load().tree.find(logger).area, "root"))
}

// newOutput makes a handler of a policy.
func newOutput(name string, p *policy, to *sink) *output {
	h, f := p.Handlers[name], p.Formats[p.Handlers[name].Format]
	return &output{name: name, floor: zapcore.Level(h.Level), format: &f, formatName: h.Format,
		maxLine: int(h.MaxLine), drop: h.OnError == "drop", sink: to}
}

// Logger returns the root logger. Its children are named after areas.
func (s *Switch) Logger() *zap.Logger {
	return zap.New(&core{s: s}, zap.WithClock(unread{}), zap.AddStacktrace(zap.LevelEnablerFunc(s.traced)),
		zap.WithPanicHook(quit{s}), zap.WithFatalHook(quit{s}))
}

// traced reports whether lines of a level carry a stack trace.
func (s *Switch) traced(l zapcore.Level) bool {
	return l >= zapcore.Level(s.current.Load().policy.Exceptions.Trace)
}

// Failed logs an error that ended a piece of work, at the level that the policy has for errors.
func (s *Switch) Failed(area, message string, err error) {
	l := s.current.Load().policy.Exceptions.Level
	emit(s.Logger().Named(area), l, message, s.traced(zapcore.Level(l)), []zap.Field{zap.Error(err)})
}

// Recovered logs and counts a panic: value is what recover returned. Call it from the deferred function, so that the trace
// shows where the panic began.
func (s *Switch) Recovered(area string, value any) {
	s.panicked(area)
	emit(s.Logger().Named(area), s.current.Load().policy.Exceptions.Panics, "panic", true, []zap.Field{zap.Any("panic", value)})
}

// Run writes the lines and ends temporary levels until ctx ends. Then it flushes, and returns nil when all is over, at the
// latest after about a second. Only one Run at a time.
func (s *Switch) Run(ctx context.Context) error {
	s.changing.Lock()
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	for _, k := range s.inUse(s.current.Load()) {
		k.start()
	}
	s.changing.Unlock()
	for ctx.Err() == nil {
		s.wait(ctx)
		s.expire()
		s.nag()
		s.tellLosses()
	}
	s.mu.Lock()
	s.running = false
	s.mu.Unlock()
	all := s.others()
	end := time.Now().Add(maxFlush)
	for _, k := range all {
		k.stop(false)
	}
	for _, k := range all {
		k.ended(time.Until(end) - maxFlush/4)
	}
	s.stderr.stop(false) // last, since it takes what the others cannot write
	s.stderr.ended(time.Until(end))
	return nil
}

// wait sleeps until the next deadline, a new one, or the end of ctx, but at most a second: some deadlines are on the wall
// clock, which may step while timers run on. The others are not: Run would not rest until they have come.
func (s *Switch) wait(ctx context.Context) {
	var due <-chan time.Time
	if d, ok := s.nextDeadline(); ok {
		timer := time.NewTimer(min(max(time.Until(d), 0), time.Second))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-due:
	}
}

// rouse tells Run that a deadline may have changed.
func (s *Switch) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// others returns all sinks but stderr, which takes what they cannot write.
func (s *Switch) others() []*sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.AppendSeq([]*sink{s.stdout}, maps.Values(s.files))
}

// inUse returns the sinks of a generation, stderr always among them.
func (s *Switch) inUse(g *generation) []*sink {
	list := []*sink{s.stderr}
	for _, o := range g.outputs {
		if !slices.Contains(list, o.sink) {
			list = append(list, o.sink)
		}
	}
	return list
}

// Sync returns when all lines that were accepted before are written. It gives up after about a second.
func (s *Switch) Sync() error {
	all := s.others()
	for _, k := range append(all, s.stderr) {
		k.flush(0) // so that a stuck one takes no time from the others
	}
	end := time.Now().Add(maxFlush)
	ok := true
	for _, k := range all {
		ok = k.flush(time.Until(end)-maxFlush/4) && ok
	}
	if ok = s.stderr.flush(time.Until(end)) && ok; !ok { // last, since it takes what the others cannot write
		return context.DeadlineExceeded
	}
	return nil
}

// evaluate fills in what follows from the rest of a generation and from what is known now.
func (s *Switch) evaluate(g *generation) *generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.layers = layers{policy: g.policy, file: g.sum != "", flag: s.flag, since: g.since,
		admin: slices.Clone(s.admin), now: time.Now().Round(0)}
	areas := areaNames(s.areas)
	for name := range g.policy.Areas {
		areas = append(areas, name)
	}
	for _, o := range g.layers.admin {
		areas = append(areas, o.area)
	}
	g.ending = g.layers.temporary()
	g.tree = newTree(&g.layers, areas, g.outputs, s.counts)
	g.least = g.tree.least()
	for _, o := range g.outputs {
		g.callers = g.callers || o.format.Pattern.asksCaller()
	}
	return g
}

// SetTokens says which tokens are configured, so that their areas are known. nil: not known.
func (s *Switch) SetTokens(names []string) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	s.tokens = slices.Clone(names)
	s.mu.Unlock()
	s.again()
}

// again works the generation in force out once more. The caller holds changing.
func (s *Switch) again() {
	g := *s.current.Load()
	s.current.Store(s.evaluate(&g))
	s.rouse()
}
