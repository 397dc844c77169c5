// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"cmp"
	"maps"
	"time"
)

// State is how the policy is doing. It is a copy.
type State struct {
	Generation int               `json:"generation"`           // 0: the built-in policy
	SHA256     string            `json:"sha256,omitempty"`     // of what is in force
	Loaded     time.Time         `json:"loaded,omitzero"`      // when that content came into force
	Successful bool              `json:"lastReloadSuccessful"` // exactly while the file on disk is the policy in force
	Succeeded  time.Time         `json:"lastReloadSuccess,omitzero"`
	Reloads    map[string]uint64 `json:"reloads"`           // by result: applied unchanged invalid unreadable missing apply_failed
	Failure    string            `json:"failure,omitempty"` // why the file is not the policy in force
	Overrides  []Override        `json:"overrides"`         // temporary levels in force
	Counters   []Counter         `json:"counters"`          // renewd_log_…, sorted
}

// Override is a temporary level.
type Override struct {
	Area  string    `json:"area"`
	Level Level     `json:"level"`
	Until time.Time `json:"until"`
}

// State returns how the policy is doing. It does not wait for a reload that is under way.
func (s *Switch) State() State {
	g := s.current.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := State{Generation: g.number, SHA256: g.sum, Loaded: g.loaded,
		Successful: s.report.good, Succeeded: s.report.success, Failure: s.report.failure,
		Reloads:   map[string]uint64{applied: 0, unchanged: 0, invalid: 0, unreadable: 0, missing: 0, applyFailed: 0},
		Overrides: []Override{}, Counters: s.counts.all()}
	maps.Copy(st.Reloads, s.report.results)
	for _, o := range g.ending {
		st.Overrides = append(st.Overrides, Override{cmp.Or(o.area, "root"), o.level, o.until})
	}
	return st
}
