// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"io/fs"
	"time"

	"go.uber.org/zap"
)

// finish ends a check: tell who has not heard, say that it is done, wait for the next poll.
func (l *loop) finish(e *entry, f finding, data []byte, err error) {
	news := f.outcome != e.last.outcome || e.state.Mode != Inotify
	e.last = f
	if !e.marked { // else they may be about what came after the read
		e.created, e.moved, e.written, e.over, e.cut = false, false, false, "", ""
	}
	e.phase, e.tries, e.began = idle, 0, time.Time{}
	for _, s := range e.listeners {
		l.tell(s, f, data, err, e.retell)
	}
	e.retell = false
	if news {
		e.happened()
	}
	now := time.Now()
	e.state.LastCheck = now
	l.observe(e)
	if !e.marked {
		l.rest(e, now)
	}
}

// tell reports f to one listener, unless that is what it was told last.
func (l *loop) tell(s listener, f finding, data []byte, err error, retell bool) {
	if int64(len(data)) > s.MaxBytes { // another listener of the path allows more
		data, err = nil, &fs.PathError{Op: "read", Path: s.Path, Err: ErrTooLarge}
		f.outcome = outcomeOf(nil, err)
	}
	if s.told.outcome == f.outcome && !(s.told.again && retell) {
		return
	}
	s.told.outcome = f.outcome
	s.told.again = s.Changed != nil && s.Changed(data, err) != nil
}

// judge says how changes of e are found.
func (l *loop) judge(e *entry, f finding, file string, now time.Time) {
	// What was renamed into place is no mount point: rename(2) of a mount point fails.
	if file != "" && (!e.judged || f.id != e.last.id) && !e.created {
		static := e.static
		if e.static, e.judged = l.mounts.has(file, now); e.static && !static {
			l.log.Warn("file is a mount point, a rename on the host will not reach it", zap.String("path", e.path),
				zap.String("hint", "mount the directory instead of the file (in Kubernetes: no subPath)"))
		}
	}
	mode, cause := Inotify, error(nil)
	for _, h := range e.hops {
		if h.at != nil && h.at.err != nil {
			mode, cause = Degraded, h.at.err
		}
	}
	if e.static {
		mode, cause = StaticMount, nil
	}
	news := mode != e.state.Mode
	if e.state.Mode, e.state.Cause = mode, cause; news {
		l.observe(e)
	}
}

func (l *loop) observe(e *entry) {
	if l.w.Observe != nil {
		l.w.Observe(e.state)
	}
}
