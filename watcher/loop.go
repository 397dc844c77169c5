// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"container/heap"
	"context"
	"errors"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// loop is the state of one Run. Its goroutine alone touches it.
type loop struct {
	w      *Watcher
	log    *zap.Logger
	wake   <-chan struct{}
	reader reader
	mounts mounts
	hops   []hop // scratch of look
	watches

	entries map[string]*entry // by path
	due     agenda            // every entry
	epoch   time.Time         // polls of one period share their phase, counted from here, so that they share wake-ups
}

func newLoop(w *Watcher, open func() (notifier, error), wake <-chan struct{}) *loop {
	l := &loop{w: w, log: w.Log, wake: wake, entries: make(map[string]*entry), epoch: time.Now()}
	if l.log == nil {
		l.log = zap.NewNop()
	}
	l.open = open
	l.forget()
	return l
}

// run does one thing at a time and looks for events before each, so that a round of polls delays no event.
func (l *loop) run(ctx context.Context) error {
	defer l.stop()
	l.drain()
	l.connect(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.drain()
		if ctx.Err() != nil {
			return nil
		}
		now := time.Now()
		next := l.next()
		switch {
		case !l.retryAt.IsZero() && !now.Before(l.retryAt):
			l.retry(now)
			continue
		case len(l.due) > 0 && !now.Before(l.due[0].due):
			l.check(l.due[0])
			continue
		}
		// Without anything due there is no timer at all, only events.
		var expired <-chan time.Time
		if !next.IsZero() {
			timer.Reset(next.Sub(now))
			expired = timer.C
		}
		select {
		case <-ctx.Done():
		case <-expired:
		case <-l.wake:
			l.renew()
		case ev, ok := <-l.events:
			l.event(ev, ok)
		case err, ok := <-l.errors:
			l.trouble(err, ok)
		}
	}
}

// next returns when there is something to do without an event; zero: never.
func (l *loop) next() time.Time {
	next := l.retryAt
	if len(l.due) > 0 && (next.IsZero() || l.due[0].due.Before(next)) {
		next = l.due[0].due
	}
	return next
}

// drain takes in what has arrived. It only marks entries: whoever is about to report a content sees the latest marks.
func (l *loop) drain() {
	for {
		select {
		case <-l.wake:
			l.renew()
		case ev, ok := <-l.events:
			l.event(ev, ok)
		case err, ok := <-l.errors:
			l.trouble(err, ok)
		default:
			return
		}
	}
}

// renew takes what Set and Recheck left.
func (l *loop) renew() {
	set, renewed, recheck := l.w.take()
	if renewed {
		l.apply(set)
	}
	if recheck {
		l.rearm()
		for _, e := range l.entries {
			e.retell = true
			l.mark(e)
		}
	}
}

// apply makes the entries those of set. It is linear in the old set and the new one.
func (l *loop) apply(set []listener) {
	now := time.Now()
	for _, e := range l.entries {
		e.listeners = nil
	}
	for _, s := range set {
		e := l.entries[s.Path]
		if e == nil {
			e = &entry{path: s.Path, index: -1, state: State{Path: s.Path}}
			if s.told.base != nil {
				e.last = *s.told.base
			}
			l.entries[s.Path] = e
		}
		if len(e.listeners) == 0 {
			e.poll, e.limit = s.Poll, s.MaxBytes
		}
		e.poll, e.limit = min(e.poll, s.Poll), max(e.limit, s.MaxBytes)
		e.listeners = append(e.listeners, s)
		s.told.base = nil
		if e.index < 0 || s.told.outcome.kind == unknown {
			l.mark(e)
		}
	}
	removed := false
	for path, e := range l.entries {
		switch {
		case len(e.listeners) == 0:
			e.gone, removed = true, true
			heap.Remove(&l.due, e.index)
			delete(l.entries, path)
		case e.phase == idle && !e.marked && l.tick(e, now).Before(e.pollAt): // the period is shorter now
			l.rest(e, now)
		}
	}
	if removed {
		l.prune()
	}
}

// rescan checks everything, as after lost events: what the marks of an entry say is not the whole story any more.
func (l *loop) rescan() {
	l.rearm()
	for _, e := range l.entries {
		e.moved = true
		l.mark(e)
	}
}

// event marks the entries that have this name among their hops.
func (l *loop) event(ev fsnotify.Event, ok bool) {
	if !ok {
		l.trouble(errors.New("events ended"), false)
		return
	}
	if w := l.byPath[ev.Name]; w != nil && ev.Has(fsnotify.Remove|fsnotify.Rename) {
		l.lose(w) // the directory itself: fsnotify has dropped the watch, even if the path leads to it again
	}
	dir, name := split(ev.Name)
	w := l.byPath[dir]
	if w == nil {
		return
	}
	now := time.Now()
	for _, e := range w.names[name] {
		l.notice(e, w, name, ev.Op, now)
	}
}

// trouble answers an error of the notifier. None is fatal, and each may have cost events.
func (l *loop) trouble(err error, ok bool) {
	kind := kindOf(err)
	if !ok {
		kind = kindClosed
		l.disconnect(errors.New("watch: the notifier ended by itself"), time.Now())
	}
	l.w.count(kind)
	l.log.Debug("file events lost, checking every file", zap.String("kind", kind), zap.Error(err))
	l.rescan()
}

// mark has e checked as soon as it is its turn.
func (l *loop) mark(e *entry) {
	if !e.marked {
		e.marked = true
		l.schedule(e, time.Now())
	}
}

func (l *loop) schedule(e *entry, due time.Time) {
	e.due = due
	if e.index < 0 {
		heap.Push(&l.due, e)
	} else {
		heap.Fix(&l.due, e.index)
	}
}

// rest has e wait for its next poll.
func (l *loop) rest(e *entry, now time.Time) {
	e.pollAt = l.tick(e, now)
	l.schedule(e, e.pollAt)
}

// poll returns the shortest period of all, for those who read the log.
func (l *loop) poll() time.Duration {
	shortest := time.Duration(0)
	for _, e := range l.entries {
		if shortest == 0 || e.poll < shortest {
			shortest = e.poll
		}
	}
	return shortest
}

// tick returns the first poll of e after now.
func (l *loop) tick(e *entry, now time.Time) time.Time {
	return l.epoch.Add(now.Sub(l.epoch).Truncate(e.poll) + e.poll)
}

// agenda is a heap of entries, the earliest first.
type agenda []*entry

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].due.Before(a[j].due) }
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}

// Push implements heap.Interface.
func (a *agenda) Push(x any) {
	e := x.(*entry)
	e.index = len(*a)
	*a = append(*a, e)
}

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last], *a = nil, (*a)[:last]
	e.index = -1
	return e
}
