// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// An edited file is reported when it gave no event for quiet, and read the same then and after confirm. A file that lost
// bytes must stand still for longer: that is what truncating before writing looks like. No attempt takes longer than
// patience.
const (
	quiet         = 100 * time.Millisecond
	confirm       = 200 * time.Millisecond
	confirmShrunk = 2 * confirm
	patience      = time.Second
)

// phase says what an entry waits for.
type phase uint8

const (
	idle       phase = iota // the next poll or event
	vanished                // the name to come back: a swap or a save may be under way
	unsteady                // a read that is not torn
	settling                // quiet
	confirming              // the second read
)

// entry is one path and where its check stands. Waiting is a phase with a deadline, so no entry holds up another.
type entry struct {
	path      string
	listeners []listener
	poll      time.Duration
	limit     int64
	gone      bool

	hops   []hop   // as resolved last, with their watches
	last   finding // of the last finished check
	state  State
	static bool // the file is a mount point
	judged bool // static is not from an older list of mounts

	due    time.Time // when check runs next
	index  int       // in the agenda; -1: not in it
	pollAt time.Time
	marked bool // an event or a rescan asked for a check
	retell bool // listeners whose Changed returned an error are told again

	// What events said of the file's own name since the last finished check. moved also stands for "events may be missing".
	created, moved, written bool
	over, cut               string // the same of symlinks on the way: the latest name created, and removed

	phase phase
	began time.Time // of the attempt; zero in idle
	until time.Time // the deadline of the phase
	still time.Time // of the last event or difference seen
	tries int
	first outcome // of the first read of confirming
}

// notice takes one event of one of e's hops.
func (l *loop) notice(e *entry, w *watch, name string, op fsnotify.Op, now time.Time) {
	own := false
	if n := len(e.hops); n > 0 {
		own = e.hops[n-1].at == w && e.hops[n-1].name == name
	}
	if own {
		if op.Has(fsnotify.Create) {
			e.created, e.written = true, false // what was written before went to another file
		}
		e.moved = e.moved || op.Has(fsnotify.Remove|fsnotify.Rename)
		e.written = e.written || op.Has(fsnotify.Write)
	} else if slices.ContainsFunc(e.hops, func(h hop) bool { return h.at == w && h.name == name }) {
		if op.Has(fsnotify.Create) {
			e.over = name
		}
		if op.Has(fsnotify.Remove | fsnotify.Rename) {
			e.cut = name
		}
	}
	e.happened()
	e.still = now
	if e.phase == settling || e.phase == confirming {
		e.phase = settling
		if own && (!e.created || e.moved || e.written) { // not a replacement: it has to be quiet first
			if !e.marked {
				l.schedule(e, e.calm())
			}
			return
		}
	}
	l.mark(e)
}

// happened tells those who look for themselves.
func (e *entry) happened() {
	for _, s := range e.listeners {
		if s.Event != nil {
			s.Event()
		}
	}
}

// calm returns when a settling entry may be read.
func (e *entry) calm() time.Time {
	calm, end := e.still.Add(quiet), e.began.Add(patience)
	if end.Before(calm) {
		return end
	}
	return calm
}

// check looks at a file and takes one step:
//
//	missing          again after 5, 20, 80, 200 ms, then reported
//	torn             again after 20 to 320 ms, then reported as busy
//	unchanged        done
//	replaced whole   reported at once
//	edited           reported when it has settled
func (l *loop) check(e *entry) {
	now := time.Now()
	if e.phase == settling && !e.marked && now.Before(e.calm()) {
		l.schedule(e, e.calm())
		return
	}
	e.marked = false
	e.retell = e.retell || !now.Before(e.pollAt)

	f, data, err := l.look(e, now)
	l.drain() // an event that is already here may say that the file is not whole
	switch {
	case e.gone:
	case errors.Is(err, fs.ErrNotExist) && e.last.outcome.kind != missing:
		if l.again(e, vanished, now, 5, 20, 80, 200) {
			l.finish(e, f, nil, err)
		}
	case errors.Is(err, errTorn):
		l.torn(e, now)
	case err != nil, f.outcome == e.last.outcome, e.replaced(f):
		l.finish(e, f, data, err)
	case l.settle(e, f, now):
		l.finish(e, f, data, nil)
	}
	l.reader.shrink()
}

// look resolves, arms and reads; what moved meanwhile gets a second chance at once.
func (l *loop) look(e *entry, now time.Time) (f finding, data []byte, err error) {
	var file string
	for range 2 {
		for range maxLinks {
			l.hops, file, err = resolve(e.path, l.hops[:0])
			if !l.arm(e, l.hops, now) {
				break
			}
		}
		if err == nil {
			data, f.id, err = l.reader.read(e.path, file, e.limit)
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errTorn) {
			break
		}
	}
	f.hops, f.size, f.outcome = e.hops, int64(len(data)), outcomeOf(data, err)
	l.judge(e, f, file, now)
	return f, data, err
}

// replaced reports whether the content that f found came into place whole.
func (e *entry) replaced(f finding) bool {
	switch {
	case e.moved, e.written:
		return false
	case e.last.outcome.kind == unknown:
		return true
	case e.last.outcome.kind == missing:
		return false
	case !slices.EqualFunc(e.last.hops, f.hops, hop.same):
		return !e.unlinked(f)
	}
	// open(2) of an existing name gives no CREATE, so without a REMOVE or RENAME before it this was a rename over.
	return e.last.outcome.kind == content && e.created && f.id != e.last.id
}

// unlinked reports whether a symlink on the way is gone and what f found there is not known to be renamed over it. It may be
// written in place.
func (e *entry) unlinked(f finding) bool {
	for i := range min(len(e.last.hops), len(f.hops)) {
		if link, now := e.last.hops[i], f.hops[i]; !link.same(now) {
			renamed := now.dir == link.dir && now.name == link.name && (e.created || e.over == now.name) && e.cut != now.name
			return link.text != "" && now.text == "" && !renamed
		}
	}
	return false
}

// again waits for the next of the delays, in milliseconds. It reports true when they are used up.
func (l *loop) again(e *entry, p phase, now time.Time, delays ...int) bool {
	switch {
	case e.phase != p:
		e.phase, e.tries = p, 0
	case now.Before(e.until): // an event came in between
		l.pend(e, e.until, now)
		return false
	default:
		e.tries++
	}
	if e.tries == len(delays) {
		return true
	}
	e.until = now.Add(time.Duration(delays[e.tries]) * time.Millisecond)
	l.pend(e, e.until, now)
	return false
}

// torn answers a read during which the file changed.
func (l *loop) torn(e *entry, now time.Time) {
	if e.phase == settling || e.phase == confirming {
		e.phase, e.still = settling, now
		l.pend(e, e.calm(), now)
		return
	}
	if l.again(e, unsteady, now, 20, 40, 80, 160, 320) {
		l.busy(e)
	}
}

// settle takes one step of waiting for an edited file to stand still. It reports true when it does.
func (l *loop) settle(e *entry, f finding, now time.Time) bool {
	switch {
	case e.phase == confirming && f.outcome != e.first:
		e.phase, e.still = settling, now
	case e.phase == confirming && !now.Before(e.until):
		return true
	case e.phase == confirming:
		l.pend(e, e.until, now)
		return false
	case e.phase != settling:
		e.phase, e.still = settling, now
	case now.Sub(e.still) >= quiet:
		e.phase, e.first, e.until = confirming, f.outcome, now.Add(confirm)
		if e.last.outcome.kind == content && f.size < e.last.size {
			e.until = now.Add(confirmShrunk)
		}
		l.pend(e, e.until, now)
		return false
	}
	l.pend(e, e.calm(), now)
	return false
}

// pend has an unfinished attempt go on at due, or ends it when it took too long.
func (l *loop) pend(e *entry, due, now time.Time) {
	if e.began.IsZero() {
		e.began = now
	}
	end := e.began.Add(patience)
	switch {
	case !now.Before(end):
		l.busy(e)
	case e.marked: // an event came meanwhile: it is due already
	case end.Before(due):
		l.schedule(e, end)
	default:
		l.schedule(e, due)
	}
}

// busy ends an attempt without success; the next one starts at once. What was missing all the while is missing, whatever
// went on around it.
func (l *loop) busy(e *entry) {
	err := &fs.PathError{Op: "read", Path: e.path, Err: ErrBusy}
	if e.phase == vanished {
		err = &fs.PathError{Op: "open", Path: e.path, Err: fs.ErrNotExist}
	}
	l.finish(e, finding{hops: e.hops, outcome: outcomeOf(nil, err)}, nil, err)
	l.mark(e)
}
