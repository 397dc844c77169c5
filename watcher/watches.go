// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// How soon what could not be watched is tried again, doubling from first to last; and how often a live watch is added
// anew, which costs one system call and changes nothing unless the watch is dead.
const (
	firstRetry = time.Second
	lastRetry  = 60 * time.Second
	confidence = time.Second
)

// watches is the notifier, what it watches, and which entries care.
type watches struct {
	open     func() (notifier, error)
	notifier notifier // nil while there is none
	events   <-chan fsnotify.Event
	errors   <-chan error
	cause    error // why there is no notifier

	byID   map[fileID]*watch // fsnotify knows one name per directory, so must we
	byPath map[string]*watch

	retryAt time.Time // zero: nothing to retry
	backoff time.Duration
	full    bool // the limit of watches was reported
}

// watch is one directory.
type watch struct {
	path  string // as added, so as events name it
	id    fileID
	names map[string][]*entry // who has this entry of the directory among its hops
	armed time.Time           // when it was last added
	err   error               // why events cannot be relied upon; nil if they can
	retry bool                // adding failed: try again
	lost  bool                // not in byID and byPath any more
}

// connect opens the notifier.
func (l *loop) connect(now time.Time) {
	n, err := l.open()
	if err != nil {
		l.w.count(kindInstances)
		if l.cause == nil {
			l.log.Warn("cannot watch files, polling only",
				zap.Error(err), zap.String("hint", hint(err)), zap.Duration("poll", l.poll()))
		}
		l.cause = fmt.Errorf("open inotify: %w", err)
		l.postpone(now)
		return
	}
	if l.cause != nil {
		l.log.Info("watching files again")
	}
	l.notifier, l.events, l.errors, l.cause = n, n.Events(), n.Errors(), nil
}

// disconnect gives the notifier up until the next retry.
func (l *loop) disconnect(cause error, now time.Time) {
	l.log.Warn("cannot watch files, polling only", zap.Error(cause), zap.Duration("poll", l.poll()))
	l.stop()
	l.forget()
	l.cause = cause
	l.postpone(now)
}

// stop closes the notifier, if there is one.
func (l *loop) stop() {
	if l.notifier != nil {
		_ = l.notifier.Close() // it is out of use whatever this says
	}
	l.notifier, l.events, l.errors = nil, nil, nil
}

// forget makes every watch lost.
func (l *loop) forget() {
	for _, w := range l.byID {
		w.lost = true
	}
	l.byID, l.byPath = make(map[fileID]*watch), make(map[string]*watch)
}

// postpone plans the next retry.
func (l *loop) postpone(now time.Time) {
	l.backoff = min(max(2*l.backoff, firstRetry), lastRetry)
	l.retryAt = now.Add(l.backoff)
}

// retry tries again whatever failed. One schedule serves all: they mostly wait for the same thing.
func (l *loop) retry(now time.Time) {
	l.retryAt = time.Time{}
	if l.notifier == nil {
		if l.connect(now); l.notifier == nil {
			return
		}
		l.forget()
		l.backoff = 0
		l.rescan()
		return
	}
	for _, w := range l.byID {
		if !w.retry {
			continue
		}
		if l.add(w, now); !w.retry {
			l.log.Info("watching directory again", zap.String("directory", w.path))
			l.disturb(w)
		}
	}
	if l.retryAt.IsZero() {
		l.backoff, l.full = 0, false
	}
}

// arm watches the directory of every hop of e and files e under its names. It reports whether a watch is new: what
// happened before that gave no event, so the caller looks again.
func (l *loop) arm(e *entry, hops []hop, now time.Time) (news bool) {
	for i := range hops {
		h := &hops[i]
		id, err := statID(h.dir)
		if err != nil {
			h.at = nil // just removed: the next look resolves otherwise
			continue
		}
		h.at = l.byID[id]
		switch {
		case h.at == nil:
			if old := l.byPath[h.dir]; old != nil {
				l.w.count(kindStale)
				l.lose(old)
			}
			h.at = &watch{path: h.dir, id: id, names: make(map[string][]*entry)}
			l.byID[id], l.byPath[h.dir] = h.at, h.at
			l.add(h.at, now)
			news = true
		case h.dir == h.at.path && !h.at.retry && l.notifier != nil && now.Sub(h.at.armed) >= confidence:
			// A file system that was unmounted and mounted again may give the same device and inode.
			l.add(h.at, now)
		}
	}
	l.file(e, hops)
	return news
}

// add arms w. What goes wrong is in w.err and, once, in the log.
func (l *loop) add(w *watch, now time.Time) {
	w.armed = now
	if l.notifier == nil {
		w.err = l.cause
		return
	}
	was := w.err
	w.err, w.retry = eventless(w.path), false
	if err := l.notifier.Add(w.path); err != nil {
		l.w.count(kindAdd)
		w.err, w.retry = fmt.Errorf("watch %q: %w", w.path, err), true
		if l.retryAt.IsZero() {
			l.postpone(now)
		}
	} else if id, err := statID(w.path); err != nil || id != w.id {
		l.lose(w) // replaced at this very moment; whoever needs it resolves again
		return
	}
	if w.err == nil || was != nil {
		return
	}
	if errors.Is(w.err, unix.ENOSPC) {
		if l.full {
			return
		}
		l.full = true
	}
	l.log.Warn("cannot watch directory, polling only",
		zap.String("directory", w.path), zap.Error(w.err), zap.String("hint", hint(w.err)), zap.Duration("poll", l.poll()))
}

// rearm has every watch added anew at the next check that needs it.
func (l *loop) rearm() {
	for _, w := range l.byID {
		w.armed = time.Time{}
	}
}

// lose takes a dead watch out and has everything behind it checked.
func (l *loop) lose(w *watch) {
	l.drop(w)
	l.disturb(w)
}

// drop ends a watch.
func (l *loop) drop(w *watch) {
	w.lost = true
	delete(l.byID, w.id)
	delete(l.byPath, w.path)
	if l.notifier != nil {
		_ = l.notifier.Remove(w.path) // fails if the kernel was faster
	}
}

// disturb marks everything behind w, and that events of it may be missing.
func (l *loop) disturb(w *watch) {
	for _, behind := range w.names {
		for _, e := range behind {
			e.moved = true
			l.mark(e)
		}
	}
}

// file moves e from the names of its old hops to those of the new ones, and drops watches that nobody needs any more.
func (l *loop) file(e *entry, hops []hop) {
	if slices.Equal(e.hops, hops) {
		return
	}
	old := e.hops
	e.hops = slices.Clone(hops)
	if !endsAs(old, hops) {
		e.created, e.moved, e.written = false, false, false // said of another file
	}
	stays := func(a, b []hop, i int) bool {
		return i < len(a) && i < len(b) && a[i].at == b[i].at && a[i].name == b[i].name
	}
	for i, h := range e.hops {
		if h.at != nil && !stays(old, e.hops, i) {
			h.at.names[h.name] = append(h.at.names[h.name], e)
		}
	}
	for i, h := range old {
		if h.at == nil || h.at.lost || stays(old, e.hops, i) {
			continue
		}
		h.at.remove(e, h.name)
		if len(h.at.names) == 0 {
			l.drop(h.at)
		}
	}
}

// remove takes one mention of e out of name. Order does not matter.
func (w *watch) remove(e *entry, name string) {
	behind := w.names[name]
	if i := slices.Index(behind, e); i >= 0 {
		last := len(behind) - 1
		behind[i], behind[last] = behind[last], nil
		behind = behind[:last]
	}
	w.keep(name, behind)
}

func (w *watch) keep(name string, behind []*entry) {
	if len(behind) == 0 {
		delete(w.names, name)
	} else {
		w.names[name] = behind
	}
}

// prune takes all entries that are gone out at once: one by one would be quadratic for names that many share.
func (l *loop) prune() {
	for _, w := range l.byID {
		for name, behind := range w.names {
			w.keep(name, slices.DeleteFunc(behind, func(e *entry) bool { return e.gone }))
		}
		if len(w.names) == 0 {
			l.drop(w)
		}
	}
}

// endsAs reports whether both ways end in the same entry of the same directory.
func endsAs(a, b []hop) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return a[len(a)-1].same(b[len(b)-1])
}

// split takes the name of an event apart; the root directory gives "//name".
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, min(1, len(path)))], path[i+1:]
}
