// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"context"
	"math"
	"sync"
	"time"
)

// inFlight bounds the attempts on one endpoint that run at a time; all Sources that ask nobody count as one. A place is
// given back after slow, so that attempts which hang hold up the others but do not stop them.
const (
	inFlight = 8
	slow     = 5 * time.Second
)

// forever is a promise that is never broken.
const forever = time.Duration(math.MaxInt64 / 4)

// shared is what the Keepers of one Daemon have in common. A nil *shared has the process's clock and no endpoints.
type shared struct {
	wall    func() time.Time
	started time.Time // with a monotonic reading

	recovered func(name string, value any) // Daemon.Recovered

	mu     sync.Mutex               // guards the maps
	places map[string]chan struct{} // by endpoint, one for each attempt in flight
	until  map[string]time.Time     // by endpoint: nobody may ask before
}

func newShared(wall func() time.Time) *shared {
	if wall == nil {
		wall = func() time.Time { return time.Now().Round(0) }
	}
	return &shared{wall: wall, started: time.Now(), places: map[string]chan struct{}{}, until: map[string]time.Time{}}
}

func (s *shared) now() time.Time { return s.wall().Round(0) }

// elapsed is the monotonic clock, which stands still while the machine sleeps, as timers do.
func (s *shared) elapsed() time.Duration { return time.Since(s.started) }

// place waits for a place for an attempt on the endpoint, and returns what gives it back; nil if ctx ends before.
func (s *shared) place(ctx context.Context, endpoint string) (release func()) {
	s.mu.Lock()
	places := s.places[endpoint]
	if places == nil {
		places = make(chan struct{}, inFlight)
		s.places[endpoint] = places
	}
	s.mu.Unlock()
	select {
	case places <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	free := sync.OnceFunc(func() { <-places })
	timer := time.AfterFunc(slow, free)
	return func() {
		timer.Stop()
		free()
	}
}

// clamp keeps Retry-After within its bound after the clock was set back.
func (s *shared) clamp(latest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for endpoint, until := range s.until {
		s.until[endpoint] = earlier(until, latest)
	}
}

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
