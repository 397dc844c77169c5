// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"errors"
	"time"
)

// Why work that was tried has no result of its own.
var (
	errHangs = errors.New("a log file cannot be opened: its file system does not answer")
	errPanic = errors.New("a panic, which is a defect of renewd: report it")
)

// attempt is work on a policy that opens files.
type attempt struct {
	began time.Time
	over  chan struct{} // closed when err is set
	err   error
}

// Try does work on a policy that may hang with a file system, such as Apply and Check, in a goroutine of its own, and returns its
// result: whoever offers a policy has tokens to keep and other files to look at. If the work is not over within the limit Try
// returns another error. The work goes on and counts when it gets through, and until then nothing else is begun.
func (s *Switch) Try(limit time.Duration, work func() error) error {
	for {
		s.mu.Lock()
		now, mine := s.trying, s.trying == nil
		if mine {
			now = &attempt{began: time.Now(), over: make(chan struct{})}
			s.trying = now
			go s.try(now, work)
		}
		s.mu.Unlock()
		timer := time.NewTimer(time.Until(now.began.Add(limit)))
		select {
		case <-now.over:
			timer.Stop()
			if mine {
				return now.err
			}
		case <-timer.C:
			return errHangs
		}
	}
}

// try does the work of an attempt. A panic ends it, and not the process.
func (s *Switch) try(now *attempt, work func() error) {
	now.err = errPanic
	defer func() {
		if recover() != nil {
			s.panicked("policy")
		}
		s.mu.Lock()
		s.trying = nil
		s.mu.Unlock()
		close(now.over)
	}()
	now.err = work()
}

// Offer is Apply within a second. That there is no result by then is said, and the text is to be offered again; it must not change.
func (s *Switch) Offer(name string, data []byte, by string) error {
	err := s.Try(maxFlush, func() error { return s.Apply(name, data, by) })
	if errors.Is(err, errHangs) || errors.Is(err, errPanic) {
		s.finish(applyFailed, false, err.Error(), s.failure(Error, "policy not applied", err))
	}
	return err
}
