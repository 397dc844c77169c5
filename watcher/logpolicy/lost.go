// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
)

// losses is the lines that found no room in a queue and of which nothing was said yet.
type losses struct {
	lines  map[string]uint64 // by handler
	toldAt time.Time         // when the last ones were told
}

func (l *losses) add(handler string) {
	if l.lines == nil {
		l.lines = map[string]uint64{}
	}
	l.lines[handler]++
}

// tellLossesAt returns when there is something to tell: as soon as a line finds room again, but once a minute. ok is false
// if nothing was lost, or there is no room yet.
func (s *sink) tellLossesAt() (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lost.lines) == 0 || s.stuck {
		return at, false
	}
	return s.lost.toldAt.Add(time.Minute), true
}

// takeLosses returns the losses, which count as told.
func (s *sink) takeLosses() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lost.lines
	s.lost = losses{toldAt: time.Now()}
	return lines
}

// tellLosses logs how many lines handlers lost that were stuck and move again. It is not the goroutine of a sink that does
// it, since a log call may wait for one.
func (s *Switch) tellLosses() {
	for _, k := range append(s.others(), s.stderr) {
		if at, ok := k.tellLossesAt(); !ok || at.After(time.Now()) {
			continue
		}
		lost := k.takeLosses()
		for _, handler := range slices.Sorted(maps.Keys(lost)) {
			s.Logger().Named("log").Warn("log lines lost", zap.String("handler", handler), zap.Uint64("lines", lost[handler]))
		}
	}
}
