// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/renewd/renewd/daemon/status"
	"github.com/renewd/renewd/watcher/logpolicy"
)

// report is the board's, with how the log policy is.
func (s *service) report() status.Report {
	r := s.board.report()
	st := s.logging.State()
	r.LogPolicy = status.LogPolicy{Loaded: status.Loaded{
		Path: s.policyPath(), SHA256: st.SHA256, Generation: uint64(st.Generation),
		LastReloadSuccessful: st.Successful, LastReload: st.Succeeded, Error: st.Failure,
	}}
	for _, o := range st.Overrides {
		r.LogPolicy.Overrides = append(r.LogPolicy.Overrides, status.Override{Area: o.Area, Level: o.Level.String(), Until: o.Until})
	}
	return r
}

func (s *service) policyPath() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return absolute(s.logging.path)
}

// check answers /livez?check=NAME. The log policy is well if the loop that looks at its file still does.
func (s *service) check(name string) error {
	if name != "policy" {
		return fmt.Errorf("check %.64q: %w", name, status.ErrUnknown)
	}
	path := s.policyPath()
	if path == "" {
		return nil
	}
	last := s.board.watch(path).LastCheck
	if age := time.Since(last.Round(0)); age > 3*s.logging.flags.poll && time.Since(s.board.started) > 3*s.logging.flags.poll {
		return fmt.Errorf("the log policy was last looked at %v ago", after(age))
	}
	return nil
}

// logMetrics declares the families of the log and its policy.
func (s *service) logMetrics(w *status.Writer) {
	const policy = "renewd_log_policy_"
	st := s.logging.State()
	watch := s.board.watch(s.policyPath())
	one := func(name, help string, value float64) {
		w.Gauge(policy+name, help, func(s *status.Samples) { s.Add(value) })
	}
	when := func(name, help string, t time.Time) {
		w.Gauge(policy+name, help, func(s *status.Samples) { s.AddTime(t) })
	}
	one("last_reload_successful", "Whether the log policy on disk is the one in force.", number(st.Successful))
	one("generation", "How often a log policy came into force; 0 is the built-in one.", float64(st.Generation))
	when("last_reload_success_timestamp_seconds", "When the log policy in force came into force.", st.Succeeded)
	when("last_check_timestamp_seconds", "When the log policy file was last looked at, whatever was found.", watch.LastCheck)
	w.Gauge(policy+"info", "The log policy in force; always 1.", func(s *status.Samples) {
		if st.SHA256 != "" {
			s.Add(1, "sha256", st.SHA256)
		}
	})
	w.Counter(policy+"reloads_total", "Attempts to read the log policy, by result.", func(s *status.Samples) {
		for _, result := range slices.Sorted(maps.Keys(st.Reloads)) {
			s.Add(float64(st.Reloads[result]), "result", result)
		}
	})
	w.Gauge(policy+"watch_state", "How the log policy file is watched: 1 for the present state, 0 for the others.", func(s *status.Samples) {
		if watch.Path == "" {
			return
		}
		for _, state := range [...]string{"degraded", "inotify", "static_mount"} {
			s.Add(number(watch.State == state), "state", state)
		}
	})
	w.Gauge(policy+"override_active", "Temporary levels in force; always 1.", func(s *status.Samples) {
		seen := map[string]bool{}
		for _, o := range st.Overrides {
			if !seen[o.Area] {
				s.Add(1, "area", o.Area)
			}
			seen[o.Area] = true
		}
	})
	s.lineMetrics(w, st)
}

// lineMetrics declares the families of the log itself, and of watching files.
func (s *service) lineMetrics(w *status.Writer, st logpolicy.State) {
	w.Counter("renewd_watch_errors_total", "Errors of watching files, by kind; each was answered by a full check.", func(w *status.Samples) {
		errs := s.watcher.Errors()
		for _, kind := range slices.Sorted(maps.Keys(errs)) {
			w.Add(float64(errs[kind]), "kind", kind)
		}
	})
	help := map[string]string{
		"lines_total": "Lines that were logged.", "lines_dropped_total": "Lines that were lost, and why.",
		"write_errors_total": "Writes of lines that failed.", "rotations_total": "Rotations of log files.",
		"redactions_total": "Secrets that were hidden in lines, by rule.", "panics_total": "Panics that were recovered.",
	}
	for _, name := range slices.Sorted(maps.Keys(help)) {
		w.Counter("renewd_log_"+name, help[name], func(s *status.Samples) {
			for _, c := range st.Counters {
				if c.Name == name {
					s.Add(float64(c.Value), c.Labels...)
				}
			}
		})
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
