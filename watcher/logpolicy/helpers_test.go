// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// areas are those of renewd.
var areas = []Area{{"daemon", "start, stop, workers"}, {"token", "the refresh of tokens"}, {"notify", "telling consumers"},
	{"status", "health, metrics, admin socket"}, {"watcher", "file watching"}, {"policy", "this file"}, {"log", "the log itself"},
	{"config", "the main configuration"}}

// buffer is a stream that remembers. Writes fail while err is set and block while gate is not nil.
type buffer struct {
	mu    sync.Mutex
	bytes bytes.Buffer
	err   error
	gate  chan struct{}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	gate, err := b.gate, b.err
	b.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.String()
}

func (b *buffer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes.Reset()
}

// rig is a Switch with its streams. With running it is also run until the test ends.
type rig struct {
	*Switch
	t        *testing.T
	err, out buffer
	dir      string
	stop     func()
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	r.Switch = New(Options{Areas: areas, Stderr: &r.err, Stdout: &r.out})
	return r
}

func (r *rig) run() *rig {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = r.Run(ctx) })
	r.stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	r.t.Cleanup(r.stop)
	return r
}

// text fills DIR into a policy.
func (r *rig) text(policy string) []byte {
	return []byte("version: 1\n" + strings.ReplaceAll(policy, "DIR", r.dir))
}

// apply applies a policy that must be right.
func (r *rig) apply(policy string) {
	r.t.Helper()
	if err := r.Apply("p.yaml", r.text(policy), "test"); err != nil {
		r.t.Fatal(err)
	}
}

// flush waits until all lines are written, also where the machine takes longer than Sync does.
func (r *rig) flush() {
	r.t.Helper()
	eventually(r.t, "all lines written", func() bool { return r.Sync() == nil })
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) read(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

// counter returns the sum of the counters of a name with the given labels.
func (r *rig) counter(name string, labels ...string) (sum uint64) {
	for _, c := range r.State().Counters {
		if c.Name == name && strings.Contains(strings.Join(c.Labels, " ")+" ", strings.Join(labels, " ")) {
			sum += c.Value
		}
	}
	return sum
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// processorTime is what the process has used: unlike the time of day it says what something costs on a busy machine, too.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in\n%s", p, text)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			at := strings.Index(text, p)
			t.Errorf("%q is in\n…%s…", p, text[max(0, at-200):min(len(text), at+200)])
		}
	}
}

// fileHandler is a policy with one file, whatever else it says.
func fileHandler(more string) string {
	if !strings.Contains(more, "path:") {
		more = "path: DIR, " + more
	}
	return "level: DEBUG\nhandlers:\n  main: {type: file, format: plain, " + more + "}\nformats: {plain: {pattern: '%(message)s', fields: omit}}\nexceptions: {trace: 'OFF'}\n"
}

// logCritical logs at CRITICAL as Recovered does.
func logCritical(log *zap.Logger, message string, fields ...zap.Field) {
	c, ok := log.Core().(*core)
	emit(log, Critical, message, ok && c.s.traced(zapcore.DPanicLevel), fields)
}
