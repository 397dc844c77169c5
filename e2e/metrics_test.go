// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/renewd/renewd/e2e/internal/program"
)

// scrape is one answer of /metrics, read by Prometheus' own parser.
type scrape map[string]*dto.MetricFamily

// get scrapes, and fails on anything that Prometheus' linter has to say.
func get(t *testing.T, p *program.Process) scrape {
	t.Helper()
	body, err := p.Get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("promlint: %s: %s", problem.Metric, problem.Text)
	}
	return families
}

// value returns the value of the series whose labels are exactly these (name, value, name, value, …) and whether there is
// one. Of a histogram it is the number of observations.
func (s scrape) value(name string, labels ...string) (float64, bool) {
	want := map[string]string{}
	for i := 0; i < len(labels); i += 2 {
		want[labels[i]] = labels[i+1]
	}
	for _, m := range s[name].GetMetric() {
		got := map[string]string{}
		for _, l := range m.GetLabel() {
			got[l.GetName()] = l.GetValue()
		}
		if !maps.Equal(got, want) {
			continue
		}
		switch {
		case m.Histogram != nil:
			return float64(m.GetHistogram().GetSampleCount()), true
		case m.Counter != nil:
			return m.GetCounter().GetValue(), true
		}
		return m.GetGauge().GetValue(), true
	}
	return 0, false
}

// attempts returns how often attempts for a token came to a result.
func (s scrape) attempts(token, result, reason string) float64 {
	n, _ := s.value("renewd_refresh_attempts_total", "token", token, "result", result, "reason", reason)
	return n
}

// moved waits until a condition holds in a scrape, and returns that scrape.
func moved(t *testing.T, p *program.Process, what string, holds func(scrape) bool) scrape {
	t.Helper()
	var s scrape
	eventually(t, func() error {
		if s = get(t, p); !holds(s) {
			return fmt.Errorf("%s: the metrics do not show it", what)
		}
		return nil
	})
	return s
}

const metricsConfig = `version: 1
tokens:
  - name: signed
    source: {sign: {algorithm: ES256, keyFile: DIR/signing.pem, claims: {iss: e2e}, ttl: 1h}}
    refresh: {floor: 100ms}
    publish: [{file: DIR/out/signed}, {directory: DIR/set}]
    notify: [{exec: {command: ["true"]}}]
  - name: copied
    source: {file: {path: DIR/input}}
    refresh: {interval: 1h, floor: 100ms}
    publish: [{file: DIR/copied}]
  - name: absent
    source: {file: {path: DIR/none}}
    publish: [{file: DIR/absent}]
status: {listen: "127.0.0.1:0"}
`

// watched starts a daemon whose metrics are to be looked at: two tokens that are well, and one that fails.
func watched(t *testing.T) (*program.Process, string) {
	t.Helper()
	dir := t.TempDir()
	newKey(t, dir)
	write(t, dir, "input", "first.opaque.token")
	if err := os.Mkdir(filepath.Join(dir, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := run(t, dir, strings.ReplaceAll(metricsConfig, "DIR", dir))
	listening(t, p)
	moved(t, p, "start", func(s scrape) bool {
		return s.attempts("signed", "published", "") == 1 && s.attempts("copied", "published", "") == 1 &&
			s.attempts("absent", "failed", "unavailable") >= 1
	})
	return p, dir
}

func TestMetricsFamilies(t *testing.T) {
	p, _ := watched(t)
	s := moved(t, p, "notification", func(s scrape) bool {
		n, _ := s.value("renewd_notifications_total", "token", "signed", "kind", "exec", "result", "success")
		return n == 1
	})
	healthy := []string{"signed", "copied"}
	for family, c := range map[string]struct {
		kind   dto.MetricType
		tokens []string
	}{
		"renewd_token_expiry_timestamp_seconds":       {dto.MetricType_GAUGE, []string{"signed"}},
		"renewd_token_issued_timestamp_seconds":       {dto.MetricType_GAUGE, healthy},
		"renewd_token_next_attempt_timestamp_seconds": {dto.MetricType_GAUGE, append(healthy, "absent")},
		"renewd_token_last_success_timestamp_seconds": {dto.MetricType_GAUGE, healthy},
		"renewd_token_valid":                          {dto.MetricType_GAUGE, append(healthy, "absent")},
		"renewd_refresh_consecutive_failures":         {dto.MetricType_GAUGE, append(healthy, "absent")},
		"renewd_refresh_duration_seconds":             {dto.MetricType_HISTOGRAM, append(healthy, "absent")},
	} {
		if got := s[family].GetType(); s[family] == nil || got != c.kind {
			t.Errorf("%s is %v (there: %v), want %v", family, got, s[family] != nil, c.kind)
		}
		for _, token := range c.tokens {
			if _, found := s.value(family, "token", token); !found {
				t.Errorf("%s has no series with the one label token=%q", family, token)
			}
		}
		if got := len(s[family].GetMetric()); got != len(c.tokens) {
			t.Errorf("%s has %d series, want %d", family, got, len(c.tokens))
		}
	}
	for token, want := range map[string]float64{"signed": 1, "copied": 1, "absent": 0} {
		if got, _ := s.value("renewd_token_valid", "token", token); got != want {
			t.Errorf("renewd_token_valid of %s is %v, want %v", token, got, want)
		}
	}
	for _, family := range []string{
		"renewd_config_last_reload_successful", "renewd_config_last_reload_success_timestamp_seconds", "renewd_config_generation",
		"renewd_config_last_check_timestamp_seconds", "renewd_config_info", "renewd_config_watch_state", "renewd_build_info",
		"process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds",
	} {
		if s[family] == nil {
			t.Errorf("%s is missing", family)
		}
	}
	if expiry, _ := s.value("renewd_token_expiry_timestamp_seconds", "token", "signed"); time.Until(time.Unix(int64(expiry), 0)) < 55*time.Minute {
		t.Errorf("the one-hour token expires at %v", expiry)
	}
}

// TestLogMetricsFamilies looks for what the log and its policy tell of themselves, with a policy in force, a wrong one on
// disk, and a good one again.
func TestLogMetricsFamilies(t *testing.T) {
	dir := t.TempDir()
	newKey(t, dir)
	policy := write(t, dir, "policy.yaml", "version: 1\nlevel: INFO\n")
	p := run(t, dir, strings.ReplaceAll(strings.Replace(metricsConfig, "out/", "", 1), "DIR", dir), "--log-policy", policy)
	listening(t, p)
	is := func(s scrape, name string, want float64, labels ...string) bool {
		got, found := s.value(name, labels...)
		return found && got == want
	}
	s := get(t, p)
	for _, family := range []string{
		"renewd_log_policy_last_reload_success_timestamp_seconds", "renewd_log_policy_last_check_timestamp_seconds",
		"renewd_log_policy_info", "renewd_log_policy_watch_state", "renewd_log_lines_total",
	} {
		if s[family] == nil {
			t.Errorf("%s is missing", family)
		}
	}
	if !is(s, "renewd_log_policy_generation", 1) || !is(s, "renewd_log_policy_last_reload_successful", 1) {
		t.Error("the policy that was there at the start is not in force")
	}
	good := read(t, policy)
	rewrite(t, policy, good+"nonsense: true\n")
	moved(t, p, "wrong policy", func(s scrape) bool {
		return is(s, "renewd_log_policy_last_reload_successful", 0) && is(s, "renewd_log_policy_generation", 1) &&
			is(s, "renewd_log_policy_reloads_total", 1, "result", "invalid")
	})
	rewrite(t, policy, strings.Replace(good, "INFO", "DEBUG", 1))
	moved(t, p, "changed policy", func(s scrape) bool {
		return is(s, "renewd_log_policy_last_reload_successful", 1) && is(s, "renewd_log_policy_generation", 2)
	})
	stop(t, p)
}

func TestMetricsFollowWhatHappens(t *testing.T) {
	p, dir := watched(t)
	before := get(t, p)

	t.Run("a refresh that was asked for", func(t *testing.T) {
		if err := p.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		s := moved(t, p, "SIGUSR1", func(s scrape) bool {
			return s.attempts("signed", "published", "") == 2 && s.attempts("copied", "unchanged", "") == 1
		})
		was, _ := before.value("renewd_refresh_duration_seconds", "token", "signed")
		if is, _ := s.value("renewd_refresh_duration_seconds", "token", "signed"); is != was+1 {
			t.Errorf("the histogram counts %v attempts, want %v", is, was+1)
		}
	})
	t.Run("a published file that was removed", func(t *testing.T) {
		if err := os.Remove(filepath.Join(dir, "out/signed")); err != nil {
			t.Fatal(err)
		}
		s := moved(t, p, "rm", func(s scrape) bool { return s.attempts("signed", "healed", "") == 1 })
		if got := s.attempts("signed", "published", ""); got != 2 {
			t.Errorf("the issuer was asked for healing: %v published", got)
		}
		if valid, _ := s.value("renewd_token_valid", "token", "signed"); valid != 1 {
			t.Error("the healed token is not valid")
		}
	})
	t.Run("a file that was tampered with", func(t *testing.T) {
		write(t, dir, "out/signed", "garbage")
		moved(t, p, "tampering", func(s scrape) bool { return s.attempts("signed", "healed", "") == 2 })
	})
	t.Run("an outage and its end", func(t *testing.T) { outage(t, p, dir) })
	t.Run("a place that cannot be written", func(t *testing.T) { unwritable(t, p, dir) })
	t.Run("a configuration that is wrong and right again", func(t *testing.T) { reload(t, p, dir) })
	stop(t, p)
}

// outage takes away what the source reads, for a while.
func outage(t *testing.T, p *program.Process, dir string) {
	if err := os.Remove(filepath.Join(dir, "input")); err != nil {
		t.Fatal(err)
	}
	s := moved(t, p, "outage", func(s scrape) bool { return s.attempts("copied", "failed", "unavailable") >= 1 })
	if n, _ := s.value("renewd_refresh_consecutive_failures", "token", "copied"); n < 1 {
		t.Errorf("%v consecutive failures in an outage", n)
	}
	if valid, _ := s.value("renewd_token_valid", "token", "copied"); valid != 1 {
		t.Error("the old token went with the issuer")
	}
	write(t, dir, "input", "second.opaque.token")
	s = moved(t, p, "recovery", func(s scrape) bool { return s.attempts("copied", "published", "") == 2 })
	if n, _ := s.value("renewd_refresh_consecutive_failures", "token", "copied"); n != 0 {
		t.Errorf("%v consecutive failures after the recovery", n)
	}
	if got := read(t, filepath.Join(dir, "copied")); got != "second.opaque.token" {
		t.Errorf("%q is published", got)
	}
}

// unwritable puts a file in the place of the directory that is published to, for a while.
func unwritable(t *testing.T, p *program.Process, dir string) {
	out := filepath.Join(dir, "out")
	if err := os.Rename(out, out+".away"); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "out", "in the way")
	moved(t, p, "publish error", func(s scrape) bool {
		_ = p.Signal(syscall.SIGUSR1)
		n, _ := s.value("renewd_publish_errors_total", "token", "signed", "class", "ENOTDIR")
		valid, _ := s.value("renewd_token_valid", "token", "signed")
		return n >= 1 && valid == 0 && s.attempts("signed", "failed", "write") >= 1
	})
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(out+".away", out); err != nil {
		t.Fatal(err)
	}
	moved(t, p, "end of the publish error", func(s scrape) bool {
		_ = p.Signal(syscall.SIGUSR1)
		failures, _ := s.value("renewd_refresh_consecutive_failures", "token", "signed")
		valid, _ := s.value("renewd_token_valid", "token", "signed")
		return failures == 0 && valid == 1
	})
}

// reload makes the configuration wrong, and right again.
func reload(t *testing.T, p *program.Process, dir string) {
	good := read(t, filepath.Join(dir, "config.yaml"))
	change := func(text string) { rewrite(t, filepath.Join(dir, "config.yaml"), text) }
	counted := func(s scrape, result string) float64 {
		n, _ := s.value("renewd_config_reloads_total", "result", result)
		return n
	}
	successful := func(s scrape) float64 {
		n, _ := s.value("renewd_config_last_reload_successful")
		return n
	}
	change(good + "nonsense: true\n")
	s := moved(t, p, "wrong configuration", func(s scrape) bool { return counted(s, "invalid") == 1 && successful(s) == 0 })
	if n, _ := s.value("renewd_config_generation"); n != 1 {
		t.Errorf("generation %v is in force, want 1", n)
	}
	change(strings.Replace(good, "name: copied", "name: renamed", 1))
	s = moved(t, p, "changed configuration", func(s scrape) bool { return counted(s, "applied") == 1 && successful(s) == 1 })
	if n, _ := s.value("renewd_config_generation"); n != 2 {
		t.Errorf("generation %v is in force, want 2", n)
	}
	moved(t, p, "a removed token", func(s scrape) bool {
		_, old := s.value("renewd_token_valid", "token", "copied")
		_, counters := s.value("renewd_refresh_attempts_total", "token", "copied", "result", "published", "reason", "")
		_, renamed := s.value("renewd_token_valid", "token", "renamed")
		return !old && !counters && renamed
	})
}
