// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"bytes"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// metrics answers a scrape from one snapshot.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	report := s.Report()
	var m Writer
	tokenFamilies(&m, report.Tokens)
	configurationFamilies(&m, report)
	processFamilies(&m, report.Process)
	if s.Counters != nil {
		s.Counters.families(&m)
	}
	if s.Metrics != nil {
		s.Metrics(&m)
	}
	w.Header().Set("Content-Type", expositionType)
	// An error after the first byte means that the client is gone, which is its own affair.
	out := &firstByte{ResponseWriter: w}
	if err := m.emit(out); err != nil && !out.written {
		s.Log.Error("metrics are inconsistent", zap.Error(err))
		text(w, http.StatusInternalServerError, err.Error())
	}
}

// firstByte knows whether an answer has begun.
type firstByte struct {
	http.ResponseWriter
	written bool
}

func (f *firstByte) Write(p []byte) (int, error) {
	f.written = true
	return f.ResponseWriter.Write(p)
}

func tokenFamilies(w *Writer, tokens []Token) {
	gauge := func(name, help string, add func(s *Samples, t *Token)) {
		w.Gauge(name, help, func(s *Samples) {
			for i := range tokens {
				add(s, &tokens[i])
			}
		})
	}
	gauge("renewd_token_expiry_timestamp_seconds", "When the token in force expires; absent if nobody said.",
		func(s *Samples, t *Token) { s.AddTime(t.ExpiresAt, "token", t.Name) })
	gauge("renewd_token_issued_timestamp_seconds", "When the token in force was issued.",
		func(s *Samples, t *Token) { s.AddTime(t.IssuedAt, "token", t.Name) })
	gauge("renewd_token_next_attempt_timestamp_seconds", "When the next attempt is due.",
		func(s *Samples, t *Token) { s.AddTime(t.NextAttempt, "token", t.Name) })
	gauge("renewd_token_last_success_timestamp_seconds", "When an attempt last succeeded.",
		func(s *Samples, t *Token) { s.AddTime(t.LastSuccess, "token", t.Name) })
	gauge("renewd_token_valid", "Whether every published file of the token matches its record and has life left, read from the disk.",
		func(s *Samples, t *Token) { s.addBool(t.Valid, "token", t.Name) })
	gauge("renewd_refresh_consecutive_failures", "Attempts that failed since the last success.",
		func(s *Samples, t *Token) { s.Add(float64(t.ConsecutiveFailures), "token", t.Name) })
}

func configurationFamilies(w *Writer, report Report) {
	c := report.Configuration
	w.Gauge("renewd_config_last_reload_successful", "Whether the configuration on disk is the one in force.",
		func(s *Samples) { s.addBool(c.LastReloadSuccessful) })
	w.Gauge("renewd_config_last_reload_success_timestamp_seconds", "When the configuration in force came into force.",
		func(s *Samples) { s.AddTime(c.LastReload) })
	w.Gauge("renewd_config_generation", "How often a configuration came into force.",
		func(s *Samples) { s.Add(float64(c.Generation)) })
	w.Gauge("renewd_config_info", "The configuration in force; always 1.",
		func(s *Samples) {
			if c.SHA256 != "" {
				s.Add(1, "sha256", c.SHA256)
			}
		})
	var watch Watch
	for _, candidate := range report.Watches {
		if candidate.Path == c.Path {
			watch = candidate
		}
	}
	w.Gauge("renewd_config_last_check_timestamp_seconds", "When the configuration file was last looked at, whatever was found.",
		func(s *Samples) { s.AddTime(watch.LastCheck) })
	w.Gauge("renewd_config_watch_state", "How the configuration file is watched: 1 for the present state, 0 for the others.",
		func(s *Samples) {
			if watch.Path == "" {
				return
			}
			for _, state := range [...]string{"degraded", "inotify", "static_mount"} {
				s.addBool(watch.State == state, "state", state)
			}
		})
}

// processFamilies declares what the usual client libraries tell of every process, under their names. What the kernel does
// not say is left out.
func processFamilies(w *Writer, p Process) {
	w.Gauge("renewd_build_info", "The program; always 1.",
		func(s *Samples) { s.Add(1, "goversion", runtime.Version(), "version", p.Version) })
	w.Gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.",
		func(s *Samples) { s.AddTime(p.StartedAt) })
	w.Gauge("process_resident_memory_bytes", "Resident memory size in bytes.", func(s *Samples) {
		if bytes, ok := residentBytes(); ok {
			s.Add(bytes)
		}
	})
	w.Counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", func(s *Samples) {
		var usage syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
			s.Add(time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds())
		}
	})
	w.Gauge("process_open_fds", "Number of open file descriptors.", func(s *Samples) {
		if n, ok := openDescriptors(); ok {
			s.Add(float64(n))
		}
	})
	w.Gauge("go_goroutines", "Number of goroutines that currently exist.",
		func(s *Samples) { s.Add(float64(runtime.NumGoroutine())) })
}

// residentBytes reads the second field of statm, proc_pid_statm(5).
func residentBytes() (float64, bool) {
	data, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(data)
	if err != nil || len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return float64(pages) * float64(os.Getpagesize()), err == nil
}

func openDescriptors() (int, bool) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, false
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	return len(names) - 1, err == nil // less the one that reads the directory
}

// AddTime adds a time in seconds since the epoch, to the millisecond, and nothing for the zero time.
func (s *Samples) AddTime(t time.Time, labels ...string) {
	if !t.IsZero() {
		s.Add(float64(t.UnixMilli())/1000, labels...)
	}
}

// addBool adds 1 or 0.
func (s *Samples) addBool(b bool, labels ...string) {
	value := 0.0
	if b {
		value = 1
	}
	s.Add(value, labels...)
}
