// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/renewd/renewd/daemon/schedule"
)

// planned returns the token of a configuration with this schedule and life.
func planned(t *testing.T, ttl, refresh string) *kept {
	t.Helper()
	text := fmt.Sprintf("version: 1\ntokens: [{name: a, source: {sign: {keyFile: k, ttl: %s}}, refresh: {%s}, publish: [{file: a}]}]\n", ttl, refresh)
	conf, err := loader().Load("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return keep(conf, noLog())[0]
}

var plans = []struct {
	ttl, refresh    string
	start, end      time.Duration
	promise, sure   time.Duration // the outage that is survived with the promise kept
	token           time.Duration // and before the token expires
	notices         []string
	attemptsPerHour float64
}{
	{"1h", "", 42 * time.Minute, 48 * time.Minute, 10 * time.Minute, 8 * time.Minute, 12 * time.Minute, nil, 4. / 3},
	{"1h", "at: 80%, keep: 0s", 48 * time.Minute, 48 * time.Minute, 12 * time.Minute, 690 * time.Second, 12 * time.Minute, nil, 1.25},
	{"1h", "outage: 30m", 22 * time.Minute, 28 * time.Minute, 30 * time.Minute, 28 * time.Minute, 32 * time.Minute, nil, 2.4},
	{"1h", "interval: 10m", 5 * time.Minute, 10 * time.Minute, 48 * time.Minute, 46 * time.Minute, 50 * time.Minute, []string{"interval: 10m has the issuer asked 8 times an hour"}, 8},
	{"1m", "outage: 1h", 6 * time.Second, 12 * time.Second, 33 * time.Second, 28 * time.Second, 48 * time.Second,
		[]string{"keep: 2m cannot be met with a life of 1m", "shorter than what readers cache", "outage: 1h does not fit"}, 400},
	{"1h", "before: 59m, keep: 0s", 6 * time.Minute, 12 * time.Minute, 48 * time.Minute, 2850 * time.Second, 48 * time.Minute, []string{"before: 59m does not fit"}, 60. / 9},
	{"30d", "", 16*time.Hour + 48*time.Minute, 19*time.Hour + 12*time.Minute, 30*24*time.Hour - 19*time.Hour - 14*time.Minute,
		30*24*time.Hour - 19*time.Hour - 16*time.Minute, 30*24*time.Hour - 19*time.Hour - 12*time.Minute, []string{"a life over 24h counts as 24h"}, 1. / 18},
}

// TestPlanKnowsTheFloor: what comes through the floor comes later than its window.
func TestPlanKnowsTheFloor(t *testing.T) {
	for refresh, want := range map[string]struct {
		start, end time.Duration
		notice     string
	}{
		"keep: 0s, floor: 50m":     {50 * time.Minute, 50 * time.Minute, ""},
		"keep: 2m, floor: 59m":     {59 * time.Minute, 59 * time.Minute, "floor: 59m does not fit into a life of 1h"},
		"interval: 1s, floor: 2m":  {2 * time.Minute, 2 * time.Minute, "interval: 1s"},
		"interval: 10m, floor: 8m": {8 * time.Minute, 10 * time.Minute, "interval: 10m"},
	} {
		k := planned(t, "1h", refresh)
		got := k.timetable(0)
		if got.Start != after(want.start) || got.End != after(want.end) || got.FirstStart > got.Start {
			t.Errorf("%s: from %v, %v to %v", refresh, got.FirstStart, got.Start, got.End)
		}
		if len(got.Notices) != min(len(want.notice), 1) || !strings.HasPrefix(strings.Join(got.Notices, ""), want.notice) {
			t.Errorf("%s: %q", refresh, got.Notices)
		}
	}
}

func TestPlanSaysWhatTheScheduleDoes(t *testing.T) {
	for _, c := range plans {
		got := planned(t, c.ttl, c.refresh).timetable(0)
		if got.Start != after(c.start) || got.End != after(c.end) || got.Down.Promise != after(c.promise) || got.Down.Token != after(c.token) {
			t.Errorf("%s, %s: window %v to %v, survived %v and %v", c.ttl, c.refresh, got.Start, got.End, got.Down.Promise, got.Down.Token)
		}
		if d := time.Duration(got.Down.PromiseForSure) - c.sure; d.Abs() > time.Second {
			t.Errorf("%s, %s: %v for sure, want %v", c.ttl, c.refresh, got.Down.PromiseForSure, c.sure)
		}
		if fmt.Sprintf("%.3g", got.RequestsPerHour) != fmt.Sprintf("%.3g", c.attemptsPerHour) {
			t.Errorf("%s, %s: %v requests an hour", c.ttl, c.refresh, got.RequestsPerHour)
		}
		if len(got.Notices) != len(c.notices) {
			t.Errorf("%s, %s: %q", c.ttl, c.refresh, got.Notices)
		}
		for _, want := range c.notices {
			if !strings.Contains(strings.Join(got.Notices, "\n"), want) {
				t.Errorf("%s, %s: %q is not in %q", c.ttl, c.refresh, want, got.Notices)
			}
		}
	}
}

// TestPlanFearsHangingAttempts is about those who wait for somebody else: a life that is asked for is no sign of who signs.
func TestPlanFearsHangingAttempts(t *testing.T) {
	for source, want := range map[string]bool{
		"kubernetes: {server: 'https://h', expiration: 10m}": true,
		"vault: {address: 'https://h', role: r}":             true,
		"exec: {command: [/bin/true]}":                       true,
		"sign: {keyFile: k, ttl: 10m}":                       false,
		"reissue: {seedFile: s, keyFile: k}":                 false,
		"file: {path: p}":                                    false,
	} {
		conf, err := loader().Load("test", []byte("version: 1\ntokens: [{name: a, timeout: 5m, source: {"+source+"}, publish: [{file: a}]}]\n"))
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		notices := strings.Join(keep(conf, noLog())[0].timetable(10*time.Minute).Notices, "\n")
		if strings.Contains(notices, "an attempt that hangs") != want {
			t.Errorf("%s: %q", source, notices)
		}
	}
}

// TestSurvivedForSure follows attempts with chance, and with chance at its worst: after an outage that is survived for sure
// there is always one in time, and not much beyond that there is not.
func TestSurvivedForSure(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range plans[:6] {
		k := planned(t, c.ttl, c.refresh)
		plan := k.timetable(0)
		l, _ := k.life(0)
		for _, refused := range []bool{false, true} {
			f := plan.Down
			if refused {
				f = plan.Refused
			}
			missed := 0
			for range 3000 {
				failed := schedule.Failing{Refused: refused}
				in := false // an attempt was made after the outage, and in time
				for at := l.Issued.Add(time.Duration(plan.End)); !in && at.Before(l.Expires); {
					since := after(at.Sub(l.Issued))
					in = since >= plan.End+f.PromiseForSure && since <= plan.GuaranteeEnd
					failed.Count++
					at = at.Add(k.Policy.Retry(at, l, failed, []float64{0, random.Float64(), 0.9999}[random.IntN(3)]))
				}
				if !in {
					missed++
				}
			}
			if missed > 0 {
				t.Errorf("%s, %s, refused %v: after an outage of %v, %d of 3000 broke the promise", c.ttl, c.refresh, refused, f.PromiseForSure, missed)
			}
		}
	}
}

// TestPlanCountsAttemptsOfLongLives compares with one after the other. A record may say that a token lives for centuries, and
// then nobody could wait for that.
func TestPlanCountsAttemptsOfLongLives(t *testing.T) {
	k := planned(t, "1h", "")
	for _, life := range []time.Duration{time.Hour, 8 * time.Hour, 24 * time.Hour, 30*24*time.Hour + 77*time.Second} {
		for _, refused := range []bool{false, true} {
			plan := k.timetable(life)
			got := plan.Down
			if refused {
				got = plan.Refused
			}
			l, _ := k.life(life)
			want := 0
			for at := l.Issued.Add(time.Duration(plan.End)); ; want++ {
				at = at.Add(k.Policy.Retry(at, l, schedule.Failing{Count: want + 1, Refused: refused}, 0.5))
				if !at.Before(l.Expires) {
					break
				}
			}
			if got.Attempts != want {
				t.Errorf("%v, refused %v: %d attempts, want %d", life, refused, got.Attempts, want)
			}
		}
	}
	begin := time.Now()
	if got := k.timetable(math.MaxInt64); got.Down.Attempts < 60_000_000 || time.Since(begin) > 3*time.Second {
		t.Errorf("%d attempts, counted in %v", got.Down.Attempts, time.Since(begin))
	}
}

func TestBarFitsTheScreen(t *testing.T) {
	for _, columns := range []int{1, 40, 80, 133, 500} {
		for _, unicode := range []bool{false, true} {
			for _, c := range plans {
				var out bytes.Buffer
				planned(t, c.ttl, c.refresh).timetable(0).draw(&out, screen{columns: columns, unicode: unicode})
				for i, line := range strings.Split(out.String(), "\n") {
					n := utf8.RuneCountInString(line)
					if i >= 2 && i < 5 && n > min(max(columns, narrowest), widest) || i == 2 && columns >= narrowest && columns <= widest && n != columns-2 {
						t.Errorf("%d columns, %s, %s: line %d has %d", columns, c.ttl, c.refresh, i, n)
					}
					if i >= 5 && columns >= widest && n > 100 || i >= 5 && columns == 80 && n > 80 {
						t.Errorf("%d columns, %s, %s: %d in %q", columns, c.ttl, c.refresh, n, line)
					}
					if !unicode && len(line) != n {
						t.Errorf("not ASCII: %q", line)
					}
				}
				if strings.Contains(out.String(), "\x1b") {
					t.Error("colors outside a terminal")
				}
			}
		}
	}
}

func TestTimesAfterTheIssue(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Millisecond: "1.5s", 90 * time.Second: "1m30s", 30 * time.Minute: "30m", 26 * time.Hour: "26h",
		48 * time.Hour: "2d", 30*24*time.Hour - 2*time.Minute: "29d23h58m", 12*time.Minute + 30*time.Second + 300*time.Millisecond: "12m30s",
	} {
		if got := after(d).String(); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
