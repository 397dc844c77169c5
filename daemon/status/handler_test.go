// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// ask sends one request to a handler, without a socket.
func ask(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	request.Host = "localhost:9736"
	h.ServeHTTP(recorder, request)
	return recorder
}

func TestProbesAnswerWhatTheFunctionsSay(t *testing.T) {
	missing := errors.New("billing: no token yet")
	ready := func(token string) error {
		switch token {
		case "", "billing":
			return missing
		case "orders":
			return nil
		}
		return fmt.Errorf("%w: token", ErrUnknown)
	}
	sick := func(s *Server) {
		s.Ready = ready
		s.Live = func() error { return errors.New("the clock has not ticked for 4m0s") }
		s.Started = func() error { return errors.Join(missing, errors.New("orders: no token yet")) }
		s.Check = func(name string) error {
			if name == "policy" {
				return errors.New("the last check is 40s old")
			}
			return ErrUnknown
		}
	}
	crowd := func(s *Server) {
		s.Ready = func(string) error {
			var all []error
			for i := range 10_000 {
				all = append(all, fmt.Errorf("t%d: no token yet", i))
			}
			return errors.Join(all...)
		}
	}
	for _, c := range []struct {
		name, target string
		change       func(*Server)
		code         int
		body         string // the whole of it, unless it starts with …: then its end
	}{
		{"live", "/livez", nil, 200, "ok\n"},
		{"ready", "/readyz", nil, 200, "ok\n"},
		{"started", "/startupz", nil, 200, "ok\n"},
		{"one ready", "/readyz?token=orders", sick, 200, "ok\n"},
		{"one not ready", "/readyz?token=billing", sick, 503, "billing: no token yet\n"},
		{"unknown token", "/readyz?token=orderz", sick, 404, "no token \"orderz\"\n"},
		{"empty token", "/readyz?token=", nil, 404, "no token \"\"\n"},
		{"not ready", "/readyz", sick, 503, "billing: no token yet\n"},
		{"not live", "/livez", sick, 503, "the clock has not ticked for 4m0s\n"},
		{"not started", "/startupz", sick, 503, "billing: no token yet\norders: no token yet\n"},
		{"policy", "/livez?check=policy", sick, 503, "the last check is 40s old\n"},
		{"unknown check", "/livez?check=disk", sick, 404, "no check \"disk\"\n"},
		{"empty check", "/livez?check=", sick, 404, "no check \"\"\n"},
		{"no checks", "/livez?check=policy", nil, 404, "no check \"policy\"\n"},
		{"verbose", "/readyz?verbose", sick, 503, "[+]orders ok\n[-]billing failed: billing: no token yet\n"},
		{"verbose and ready", "/readyz?verbose", nil, 200, "[+]orders ok\n[+]billing ok\n"},
		{"verbose live", "/livez?verbose", nil, 200, "[+]live ok\n"},
		{"verbose without tokens", "/readyz?verbose", func(s *Server) {
			s.Report = func() Report { return Report{} }
		}, 200, "[+]ready ok\n"},
		{"many problems", "/readyz", crowd, 503, "…t99: no token yet\nand 9900 more\n"},
		{"long name", "/readyz?token=" + strings.Repeat("x", 3000), sick, 404, "…xxx…\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := healthy()
			if c.change != nil {
				c.change(s)
			}
			for listener, h := range map[string]http.Handler{"tcp": s.public(true), "socket": s.admin()} {
				got := ask(h, "GET", c.target, "")
				body := got.Body.String()
				end, cut := strings.CutPrefix(c.body, "…")
				if got.Code != c.code || (cut && !strings.HasSuffix(body, end)) || (!cut && body != c.body) {
					t.Errorf("%s: %d %q, want %d %q", listener, got.Code, body, c.code, c.body)
				}
				if len(body) > 10_000 {
					t.Errorf("%s: %d bytes", listener, len(body))
				}
			}
		})
	}
}

func TestTCPOnlyReads(t *testing.T) {
	s, _ := healthy()
	ordered := false
	s.Refresh = func(string) error { ordered = true; return nil }
	s.SetLevel = func(string, string, time.Duration) (any, error) { ordered = true; return nil, nil }
	h := s.public(false)
	for _, path := range []string{"/", "/livez", "/readyz", "/metrics", "/status", "/refresh", "/levels/root", "/nowhere"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
			got := ask(h, method, path, `{"level":"DEBUG","for":"1m"}`)
			if got.Code != 405 || got.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, got.Code, got.Header().Get("Allow"))
			}
		}
	}
	for _, path := range []string{"/refresh", "/levels/root", "/nowhere", "/livez/", "/debug/pprof/"} {
		if got := ask(h, "GET", path, ""); got.Code != 404 {
			t.Errorf("GET %s: %d, want 404", path, got.Code)
		}
	}
	if ordered {
		t.Error("an order came in over TCP")
	}
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	s, _ := healthy()
	for _, path := range []string{"/livez", "/readyz?token=", "/metrics", "/status", "/nowhere"} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			h := ask(s.public(true), method, path, "").Header()
			for name, want := range map[string]string{
				"X-Content-Type-Options":  "nosniff",
				"Cache-Control":           "no-store",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s %s: %s is %q", method, path, name, got)
				}
			}
			if strings.Contains(h.Get("Content-Type"), "html") {
				t.Errorf("%s %s: %s", method, path, h.Get("Content-Type"))
			}
		}
	}
}

func TestLoopbackRefusesForeignHostNames(t *testing.T) {
	s, _ := healthy()
	for host, allowed := range map[string]bool{
		"localhost": true, "LOCALHOST:9736": true, "127.0.0.1:9736": true, "[::1]:9736": true, "[::1]": true,
		"10.1.2.3:9736": true, "": true,
		"evil.example": false, "evil.example:9736": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
		"localhost.": false, "2130706433": false, "0x7f.1": false,
	} {
		for loopback, want := range map[bool]bool{true: allowed, false: true} {
			request := httptest.NewRequest(http.MethodGet, "/status", nil)
			request.Host = host
			recorder := httptest.NewRecorder()
			s.public(loopback).ServeHTTP(recorder, request)
			if got := recorder.Code == 200; got != want || (!got && recorder.Code != 403) {
				t.Errorf("host %q, loopback %t: %d", host, loopback, recorder.Code)
			}
		}
	}
}

func TestStatusIsJSON(t *testing.T) {
	s, _ := healthy()
	got := ask(s.public(true), "GET", "/status", "")
	if got.Code != 200 || got.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", got.Code, got.Header().Get("Content-Type"))
	}
	s.Report = func() Report { return Report{} }
	if body := ask(s.public(true), "GET", "/status", "").Body.String(); !strings.Contains(body, `"tokens":[]`) {
		t.Errorf("no tokens: %s", body)
	}
	// JSON knows no year beyond 9999; a report that cannot be told is an error and no half answer.
	s.Report = func() Report { return Report{Time: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)} }
	if got := ask(s.public(true), "GET", "/status", ""); got.Code != 500 {
		t.Errorf("impossible report: %d %s", got.Code, got.Body)
	}
}

func TestRefreshOrders(t *testing.T) {
	s, _ := healthy()
	if got := ask(s.admin(), "POST", "/refresh", ""); got.Code != 501 {
		t.Errorf("without the function: %d", got.Code)
	}
	var asked []string
	s.Refresh = func(token string) error {
		asked = append(asked, token)
		switch token {
		case "", "orders":
			return nil
		case "billing":
			return errors.New("billing: the issuer asked not to be asked before 18:05")
		}
		return ErrUnknown
	}
	for target, code := range map[string]int{
		"/refresh": 202, "/refresh?token=orders": 202, "/refresh?token=billing": 409, "/refresh?token=x": 404, "/refresh?token=": 404,
	} {
		if got := ask(s.admin(), "POST", target, ""); got.Code != code {
			t.Errorf("%s: %d %s", target, got.Code, got.Body)
		}
	}
	if len(asked) != 4 {
		t.Errorf("asked for %q; an empty name must not mean all", asked)
	}
	if got := ask(s.admin(), "GET", "/refresh", ""); got.Code != 405 || got.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", got.Code, got.Header().Get("Allow"))
	}
}

type ordered struct {
	area, level string
	d           time.Duration
}

// levels answers level orders and remembers the last one.
func levels(s *Server) *ordered {
	last := new(ordered)
	s.SetLevel = func(area, level string, d time.Duration) (any, error) {
		*last = ordered{area, level, d}
		if level != "DEBUG" {
			return nil, fmt.Errorf("error[LP012]: unknown level %q", level)
		}
		if area == "nowhere" {
			return nil, fmt.Errorf("area %q: %w", area, ErrUnknown)
		}
		return map[string]string{"area": area}, nil
	}
	return last
}

func TestLevelOrders(t *testing.T) {
	s, _ := healthy()
	if got := ask(s.admin(), "PUT", "/levels/root", `{}`); got.Code != 501 {
		t.Errorf("without the function: %d", got.Code)
	}
	for _, c := range []struct {
		name, path, body string
		code             int
		want             ordered
	}{
		{"good", "/levels/token.db", `{"level":"DEBUG","for":"15m"}`, 200, ordered{"token.db", "DEBUG", 15 * time.Minute}},
		{"end", "/levels/root", `{"level":"DEBUG","for":"0"}`, 200, ordered{"root", "DEBUG", 0}},
		{"bad level", "/levels/root", `{"level":"LOUD","for":"1m"}`, 400, ordered{"root", "LOUD", time.Minute}},
		{"unknown area", "/levels/nowhere", `{"level":"DEBUG","for":"1m"}`, 404, ordered{"nowhere", "DEBUG", time.Minute}},
		{"no time", "/levels/root", `{"level":"DEBUG"}`, 400, ordered{}},
		{"bad time", "/levels/root", `{"level":"DEBUG","for":"soon"}`, 400, ordered{}},
		{"number", "/levels/root", `{"level":"DEBUG","for":15}`, 400, ordered{}},
		{"unknown key", "/levels/root", `{"level":"DEBUG","for":"1m","until":"x"}`, 400, ordered{}},
		{"two values", "/levels/root", `{"level":"DEBUG","for":"1m"} {}`, 400, ordered{}},
		{"empty", "/levels/root", ``, 400, ordered{}},
		{"not JSON", "/levels/root", `level=DEBUG`, 400, ordered{}},
		{"huge", "/levels/root", `{"level":"` + strings.Repeat("D", 5000) + `"}`, 400, ordered{}},
		{"no area", "/levels/", `{"level":"DEBUG","for":"1m"}`, 404, ordered{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			last := levels(s)
			got := ask(s.admin(), "PUT", c.path, c.body)
			if got.Code != c.code || *last != c.want {
				t.Errorf("%d %s, asked for %+v", got.Code, got.Body, *last)
			}
			if c.code == 200 && got.Body.String() != `{"area":"`+c.want.area+`"}`+"\n" {
				t.Errorf("answer %s", got.Body)
			}
		})
	}
}

func FuzzLevelOrder(f *testing.F) {
	for _, seed := range []string{`{"level":"DEBUG","for":"15m"}`, `{"for":"0"}`, `null`, `[]`, `{"level":1}`, "{\"level\":\"\xff\"}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := &Server{Log: zap.NewNop()}
		last := levels(s)
		got := ask(s.admin(), "PUT", "/levels/root", body)
		if (got.Code == 200) != (last.level == "DEBUG") || (got.Code != 200 && got.Code != 400) {
			t.Errorf("%q: %d %s, asked for %+v", body, got.Code, got.Body, *last)
		}
	})
}

func TestPanicIsAnErrorAndNoEnd(t *testing.T) {
	s, logs := healthy()
	s.Live = func() error { panic("boom") }
	address := tcp(t, s)
	if code, body := get(t, address, "/livez"); code != 500 || body != "internal error\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, _ := get(t, address, "/readyz"); code != 200 {
		t.Errorf("after the panic: %d", code)
	}
	var found []string
	for _, entry := range logs.FilterMessage("request panicked").All() {
		found = append(found, fmt.Sprint(entry.ContextMap()["path"], entry.ContextMap()["panic"]))
	}
	if !reflect.DeepEqual(found, []string{"/livezboom"}) {
		t.Errorf("logged %q", found)
	}
}
