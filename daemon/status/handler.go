// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	maxBody     = 4 << 10
	maxProblems = 100 // lines in the answer of a probe; the kubelet shows fewer
	maxQuoted   = 200 // bytes of outside text in an answer or an error
)

// reading returns the paths that only read. They are served everywhere.
func (s *Server) reading() *http.ServeMux {
	mux := http.NewServeMux()
	page(mux)
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /startupz", func(w http.ResponseWriter, r *http.Request) {
		judge(w, r, []verdict{{"started", s.Started()}})
	})
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /status", s.status)
	return mux
}

// public is what a TCP listener serves: reading, by GET and HEAD. On a loopback address it also insists on a Host that no
// foreign web page can make a browser send: a page that points its own name at 127.0.0.1 (DNS rebinding) is refused.
func (s *Server) public(loopback bool) http.Handler {
	mux := s.reading()
	return s.guard(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			text(w, http.StatusMethodNotAllowed, "only GET and HEAD; orders go to the admin socket")
		case loopback && !localName(r.Host):
			text(w, http.StatusForbidden, "use localhost or an IP address as the host name")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// admin is what the socket serves: reading and orders.
func (s *Server) admin() http.Handler {
	mux := s.reading()
	mux.HandleFunc("POST /refresh", s.refresh)
	mux.HandleFunc("PUT /levels/{area}", s.setLevel)
	mux.HandleFunc("GET /levels", s.levels)
	return s.guard(mux.ServeHTTP)
}

// guard sets the headers that keep an answer from being stored, framed or run, and turns a panic into a logged error.
func (s *Server) guard(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("request panicked", zap.String("path", quotable(r.URL.Path)), zap.Any("panic", p), zap.Stack("stack"))
				text(w, http.StatusInternalServerError, "internal error")
			}
		}()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next(w, r)
	})
}

// localName reports whether a Host header is an IP address or localhost. An absent one is HTTP/1.0, which no browser speaks.
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	_, err := netip.ParseAddr(host)
	return err == nil || host == "" || strings.EqualFold(host, "localhost")
}

// verdict is the answer of one of the functions that were asked.
type verdict struct {
	name string
	err  error
}

func (s *Server) livez(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !query.Has("check") {
		judge(w, r, []verdict{{"live", s.Live()}})
		return
	}
	name := query.Get("check")
	err := ErrUnknown
	if s.Check != nil && name != "" {
		err = s.Check(name)
	}
	if errors.Is(err, ErrUnknown) {
		text(w, http.StatusNotFound, fmt.Sprintf("no check %q", quotable(name)))
		return
	}
	judge(w, r, []verdict{{name, err}})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch name, given, ok := tokenName(query); {
	case !ok:
		noToken(w, name)
	case given:
		err := s.Ready(name)
		if errors.Is(err, ErrUnknown) {
			noToken(w, name)
			return
		}
		judge(w, r, []verdict{{name, err}})
	case query.Has("verbose"):
		var verdicts []verdict
		for _, t := range s.Report().Tokens {
			verdicts = append(verdicts, verdict{t.Name, s.Ready(t.Name)})
		}
		if verdicts == nil {
			verdicts = []verdict{{"ready", s.Ready("")}}
		}
		judge(w, r, verdicts)
	default:
		judge(w, r, []verdict{{"ready", s.Ready("")}})
	}
}

// tokenName returns the token that a query asks for. An empty name is not ok: it is a template that went wrong, and must
// not quietly mean all tokens.
func tokenName(query url.Values) (name string, given, ok bool) {
	name, given = query.Get("token"), query.Has("token")
	return name, given, !given || name != ""
}

func noToken(w http.ResponseWriter, name string) {
	text(w, http.StatusNotFound, fmt.Sprintf("no token %q", quotable(name)))
}

// judge answers a probe: 200 if no verdict is an error, else 503. Verbose lists every verdict in the way of Kubernetes.
func judge(w http.ResponseWriter, r *http.Request, verdicts []verdict) {
	verbose := r.URL.Query().Has("verbose")
	var problems, lines []string
	for _, v := range verdicts {
		if v.err == nil {
			lines = append(lines, "[+]"+v.name+" ok")
			continue
		}
		for problem := range strings.SplitSeq(v.err.Error(), "\n") {
			problems = append(problems, problem)
			lines = append(lines, "[-]"+v.name+" failed: "+problem)
		}
	}
	code := http.StatusOK
	if len(problems) > 0 {
		code = http.StatusServiceUnavailable
	}
	switch {
	case !verbose && len(problems) > 0:
		lines = problems
	case !verbose:
		lines = []string{"ok"}
	}
	if more := len(lines) - maxProblems; more > 0 {
		lines = append(lines[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	text(w, code, strings.Join(lines, "\n"))
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	report := s.Report()
	if report.Tokens == nil {
		report.Tokens = []Token{} // [] and not null, for those who loop over it
	}
	answerJSON(w, report)
}

func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	name, _, ok := tokenName(r.URL.Query())
	if !ok {
		noToken(w, name)
		return
	}
	if s.Refresh == nil {
		text(w, http.StatusNotImplemented, "this process does not refresh on demand")
		return
	}
	switch err := s.Refresh(name); {
	case errors.Is(err, ErrUnknown):
		noToken(w, name)
	case err != nil:
		text(w, http.StatusConflict, err.Error())
	default:
		text(w, http.StatusAccepted, "refresh requested")
	}
}

// levelOrder is the body of PUT /levels/AREA.
type levelOrder struct {
	Level string `json:"level"`
	For   string `json:"for"` // a Go duration; required, because a level that never ends is the policy file's business
}

func (s *Server) setLevel(w http.ResponseWriter, r *http.Request) {
	if s.SetLevel == nil {
		text(w, http.StatusNotImplemented, "this process has no log policy")
		return
	}
	var order levelOrder
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&order)
	if err == nil && decoder.Decode(&struct{}{}) != io.EOF {
		err = errors.New("more than one JSON value")
	}
	var d time.Duration
	if err == nil {
		d, err = time.ParseDuration(order.For)
	}
	if err != nil {
		text(w, http.StatusBadRequest, `want {"level": "DEBUG", "for": "15m"}: `+quotable(err.Error()))
		return
	}
	switch result, err := s.SetLevel(r.PathValue("area"), order.Level, d); {
	case errors.Is(err, ErrUnknown):
		text(w, http.StatusNotFound, err.Error())
	case err != nil:
		text(w, http.StatusBadRequest, err.Error())
	default:
		answerJSON(w, result)
	}
}

// levels answers which setting decides the level of an area, and which it beats.
func (s *Server) levels(w http.ResponseWriter, r *http.Request) {
	if s.Levels == nil {
		text(w, http.StatusNotImplemented, "this process has no log policy")
		return
	}
	switch result, err := s.Levels(r.URL.Query().Get("area")); {
	case err != nil:
		text(w, http.StatusNotFound, err.Error())
	default:
		text(w, http.StatusOK, result)
	}
}

// text answers with plain text, ending in one line feed.
func text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	// A client that is gone needs no answer.
	_, _ = io.WriteString(w, strings.TrimSuffix(body, "\n")+"\n")
}

// answerJSON answers with v. It is encoded before the first byte is sent, so that an error can still be told.
func answerJSON(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		text(w, http.StatusInternalServerError, "encode: "+quotable(err.Error()))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(data, '\n'))
}

// quotable cuts outside text to what may be shown.
func quotable(s string) string {
	if len(s) > maxQuoted {
		s = strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	return s
}
