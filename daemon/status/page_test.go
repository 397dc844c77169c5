// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

var pagePaths = map[string]string{
	"/": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/script.js": "text/javascript; charset=utf-8",
}

func TestPageIsKeptByBrowsersAndAskedFor(t *testing.T) {
	s, _ := healthy()
	tags := map[string]string{}
	for path, kind := range pagePaths {
		for listener, h := range map[string]http.Handler{"tcp": s.public(true), "socket": s.admin()} {
			first := ask(h, "GET", path, "")
			tag := first.Header().Get("ETag")
			if first.Code != 200 || first.Header().Get("Content-Type") != kind || !regexp.MustCompile(`^"[0-9a-f]{16}"$`).MatchString(tag) {
				t.Fatalf("%s %s: %d %v", listener, path, first.Code, first.Header())
			}
			tags[tag] = path
			for _, asked := range []string{tag, "W/" + tag, `"x", ` + tag} {
				if got := conditional(h, path, asked); got.Code != 304 || got.Body.Len() != 0 || got.Header().Get("ETag") != tag {
					t.Errorf("%s with %s: %d, %d bytes", path, asked, got.Code, got.Body.Len())
				}
			}
			if got := conditional(h, path, `"0000000000000000"`); got.Code != 200 || got.Body.String() != first.Body.String() {
				t.Errorf("%s with an old tag: %d", path, got.Code)
			}
		}
	}
	if len(tags) != len(pagePaths) {
		t.Errorf("tags %v: each file has its own", tags)
	}
}

func conditional(h http.Handler, path, tag string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Host = "127.0.0.1"
	request.Header.Set("If-None-Match", tag)
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return recorder
}

func TestPageRunsNothingButItsScript(t *testing.T) {
	s, _ := healthy()
	size := 0
	for path := range pagePaths {
		got := ask(s.public(true), "GET", path, "")
		h, body := got.Header(), got.Body.String()
		size += len(body)
		if policy := h.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;") ||
			strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: %s", path, policy)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-cache" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, h)
		}
		for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "javascript:", "://", "<style", " style=", " onload", " onclick"} {
			if strings.Contains(strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""), way) {
				t.Errorf("%s contains %q", path, way)
			}
		}
	}
	// A page that is asked for every day on small machines has no room for a framework.
	if size > 24<<10 {
		t.Errorf("%d bytes, want at most 24 KiB", size)
	}
}
