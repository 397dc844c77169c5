// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/status"
	"github.com/renewd/renewd/watcher"
)

// board holds the last event of each token and the state of the files that are followed, for those who ask how renewd is.
// It is told, never asked to decide; what is valid it reads from the disk each time. Safe for concurrent use.
type board struct {
	started  time.Time
	counters *status.Counters

	mu      sync.Mutex
	entries []*entry // in the order of the configuration
	byName  map[string]*entry
	conf    status.Loaded
	policy  string // path of the log policy
	watches map[string]status.Watch
}

// entry is one token on the board: what the last event said, and when the last success was.
type entry struct {
	kept          *kept
	kind, trigger string // empty before the first attempt
	digest        status.Digest
	failures      int
	failed        error // of the last attempt

	issued, expires, windowStart, windowEnd time.Time
	began, next, good                       time.Time

	misses []time.Time // of the failures; never changed in place, for reports share it
}

// mostMisses bounds how many failures of a token are remembered: the first says since when, the latest how often.
const mostMisses = 12

func newBoard() *board {
	return &board{started: time.Now().Round(0), counters: &status.Counters{}, byName: map[string]*entry{}, watches: map[string]status.Watch{}}
}

// set puts the tokens of a configuration on the board; one that was there keeps what is known of it.
func (b *board) set(list []*kept, conf status.Loaded) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.byName
	b.entries, b.byName, b.conf = nil, map[string]*entry{}, conf
	for _, k := range list {
		e := old[k.Name]
		if e == nil {
			e = &entry{}
		}
		delete(old, k.Name)
		e.kept = k
		b.entries = append(b.entries, e)
		b.byName[k.Name] = e
	}
	for name := range old {
		b.counters.Forget(name)
	}
}

// reloaded notes what became of the last attempt to read the configuration again.
func (b *board) reloaded(result string, err error) {
	b.counters.Reload(result)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conf.LastReloadSuccessful, b.conf.Error = err == nil, ""
	if err != nil {
		b.conf.Error = err.Error()
	}
}

func (b *board) configuration() status.Loaded {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conf
}

// observe notes an event.
func (b *board) observe(e daemon.Event) {
	took := e.Took
	if e.Trigger == daemon.TriggerPublished || e.Kind == daemon.Adopted {
		took = 0 // no issuer was asked
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.byName[e.Name]
	if n == nil {
		return // no longer configured: nothing would ever forget it
	}
	reason := ""
	if e.Kind == daemon.Failed {
		class := daemon.ClassOf(e.Err)
		reason = string(class)
		if class == daemon.ClassWrite {
			b.counters.PublishError(e.Name, errno(e.Err))
		}
	}
	b.counters.Observe(e.Name, string(e.Kind), reason, took)
	switch e.Kind {
	case daemon.Panicked:
		return
	case daemon.Failed:
		n.failed = e.Err
		if e.Failures == 1 {
			n.misses = nil // those before were of another source
		}
		n.miss(e.Start)
	case daemon.Published, daemon.Unchanged:
		n.failed, n.good = nil, e.Start
	default: // the source was not asked, so nothing is known of it
		if daemon.ClassOf(n.failed) == daemon.ClassWrite {
			n.failed = nil
		}
		e.Start = n.began
	}
	if e.Failures == 0 {
		n.misses = nil
	}
	n.kind, n.trigger, n.failures, n.began, n.next = string(e.Kind), e.Trigger, e.Failures, e.Start, e.Next
	if t := e.Token; !t.Value.IsZero() {
		n.digest, n.issued, n.expires = status.DigestOf(t.Digest()), t.IssuedAt, t.ExpiresAt
		n.windowStart, n.windowEnd = e.WindowStart, e.WindowEnd
	}
}

// miss remembers when an attempt failed.
func (e *entry) miss(at time.Time) {
	misses := append(slices.Clone(e.misses), at)
	if len(misses) > mostMisses {
		misses = slices.Delete(misses, 1, 2)
	}
	e.misses = misses
}

// watched notes how the watching of one file goes. Only files that are not as they should be are kept, and those that
// everybody depends on: ten thousand published files need no line each.
func (b *board) watched(s watcher.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := status.Watch{Path: s.Path, State: string(s.Mode), LastCheck: s.LastCheck}
	if s.Cause != nil {
		w.Error = s.Cause.Error()
	}
	if s.Mode == watcher.Inotify && s.Path != b.conf.Path && s.Path != b.policy {
		delete(b.watches, s.Path)
		return
	}
	b.watches[s.Path] = w
}

// forget drops what is known of files that are no longer watched.
func (b *board) forget(files []watcher.File, policy string) {
	watched := map[string]bool{}
	for _, f := range files {
		watched[absolute(f.Path)] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.policy = policy
	maps.DeleteFunc(b.watches, func(path string, _ status.Watch) bool { return !watched[path] })
}

// watch returns how the watching of one file goes; the zero Watch if that is not known.
func (b *board) watch(path string) status.Watch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.watches[path]
}

// report is the snapshot that /status and the metrics show.
func (b *board) report() status.Report {
	b.mu.Lock()
	entries := make([]entry, 0, len(b.entries))
	for _, e := range b.entries {
		entries = append(entries, *e)
	}
	r := status.Report{
		Time:          time.Now().Round(0),
		Process:       status.Process{Version: version(), PID: os.Getpid(), StartedAt: b.started},
		Configuration: b.conf,
	}
	for _, w := range b.watches {
		r.Watches = append(r.Watches, w)
	}
	b.mu.Unlock()
	for _, e := range entries {
		r.Tokens = append(r.Tokens, e.describe(r.Time))
	}
	return r
}

// describe says how one token is.
func (e entry) describe(now time.Time) status.Token {
	t := e.kept.describe(now)
	t.State, t.Trigger = e.kind, e.trigger
	t.LastAttempt, t.LastSuccess, t.NextAttempt = e.began, e.good, e.next
	t.ConsecutiveFailures, t.FailedAttempts = e.failures, e.misses
	if e.digest != (status.Digest{}) {
		t.TokenDigest, t.IssuedAt, t.ExpiresAt = e.digest, e.issued, e.expires
		t.WindowStart, t.WindowEnd = e.windowStart, e.windowEnd
	}
	if err := e.failed; err != nil {
		t.LastError, t.LastErrorClass, t.Hint = err.Error(), string(daemon.ClassOf(err)), daemon.HintOf(err)
	}
	return t
}

// ready reports whether what is published is good at now: of one token, or of all.
func (b *board) ready(name string, now time.Time) error {
	b.mu.Lock()
	var list []*kept
	for _, e := range b.entries {
		if name == "" || e.kept.Name == name {
			list = append(list, e.kept)
		}
	}
	b.mu.Unlock()
	if len(list) == 0 {
		return fmt.Errorf("token %.64q: %w", name, status.ErrUnknown)
	}
	return ready(context.Background(), list, now)
}

// ready reports what is wrong with what is published, one line for each token.
func ready(ctx context.Context, list []*kept, now time.Time) error {
	var errs []error
	for _, k := range list {
		if err := daemon.Ready(ctx, k.Sink, now); err != nil {
			errs = append(errs, fmt.Errorf("token %s: %s", k.Name, strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
	}
	return errors.Join(errs...)
}

// errno names what the kernel said, for the metric.
func errno(err error) string {
	if n, ok := errors.AsType[syscall.Errno](err); ok {
		return unix.ErrnoName(n)
	}
	return "other"
}
