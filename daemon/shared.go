// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"math"
	"sync"
	"time"
)

// inFlight bounds the attempts that run at a time: enough for issuers that answer slowly, few enough to keep memory flat.
const inFlight = 8

// forever is a promise that is never broken.
const forever = time.Duration(math.MaxInt64 / 4)

// shared is what the Keepers of one Daemon have in common. A nil *shared has the process's clock and no endpoints.
type shared struct {
	wall    func() time.Time
	started time.Time     // with a monotonic reading
	places  chan struct{} // one for each attempt in flight

	mu    sync.Mutex // guards until
	until map[string]time.Time
}

func newShared(wall func() time.Time) *shared {
	if wall == nil {
		wall = func() time.Time { return time.Now().Round(0) }
	}
	return &shared{wall: wall, started: time.Now(), places: make(chan struct{}, inFlight), until: map[string]time.Time{}}
}

func (s *shared) now() time.Time { return s.wall().Round(0) }

// elapsed is the monotonic clock, which stands still while the machine sleeps, as timers do.
func (s *shared) elapsed() time.Duration { return time.Since(s.started) }

// patience returns until when nobody may ask the endpoint; zero if anybody may.
func (s *shared) patience(endpoint string) time.Time {
	if s == nil || endpoint == "" {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until[endpoint]
}

// bePatient has all Keepers of the endpoint wait until at.
func (s *shared) bePatient(endpoint string, at time.Time) {
	if s == nil || endpoint == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until[endpoint] = later(s.until[endpoint], at)
}
