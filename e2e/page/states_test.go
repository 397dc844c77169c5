// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package page

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// stage serves the page of a scene with reports of the test's own.
func stage(t *testing.T, s *Scene) (address string, report *atomic.Value) {
	t.Helper()
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	report = &atomic.Value{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status" {
			report.Load().(http.HandlerFunc)(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, report
}

// says answers with a code and a text.
func says(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprint(w, text)
	}
}

// reports answers with a report of these tokens.
func reports(tokens ...map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now()
		_ = json.NewEncoder(w).Encode(map[string]any{
			"time":          now,
			"process":       map[string]any{"version": "1.2.3", "pid": 7, "startedAt": now.Add(-26 * time.Hour)},
			"configuration": map[string]any{"path": "/etc/renewd/config.yaml", "generation": 3, "lastReloadSuccessful": true},
			"logPolicy": map[string]any{
				"path": "/etc/renewd/log-policy.yaml", "generation": 12, "lastReload": now, "error": "LP012: unknown level",
				"overrides": []any{map[string]any{"area": "token.orders", "level": "DEBUG", "until": now.Add(15 * time.Minute)}},
			},
			"watches": []any{map[string]any{"path": "/etc/renewd/config.yaml", "state": "degraded", "error": "too many open files"}},
			"tokens":  append([]map[string]any{}, tokens...),
		})
	}
}

func token(name string, more map[string]any) map[string]any {
	now := time.Now()
	t := map[string]any{
		"name": name, "source": "oauth2", "valid": true, "state": "published", "tokenDigest": "1a2b3c4d", "consecutiveFailures": 0,
		"issuedAt": now.Add(-30 * time.Minute), "expiresAt": now.Add(30 * time.Minute), "windowStart": now.Add(12 * time.Minute),
		"windowEnd": now.Add(18 * time.Minute), "nextAttempt": now.Add(15 * time.Minute),
		"files": []any{map[string]any{"path": "/run/renewd/" + name, "mode": "0644", "format": "raw"}},
	}
	maps.Copy(t, more)
	return t
}

// TestPageStates shows reports that a healthy renewd does not give.
func TestPageStates(t *testing.T) {
	scene, browser := start(t)
	address, report := stage(t, scene)
	past := time.Now().Add(-time.Minute)
	var crowd []map[string]any
	for i := range 700 {
		crowd = append(crowd, token(fmt.Sprintf("t%03d", i), nil))
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   []string // in the text of the page
		except string   // what the browser may say
	}{
		{"no tokens", reports(), []string{"No tokens.", "The configuration has no tokens. Add one", "1.2.3 · process 7 · up 1 d 2 h"}, ""},
		{"one token", reports(token("a", nil)), []string{"The token is fresh.", "issued 30 min", "next attempt in 14 min", "expires in 29 min"}, ""},
		{"expired", reports(token("a", map[string]any{"valid": false, "expiresAt": past, "lastError": "no", "lastErrorClass": "refused"})),
			[]string{"The token is not valid.", "expired", "expired 1 min", "refused: no"}, ""},
		{"starting", reports(map[string]any{"name": "a", "source": "sign", "valid": false}), []string{"The token is being obtained.", "starting", "not issued yet"}, ""},
		{"never a token", reports(map[string]any{"name": "a", "source": "sign", "valid": false, "state": "failed", "lastError": "no such file"}),
			[]string{"The token is not valid.", "no token", "error: no such file"}, ""},
		{"no expiry", reports(token("a", map[string]any{"expiresAt": nil})), []string{"expiry not said"}, ""},
		{"both", reports(token("a", map[string]any{"valid": false}), token("b", map[string]any{"consecutiveFailures": 3, "lastError": "x"}), token("c", nil)),
			[]string{"1 of 3 tokens is not valid. 1 more cannot be refreshed.", "not valid", "3 times in a row: x"}, ""},
		{"an outage that began before anybody looked", reports(token("a", map[string]any{
			"state": "failed", "consecutiveFailures": 30, "lastError": "x", "lastAttempt": past,
			"failedAttempts": []any{past.Add(-9 * time.Minute), past.Add(-5 * time.Minute), past},
		})), []string{"30 times in a row, the first 10 min", "ago: x"}, ""},
		{"log policy", reports(token("a", nil)), []string{"level of token.orders", "DEBUG until", "in 14 min", "generation 12 stays", "LP012: unknown level", "by looking every few seconds", "too many open files"}, ""},
		{"a crowd", reports(crowd...), []string{"All 700 tokens are fresh.", "those in trouble first; the first 500 are shown"}, ""},
		{"an error", says(500, "no"), []string{"No report", "renewd answers, but not with a report: HTTP 500.", "There is no report yet."}, "500"},
		{"not JSON", says(200, "<html>"), []string{"renewd answers, but not with a report"}, ""},
		{"another JSON", says(200, `{"tokens":{}}`), []string{"this is not a report"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			report.Store(c.answer)
			if err := browser.Open(address); err != nil {
				t.Fatal(err)
			}
			until(t, browser, `document.querySelector("#verdict").textContent !== "Asking for the report…"`)
			text := value[string](t, browser, `document.body.innerText`)
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%.3000s", want, text)
				}
			}
			if c.name != "a crowd" { // which is one token many times, and takes axe a while
				accessible(t, browser)
			}
			calm(t, browser, c.except)
		})
	}
	t.Run("each failure of the report is on the bar", func(t *testing.T) {
		now := time.Now()
		life := map[string]any{"issuedAt": now.Add(-30 * time.Minute), "expiresAt": now.Add(30 * time.Minute)}
		failing := maps.Clone(life)
		maps.Copy(failing, map[string]any{"consecutiveFailures": 9, "lastError": "x", "failedAttempts": []any{now.Add(-15 * time.Minute), now}})
		report.Store(reports(token("a", failing)))
		if err := browser.Open(address); err != nil {
			t.Fatal(err)
		}
		marks := `[...document.querySelectorAll(".track .fail")].map((e) => Math.round(parseFloat(e.style.left))).join()`
		until(t, browser, marks+` === "25,50"`)
		report.Store(reports(token("a", life)))
		until(t, browser, marks+` === ""`)
		calm(t, browser, "")
	})
	t.Run("the filter finds what is not shown", func(t *testing.T) {
		report.Store(reports(crowd...))
		if err := browser.Open(address); err != nil {
			t.Fatal(err)
		}
		until(t, browser, `document.querySelectorAll("#list > li").length === 500`)
		if err := browser.Do(chromedp.Focus(chromedp.CSS("#filter"))); err != nil {
			t.Fatal(err)
		}
		press(t, browser, "t69")
		until(t, browser, `document.querySelectorAll("#list > li").length === 10 && document.querySelector("#list h3").textContent === "t690"`)
		calm(t, browser, "")
	})
	t.Run("before the first answer", func(t *testing.T) {
		release := make(chan struct{})
		free := sync.OnceFunc(func() { close(release) })
		t.Cleanup(free)
		report.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-release
			reports(token("a", nil))(w, r)
		}))
		err := browser.Open(address)
		text := value[string](t, browser, `document.body.innerText`)
		free()
		if err != nil || !strings.Contains(text, "Asking for the report…") {
			t.Errorf("%v %s", err, text)
		}
		until(t, browser, `document.querySelector("#verdict").textContent === "The token is fresh."`)
		calm(t, browser, "")
	})
}
