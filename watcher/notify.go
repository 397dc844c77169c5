// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"errors"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// notifier is what the loop needs of fsnotify. Without one, polling alone does the same, later.
//
// Paths given to Add and Remove are clean and absolute; the name of an event is such a path, a slash and the entry.
// Events and Errors are closed when the notifier ends by itself.
type notifier interface {
	Add(dir string) error // also for one that is watched already: then it changes nothing
	Remove(dir string) error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
	Close() error // returns when every goroutine of it has ended
}

// The kinds that Watcher.Errors counts.
const (
	kindOverflow  = "overflow"  // the kernel dropped events
	kindStale     = "stale"     // a watched path led to another directory, without an event
	kindEinval    = "einval"    // a watch had vanished before it could be removed
	kindAdd       = "add"       // a directory could not be watched
	kindInstances = "instances" // no inotify instance to be had
	kindClosed    = "closed"    // the notifier ended by itself
	kindOther     = "other"
)

func kindOf(err error) string {
	switch {
	case errors.Is(err, fsnotify.ErrEventOverflow):
		return kindOverflow
	case errors.Is(err, unix.EINVAL):
		return kindEinval
	}
	return kindOther
}

// hint returns the remedy for an error of opening or adding.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		return "raise fs.inotify.max_user_instances, or the limit of open files"
	case errors.Is(err, unix.ENOSPC):
		return "raise fs.inotify.max_user_watches"
	case errors.Is(err, unix.EACCES):
		return "allow reading the directory itself"
	}
	return ""
}

// inotify is fsnotify with its errors taken off its hands.
type inotify struct {
	*fsnotify.Watcher
	errs  chan error
	ended chan struct{}
}

// burst is how many events may wait: those of one swap or save, so that they are judged together.
const burst = 64

func openInotify() (notifier, error) {
	w, err := fsnotify.NewBufferedWatcher(burst)
	if err != nil {
		return nil, err
	}
	n := &inotify{Watcher: w, errs: make(chan error, burst), ended: make(chan struct{})}
	go n.pump()
	return n, nil
}

// pump keeps reading Errors: fsnotify 1.10.1 may send there with the lock held that Add, Remove and Close need, so a loop
// that reads errors between such calls would block for ever. Beyond the buffer an error is dropped: the one full check
// that they ask for is already due.
func (n *inotify) pump() {
	defer close(n.ended)
	defer close(n.errs)
	for err := range n.Watcher.Errors {
		select {
		case n.errs <- err:
		default:
		}
	}
}

// Events implements notifier.
func (n *inotify) Events() <-chan fsnotify.Event { return n.Watcher.Events }

// Errors implements notifier.
func (n *inotify) Errors() <-chan error { return n.errs }

// Close implements notifier.
func (n *inotify) Close() error {
	err := n.Watcher.Close()
	<-n.ended
	return err
}
