// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package watcher says that a file's bytes changed. It watches directories with inotify and polls as well, resolves
// symlinks hop by hop, tells a file that was replaced whole from one that is being edited in place, and waits until the
// latter stands still. It knows nothing of what the files mean, keeps only their hashes, and never writes.
//
// Limits: a writer that pauses for longer than the settling time inside a file leaves a part that is taken for the whole;
// whoever writes should write a temporary file and rename it. A read that hangs in the kernel (a dead NFS server) holds up
// every file. Linux only.
package watcher

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// What a File means by zero.
const (
	defaultPoll     = 10 * time.Second
	defaultMaxBytes = 16 << 20
)

// Errors that Changed may find, besides fs.ErrNotExist and what the kernel says.
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrTooLarge   = errors.New("larger than allowed")
	ErrBusy       = errors.New("is being written, and did not stand still")
)

// Watcher watches a set of files with one inotify instance and one timer for all of them. The zero value watches nothing
// and is ready for use. Set, Recheck and Errors may be called from any goroutine, before, during and after Run, and from
// within Changed and Observe. Log and Observe must not change once Run was called.
type Watcher struct {
	Log *zap.Logger // nil: silent

	// Observe gets the State of a file after each finished check of it and whenever its Mode changes. It is called from
	// the goroutine of Run and must not block. nil: nobody does.
	Observe func(State)

	setting sync.Mutex // held by Set while it reads baselines, so that the last Set wins whole

	mu      sync.Mutex // guards all below
	set     []listener
	renewed bool          // set was replaced since Run took it
	recheck bool          // Recheck was called since Run looked
	wake    chan struct{} // of one; nil while Run does not run
	errs    map[string]uint64
}

// File is one file to watch. Several may have the same Path: it is read once and each is told.
type File struct {
	Path string        // a relative one is taken from the working directory at the time of Set
	Poll time.Duration // how often the content is read without an event; 0: 10 s

	// Known says that the caller knows the content at the time of Set: Set reads it, on the caller's goroutine, and only
	// a later change is reported. Without it the first check reports what it finds, without settling.
	Known bool

	MaxBytes int64 // 0: 16 MiB; of a larger file Changed gets ErrTooLarge

	// Changed gets the bytes when they differ from those last reported, or an error when the file turned missing (it
	// wraps fs.ErrNotExist) or unreadable: once for each reason, not at each poll. Bytes after an error are reported even
	// if they are those from before it. The bytes may be used only until Changed returns.
	//
	// If Changed returns an error, the same content is reported again at the next poll or Recheck.
	//
	// All calls come from the goroutine of Run, one at a time. Changed must return soon: meanwhile nothing is checked.
	Changed func(data []byte, err error) error

	// Event is for those who look at the file themselves: it is called at once for each event that concerns the path, and
	// after each finished check that found something else than the one before, or, where there are no events, anything. It comes from the goroutine of Run and must not block. One of Changed
	// and Event may be nil.
	Event func()
}

// Mode says how changes of a file are found. Polling goes on in each.
type Mode string

// The modes.
const (
	Inotify     Mode = "inotify"      // by events
	Degraded    Mode = "degraded"     // by the poll alone; State.Cause says why
	StaticMount Mode = "static_mount" // the file itself is a mount point: a rename on the host never reaches it
)

// State is how the watching of one path goes. It is a copy: the receiver may keep it.
type State struct {
	Path      string
	Mode      Mode
	Cause     error     // of Degraded, else nil
	LastCheck time.Time // end of the last finished check, whatever its result; zero before the first
}

// listener is a File with what it was told; told is shared with its predecessor of the same path in an earlier Set.
type listener struct {
	File
	told *told
}

// told belongs to Set until it is handed over, then to the goroutine of Run.
type told struct {
	outcome outcome
	again   bool     // Changed returned an error
	base    *finding // what Set found for a Known file; nil once taken
}

// Set replaces the set of files. A file whose path was in the set before keeps its state: nothing is reported twice and
// no change is lost. It reads Known files that are new and does not wait for Run.
func (w *Watcher) Set(files []File) {
	w.setting.Lock()
	defer w.setting.Unlock()

	old := make(map[string][]*told)
	w.mu.Lock()
	for _, l := range w.set {
		old[l.Path] = append(old[l.Path], l.told)
	}
	w.mu.Unlock()

	set := make([]listener, 0, len(files))
	var r reader
	for _, f := range files {
		f.Path = absolute(f.Path)
		f.Poll = cmp.Or(max(f.Poll, 0), defaultPoll)
		f.MaxBytes = cmp.Or(max(f.MaxBytes, 0), defaultMaxBytes)
		l := listener{File: f}
		if same := old[f.Path]; len(same) > 0 {
			l.told, old[f.Path] = same[0], same[1:]
		} else {
			l.told = new(told)
			if f.Known {
				l.told.base = r.baseline(f.Path, f.MaxBytes)
				l.told.outcome = l.told.base.outcome
			}
		}
		set = append(set, l)
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	w.set, w.renewed = set, true
	w.rouse()
}

// Recheck asks for a check of every file now. Calls that come while checks are under way cause one more round after them.
func (w *Watcher) Recheck() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recheck = true
	w.rouse()
}

// Errors returns how many errors of watching were met, by kind: overflow, stale, einval, add, instances, closed, other.
// Each of them was answered by a full check; none loses a change.
func (w *Watcher) Errors() map[string]uint64 {
	all := map[string]uint64{
		kindOverflow: 0, kindStale: 0, kindEinval: 0, kindAdd: 0, kindInstances: 0, kindClosed: 0, kindOther: 0,
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.Copy(all, w.errs)
	return all
}

// Run watches until ctx ends and then returns nil, at once unless Changed is at work. Only one Run at a time.
func (w *Watcher) Run(ctx context.Context) error { return w.run(ctx, openInotify) }

func (w *Watcher) run(ctx context.Context, open func() (notifier, error)) error {
	wake := make(chan struct{}, 1)
	w.mu.Lock()
	w.wake, w.renewed = wake, true
	w.rouse()
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wake = nil
	}()
	return newLoop(w, open, wake).run(ctx)
}

// rouse tells Run that there is something to take. The caller holds mu.
func (w *Watcher) rouse() {
	select {
	case w.wake <- struct{}{}: // a nil channel, without Run, is never ready
	default:
	}
}

// take hands Run what was asked for since the last time; set counts only if it was renewed.
func (w *Watcher) take() (set []listener, renewed, recheck bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	set, renewed, recheck = w.set, w.renewed, w.recheck
	w.renewed, w.recheck = false, false
	return set, renewed, recheck
}

func (w *Watcher) count(kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.errs == nil {
		w.errs = make(map[string]uint64)
	}
	w.errs[kind]++
}

// absolute does not clean the path: "link/.." is not "." if link is a symlink.
func absolute(path string) string {
	if len(path) > 0 && path[0] == '/' {
		return path
	}
	wd, err := os.Getwd()
	if err != nil {
		return "/" + path
	}
	return wd + "/" + path
}
