// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"io"
	"testing"
	"time"
	"unsafe"
)

// ahead returns a time that comes in d by the clock that timers run on, and has passed by the clock on the wall: that one
// was set meanwhile, or the machine slept.
func ahead(t *testing.T, d time.Duration) time.Time {
	t.Helper()
	at := time.Now().Add(-d)
	(*struct {
		wall      uint64
		monotonic int64
	})(unsafe.Pointer(&at)).monotonic += int64(2 * d)
	if left := time.Until(at); left <= 0 || left > d || at.Round(0).After(time.Now()) {
		t.Fatalf("the time comes in %v", left)
	}
	return at
}

func TestTheClockOnTheWallIsSet(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(s *Switch, at time.Time)
	}{
		{"a failure is said again", func(s *Switch, at time.Time) { s.report.nagAt = at }},
		{"losses are told", func(s *Switch, at time.Time) {
			s.stdout.lost.add("console")
			s.stdout.lost.toldAt = at.Add(-time.Minute)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := New(Options{Stderr: io.Discard, Stdout: io.Discard})
			at := ahead(t, 500*time.Millisecond)
			test.set(s, at)
			if s.wait(t.Context()); time.Now().Before(at) {
				t.Errorf("Run does not rest until then: %v are left", time.Until(at))
			}
		})
	}
}
