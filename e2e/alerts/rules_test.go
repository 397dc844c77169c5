// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package alerts

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// pod are the labels of a scrape, as the beginning of a selector's braces.
const pod = `namespace="shop", pod="orders-5d4b", container="renewd", job="renewd-system/renewd"`

// of is a series of that scrape with more labels: name, value, name, value, …
func of(name, values string, more ...string) series {
	labels := []string{pod}
	for i := 0; i < len(more); i += 2 {
		labels = append(labels, fmt.Sprintf("%s=%q", more[i], more[i+1]))
	}
	return series{name + "{" + strings.Join(labels, ", ") + "}", values}
}

// token are the series of a token that was issued at minute 0 and lives for some minutes.
func token(minutes int, failures string) []series {
	return []series{
		of("renewd_token_issued_timestamp_seconds", fmt.Sprintf("0x%d", 2*minutes), "token", "orders"),
		of("renewd_token_expiry_timestamp_seconds", fmt.Sprintf("%dx%d", minutes*60, 2*minutes), "token", "orders"),
		of("renewd_refresh_consecutive_failures", failures, "token", "orders"),
	}
}

// unending are the series of a token that does not say when it expires.
func unending(failures string) []series {
	return []series{
		of("renewd_token_issued_timestamp_seconds", "0x120", "token", "orders"),
		of("renewd_refresh_consecutive_failures", failures, "token", "orders"),
	}
}

func with(input []series, more ...series) []series { return append(input, more...) }

func attempts(values, reason string) series {
	return of("renewd_refresh_attempts_total", values, "token", "orders", "result", "failed", "reason", reason)
}

// length returns for how many minutes the longest series lasts, and what Prometheus still takes for its last value.
func length(t *testing.T, input []series) int {
	t.Helper()
	longest := 0
	for _, s := range input {
		_, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(s.Series + " " + s.Values)
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, len(values))
	}
	return longest + 6
}

// TestAlerts has of each alert what makes it fire, when it begins and when it ends, and the nearest that does not.
func TestAlerts(t *testing.T) {
	const never = -1
	untested := alerts(t)
	for alert, cases := range map[string][]struct {
		name        string
		input       []series
		begins, end int // end is the first minute in which it no longer fires
	}{
		"RenewdTokenInvalid": {
			{"for a while", []series{of("renewd_token_valid", "1x9 0x9 1x30", "token", "orders")}, 11, 20},
			{"a moment", []series{of("renewd_token_valid", "1x9 0 1x30", "token", "orders")}, never, 0},
		},
		"RenewdTokenExpiresSoon": {
			{"a tenth of an hour", token(60, "0x45 5x20 0x60"), 55, 67},
			{"a tenth of a day", token(1440, "0x1000 5x400 0x60"), 1297, 1402},
			{"what readers were promised", token(10, "0x7 5x4 0x60"), 9, 13},
			{"a late window", token(60, "0x120"), never, 0},
			{"an outage in time", token(60, "0x45 5x8 0x60"), never, 0},
		},
		"RenewdRefreshBroken": {
			{"refused", with(token(60, "0x9 1 2x20 0x30"), attempts("_x10 1 2x60", "refused")), 11, 25},
			{"config", with(token(60, "0x9 1 2x9 0x30"), attempts("_x10 1 2x60", "config")), 11, 21},
			{"malformed", with(token(60, "0x9 1 2x9 0x30"), attempts("_x10 1 2x60", "malformed")), 11, 21},
			{"write", with(token(60, "0x9 1 2x9 0x30"), attempts("_x10 1 2x60", "write")), 11, 21},
			{"again, after a month", with(token(60, "0x9 1 2x9 0x30"), attempts("40x9 41 42x60", "refused")), 11, 21},
			{"once", with(token(60, "0x9 1x5 0x30"), attempts("_x10 1x60", "refused")), never, 0},
			{"an outage", with(token(60, "0x9 1 2x20 0x30"), attempts("_x10 1 2x60", "unavailable")), never, 0},
			{"an outage after a refusal", with(token(60, "0x9 1 0x60 1 2x20"), attempts("_x10 1x100", "refused"), attempts("_x71 1 2x60", "unavailable")), never, 0},
		},
		"RenewdRefreshFailing": {
			{"the last quarter of an hour", token(60, "0x40 5x20 0x60"), 46, 62},
			{"the last quarter of a day", token(1440, "0x1000 5x400 0x60"), 1081, 1402},
			{"a life that nobody knows", unending("0x9 1 2 3 4 5 6x20 0x60"), 15, 36},
			{"a short outage in it", unending("0x9 1 2 3 4 5x20 0x60"), never, 0},
			{"no token yet", []series{of("renewd_refresh_consecutive_failures", "9x60", "token", "orders")}, never, 0},
			{"a hiccup", token(60, "0x45 1x5 0x60"), never, 0},
			{"a long outage in time", token(1440, "5x1000 0x400"), never, 0},
		},
		"RenewdSchedulerStuck": {
			{"nobody tries", []series{of("renewd_token_next_attempt_timestamp_seconds", "600x30 6000x30", "token", "orders")}, 18, 31},
			{"a slow attempt", []series{of("renewd_token_next_attempt_timestamp_seconds", "600x14 6000x30", "token", "orders")}, never, 0},
		},
		"RenewdConfigNotInForce": {
			{"for a while", []series{of("renewd_config_last_reload_successful", "1x9 0x9 1x30")}, 15, 20},
			{"mended", []series{of("renewd_config_last_reload_successful", "1x9 0x4 1x30")}, never, 0},
		},
		"RenewdLogPolicyNotInForce": {
			{"for a while", []series{of("renewd_log_policy_last_reload_successful", "1x9 0x9 1x30")}, 15, 20},
			{"mended", []series{of("renewd_log_policy_last_reload_successful", "1x9 0x4 1x30")}, never, 0},
		},
		"RenewdWatcherDegraded": {
			{"no inotify", []series{of("renewd_config_watch_state", "0x9 1x30 0x30", "state", "degraded")}, 25, 41},
			{"a mount", []series{of("renewd_log_policy_watch_state", "1x30 0x30", "state", "static_mount")}, 15, 31},
			{"nobody looks", []series{of("renewd_config_last_check_timestamp_seconds", "600x60")}, 36, 61 + 4},
			{"nobody looks at the policy", []series{of("renewd_log_policy_last_check_timestamp_seconds", "600x60")}, 36, 61 + 4},
			{"inotify", []series{of("renewd_config_watch_state", "1x60", "state", "inotify")}, never, 0},
			{"back in time", []series{of("renewd_config_watch_state", "0x9 1x10 0x30", "state", "degraded")}, never, 0},
		},
		"RenewdLogLinesDropped": {
			{"the first", []series{of("renewd_log_lines_dropped_total", "_x10 7x60", "handler", "main", "reason", "full")}, 10, 25},
			{"more", []series{of("renewd_log_lines_dropped_total", "0x29 1x60", "handler", "main", "reason", "full")}, 30, 44},
			{"elsewhere", []series{of("renewd_log_lines_total", "_x10 7x60", "area", "token.orders", "level", "INFO")}, never, 0},
		},
		"RenewdRestarted": {
			{"out of memory", []series{
				of("kube_pod_init_container_status_restarts_total", "0x29 1x60"),
				of("kube_pod_init_container_status_last_terminated_reason", "_x30 1x60", "reason", "OOMKilled"),
			}, 30, 44},
			{"long ago", []series{
				of("kube_pod_init_container_status_restarts_total", "3x60"),
				of("kube_pod_init_container_status_last_terminated_reason", "1x60", "reason", "OOMKilled"),
			}, never, 0},
			{"another container", []series{
				{`kube_pod_init_container_status_restarts_total{namespace="shop", pod="orders-5d4b", container="migrate"}`, "0x29 1x60"},
				{`kube_pod_init_container_status_last_terminated_reason{namespace="shop", pod="orders-5d4b", container="migrate", reason="Error"}`, "_x30 1x60"},
			}, never, 0},
		},
		"RenewdNotScraped": {
			{"no answer", []series{of("up", "1x9 0x20 1x30")}, 20, 31},
			{"no target", []series{of("kube_pod_init_container_status_running", "1x30 0x30")}, 10, 31},
			{"on a host", []series{{`up{job="renewd", instance="host:9736"}`, "0x20 1x30"}}, 10, 21},
			{"a restart", []series{of("up", "1x9 0x5 1x60"), of("kube_pod_init_container_status_running", "1x60")}, never, 0},
			{"another program", []series{{`up{job="orders", instance="host:80"}`, "0x60"}}, never, 0},
		},
		"RenewdVersionSkew": {
			{"for days", []series{of("renewd_build_info", "1x1600", "version", "1.0.0"), of("renewd_build_info", "1x1600", "version", "1.1.0")}, 1440, 1601 + 4},
			{"a rollout", []series{of("renewd_build_info", "1x900 stale", "version", "1.0.0"), of("renewd_build_info", "1x1600", "version", "1.1.0")}, never, 0},
		},
	} {
		fires, rests := 0, 0
		for _, c := range cases {
			t.Run(alert+"/"+c.name, func(t *testing.T) {
				var got []*firing
				for _, f := range evaluate(t, c.input, length(t, c.input), nil) {
					if f.name == alert {
						got = append(got, f)
					}
				}
				if c.begins == never {
					rests++
					if len(got) > 0 {
						t.Errorf("it fires: %v", got)
					}
					return
				}
				fires++
				if len(got) != 1 || got[0].minutes[0] != c.begins || got[0].minutes[len(got[0].minutes)-1]+1 != c.end {
					t.Errorf("%v, want it from minute %d to %d", got, c.begins, c.end-1)
				}
			})
		}
		if fires == 0 || rests == 0 {
			t.Errorf("%s has no case in which it fires, or none in which it does not", alert)
		}
		if _, there := untested[alert]; !there {
			t.Errorf("there is no alert %s", alert)
		}
		delete(untested, alert)
	}
	for alert := range untested {
		t.Errorf("nothing tests %s", alert)
	}
}
