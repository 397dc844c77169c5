// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a Switch in a bubble, where time is exact.
func bubble(t *testing.T, fn func(*Switch, *buffer)) {
	synctest.Test(t, func(t *testing.T) {
		out := &buffer{}
		s := New(Options{Areas: areas, Stderr: out, Stdout: &buffer{}})
		s.SetTokens([]string{"db"})
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = s.Run(ctx) })
		fn(s, out)
		cancel()
		group.Wait()
	})
}

func (s *Switch) levelOf(area string) string {
	return Level(s.current.Load().tree.find(area).level).String()
}

func mustApply(t *testing.T, s *Switch, text string) {
	t.Helper()
	if err := s.Apply("p", []byte("version: 1\n"+text), "test"); err != nil {
		t.Fatal(err)
	}
}

// A level that ends by itself, with no change of the file.
func TestTemporaryLevelsEndByThemselves(t *testing.T) {
	bubble(t, func(s *Switch, out *buffer) {
		until := time.Now().Add(90 * time.Second).UTC().Format(time.RFC3339)
		text := "level: ERROR\nareas: {token: {level: DEBUG, until: " + until + ", handlers: [o]}, status: {level: INFO, for: 30s}}\nhandlers: {console: {type: stream}, o: {type: stream, stream: stdout, default: false}}"
		mustApply(t, s, text)
		check := func(token, status string, overrides int) {
			t.Helper()
			if a, b := s.levelOf("token.db"), s.levelOf("status"); a != token || b != status || len(s.State().Overrides) != overrides {
				t.Errorf("%s %s %+v", a, b, s.State().Overrides)
			}
		}
		check("DEBUG", "INFO", 2)
		time.Sleep(29 * time.Second)
		check("DEBUG", "INFO", 2)
		time.Sleep(2 * time.Second)
		check("DEBUG", "ERROR", 1)
		mustApply(t, s, text) // the same is no change
		check("DEBUG", "ERROR", 1)
		time.Sleep(58 * time.Second)
		check("DEBUG", "ERROR", 1)
		time.Sleep(2 * time.Second)
		check("ERROR", "ERROR", 0)
		if got := s.current.Load().tree.find("token").outputs[0].name; got != "console" {
			t.Error("the entry still counts:", got)
		}
		_ = s.Sync()
		if n := strings.Count(out.String(), "policy override ended"); n != 2 {
			t.Errorf("%d\n%s", n, out.String())
		}
		restarted := New(Options{Areas: areas, Stderr: out})
		mustApply(t, restarted, text)
		if l := restarted.levelOf("token.db"); l != "ERROR" {
			t.Error("a restart brought it back:", l)
		}
	})
}

// "for" counts from when the file was put in place: a restart does not begin it anew, putting the file in place again does,
// whether the content was seen before or is in force still.
func TestForCountsFromTheFile(t *testing.T) {
	bubble(t, func(s *Switch, out *buffer) {
		placed := time.Now()
		s.placed = func(name string) (time.Time, error) {
			if name != "p" {
				return time.Time{}, fs.ErrNotExist
			}
			return placed, nil
		}
		const text, other = "version: 1\nareas: {token: {level: DEBUG, for: 15m}}", "version: 1"
		is := func(want string) {
			t.Helper()
			if got := s.levelOf("token"); got != want {
				t.Errorf("after %v: %s, want %s", time.Since(placed), got, want)
			}
		}
		changed := s.Follow("p", false)
		offer := func(text string) {
			t.Helper()
			if err := changed([]byte(text), nil); err != nil {
				t.Error(err)
			}
		}
		renew := func(now string) {
			t.Helper()
			if err := s.Renew("p", func() ([]byte, error) { return []byte(now), nil }); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(10 * time.Minute) // it was down: five minutes are left
		offer(text)
		is("DEBUG")
		renew(text) // nothing was put in place
		time.Sleep(4 * time.Minute)
		is("DEBUG")
		time.Sleep(time.Minute + time.Second)
		is("WARNING")
		time.Sleep(time.Hour) // seen before, but put in place now
		offer(other)
		placed = time.Now()
		offer(text)
		is("DEBUG")
		time.Sleep(15*time.Minute + time.Second)
		is("WARNING")
		time.Sleep(time.Hour) // the very same bytes again
		placed = time.Now()
		renew(other) // is about to be offered
		is("WARNING")
		renew(text)
		is("DEBUG")
		time.Sleep(14 * time.Minute)
		placed = time.Now() // while it runs
		renew(text)
		time.Sleep(14 * time.Minute)
		is("DEBUG")
		time.Sleep(time.Minute + time.Second)
		is("WARNING")
		_ = s.Sync()
		contains(t, out.String(), "gen=3 ", `changes="for counts anew from 2000-01-01T0`)
		if n := strings.Count(out.String(), "policy override ended area=token why=time"); n != 3 {
			t.Errorf("%d times\n%s", n, out.String())
		}

		restarted := New(Options{Areas: areas, Stderr: out, Placed: s.placed})
		if err := restarted.Apply("p", []byte(text), "file"); err != nil || restarted.levelOf("token") != "WARNING" {
			t.Error("a restart brought it back:", err)
		}
		_ = restarted.Sync()
		contains(t, out.String(), "warning[LP201]: the time of the entry ended at 2000-01-01T")

		placed = time.Now().Add(time.Hour) // a clock that was wrong gives no more than was asked for
		offer(other)
		offer(text)
		time.Sleep(10 * time.Minute)
		renew(text)
		time.Sleep(5*time.Minute + time.Second)
		is("WARNING")
	})
}

// Without a file there is no time but that of the process, which is said.
func TestForInTheEnvironmentWarns(t *testing.T) {
	r := newRig(t).run()
	r.placed = func(string) (time.Time, error) { return time.Time{}, fs.ErrNotExist }
	r.apply("areas: {token: {level: DEBUG, for: 15m}}")
	r.flush()
	contains(t, r.err.String(), "warning[LP202]: without a file, for begins again with each start; write until")
	if l := r.levelOf("token"); l != "DEBUG" {
		t.Error(l)
	}
}

func TestAdminLevels(t *testing.T) {
	bubble(t, func(s *Switch, out *buffer) {
		set := func(area, level string, d time.Duration) {
			t.Helper()
			if err := s.SetLevel(area, level, d); err != nil {
				t.Error(err)
			}
		}
		is := func(area, level string) {
			t.Helper()
			if got := s.levelOf(area); got != level {
				t.Errorf("%s: %s, want %s", area, got, level)
			}
		}
		mustApply(t, s, "areas: {token: {level: INFO, for: 1h}}")
		set("token", "DEBUG", 10*time.Minute)
		set("token", "ERROR", 5*time.Minute) // the latest wins, then the one that still runs, then the file
		set("root", "info", 20*time.Minute)
		is("token.db", "ERROR")
		is("daemon", "INFO")
		mustApply(t, s, "areas: {token: {level: INFO, for: 1h}}\n# another") // survives a reload
		is("token", "ERROR")
		time.Sleep(5*time.Minute + time.Second)
		is("token", "DEBUG")
		time.Sleep(5 * time.Minute)
		is("token", "INFO")
		time.Sleep(10 * time.Minute)
		is("daemon", "WARNING")
		set("token.db", "OFF", 24*time.Hour)
		set("token.db", "DEBUG", time.Hour)
		is("token.db", "DEBUG")
		set("token.db", "", 0)
		is("token.db", "INFO")
		set("token.db", "", 0) // nothing is there to end
		_ = s.Sync()
		for text, n := range map[string]int{"policy override set": 5, "policy override ended": 4, "why=time": 3, "why=admin": 1} {
			if strings.Count(out.String(), text) != n {
				t.Errorf("%s: not %d\n%s", text, n, out.String())
			}
		}
		for _, c := range []struct {
			area, level string
			d           time.Duration
			want        string
		}{
			{"tokn", "DEBUG", time.Minute, `error[LP013]: unknown area "tokn": did you mean "token"?`},
			{"token.web", "DEBUG", time.Minute, "error[LP013]"},
			{"token", "DEBGU", time.Minute, `error[LP012]: unknown level "DEBGU": did you mean "DEBUG"?`},
			{"token", "NOTSET", time.Minute, "error[LP012]"},
			{"token", "DEBUG", time.Millisecond, "error[LP021]"},
			{"token", "DEBUG", 25 * time.Hour, "error[LP021]"},
			{"token", "DEBUG", -1, "error[LP021]"},
		} {
			if err := s.SetLevel(c.area, c.level, c.d); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if n := len(s.State().Overrides); n != 1 { // that of the file
			t.Error(s.State().Overrides)
		}
	})
}

// The layers, weakest first: built-in, file, --log-level, temporary in the file, admin.
func TestExplainSaysWhichLayerDecides(t *testing.T) {
	s := New(Options{Areas: areas, Level: new(Error), Stderr: &buffer{}})
	s.SetTokens([]string{"db"})
	text := "level: INFO\nareas:\n  token: DEBUG\n  token.db: {level: CRITICAL, until: 2999-01-01T00:00:00Z}\nhandlers: {m: {type: stream, level: WARNING, format: json}}"
	mustApply(t, s, text)
	if err := s.SetLevel("token.db", "OFF", time.Hour); err != nil {
		t.Fatal(err)
	}
	list, err := s.Explain("token.db")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	e := list[0]
	e.Decides.Until = time.Time{}
	want := "token.db: OFF, from admin (token.db: OFF)\n  beats temporary p:5:21 (token.db: CRITICAL) until 2999-01-01T00:00:00Z\n  beats file p:4:10 (token: DEBUG)\n" +
		"  beats --log-level (root: ERROR)\n  beats file p:2:8 (root: INFO)\n  beats built-in (root: WARNING)\n  to m: stderr, format json, floor WARNING"
	if e.String() != want {
		t.Errorf("got\n%s\nwant\n%s", e, want)
	}
	if all, err := s.Explain(""); err != nil || len(all) != len(areas)+2 || all[0].Decides.Layer != "--log-level" || all[0].Level != Error {
		t.Errorf("%v %v", all, err)
	}
	offline, err := s.ExplainText("q", []byte("version: 1\nareas: {status: DEBUG}"), "status")
	if err != nil || !strings.HasPrefix(fmt.Sprint(offline[0]), "status: DEBUG, from file q:2:17 (status: DEBUG)") {
		t.Error(offline, err)
	}
	if _, err := s.Explain("nothing"); err == nil {
		t.Error("an unknown area was explained")
	}
	if _, err := s.ExplainText("q", []byte("version: 3"), ""); err == nil {
		t.Error("an invalid text was explained")
	}
}

func TestParseLevel(t *testing.T) {
	for text, want := range map[string]Level{"debug": Debug, "Info": Info, "WARNING": Warning, "warn": Warning, "30": Warning, "40": Error, "FATAL": Critical, "off": Off} {
		if got, err := ParseLevel(text); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "NOTSET", "0", "25", "WARNIN", "trace", "-1"} {
		if _, err := ParseLevel(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
