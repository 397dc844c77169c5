// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/notify"
)

const canary = "canary-41be"

func build(t *testing.T, kind string, change func(options any)) notify.Notifier {
	t.Helper()
	n, err := construct(kind, change)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func construct(kind string, change func(options any)) (notify.Notifier, error) {
	k := notify.Kinds()[kind]
	options := k.Default()
	change(options)
	return k.New(options)
}

func example() notify.Note {
	at := time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC)
	return notify.Note{Name: "orders", Path: "/run/renewd/token", IssuedAt: at, ExpiresAt: at.Add(time.Hour), Digest: "1a2b3c4d"}
}

func TestExecFindsTheNoteInItsEnvironment(t *testing.T) {
	t.Setenv("RENEWD_CONFIG_YAML", canary)
	file := filepath.Join(t.TempDir(), "out")
	n := build(t, "exec", func(o any) {
		e := o.(*notify.Exec)
		e.Command = []string{"/bin/sh", "-c", `env | grep -E '^(RENEWD|OWN)' | sort >"$1"`, "sh", file}
		e.Env = map[string]string{"OWN": "x"}
	})
	for _, note := range []notify.Note{example(), {Name: "orders", Path: "/p"}} {
		if err := n.Notify(t.Context(), note); err != nil {
			t.Fatal(err)
		}
		expires := ""
		if !note.ExpiresAt.IsZero() {
			expires = "2026-11-23T05:05:06Z"
		}
		want := "OWN=x\nRENEWD_TOKEN_EXPIRES_AT=" + expires + "\nRENEWD_TOKEN_FILE=" + note.Path + "\nRENEWD_TOKEN_NAME=orders\n"
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("got\n%s%v\nwant\n%s", got, err, want)
		}
	}
}

func TestExecEndsAtItsTimeout(t *testing.T) {
	n := build(t, "exec", func(o any) {
		o.(*notify.Exec).Command = []string{"/bin/sh", "-c", "sleep 100 & sleep 100"}
		o.(*notify.Exec).Timeout = 50 * time.Millisecond
	})
	start := time.Now()
	err := n.Notify(t.Context(), example())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestNoNotifierShowsASecret(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://"+canary+"/%zz")
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, canary)
	}))
	defer s.Close()
	for _, n := range []notify.Notifier{
		build(t, "exec", func(o any) {
			e := o.(*notify.Exec)
			e.Command = []string{"/bin/sh", "-c", `echo "$SECRET"; echo "$SECRET" >&2; exit 1`, canary}
			e.Env = map[string]string{"SECRET": canary}
		}),
		build(t, "http", func(o any) { o.(*notify.HTTP).URL = s.URL + "/hook?key=" + canary }),
		build(t, "http", func(o any) { o.(*notify.HTTP).URL = "http://127.0.0.1:1/hook?key=" + canary }),
	} {
		err := n.Notify(t.Context(), example())
		if err == nil {
			t.Errorf("%v did not fail", n)
		}
		if printed := fmt.Sprintf("%v %+v %#v %v %+v %#v %s", err, err, err, n, n, n, daemon.HintOf(err)); strings.Contains(printed, canary) {
			t.Errorf("a secret shows in %s", printed)
		}
	}
}

type request struct {
	method, kind, body string
}

func TestHTTPSendsTheNote(t *testing.T) {
	got := make(chan request, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.Method + " " + r.RequestURI, r.Header.Get("Content-Type"), string(body)}
		if !r.Close {
			t.Error("the connection is kept")
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer s.Close()
	const body = `{"name":"orders","path":"/run/renewd/token","issuedAt":"2026-11-23T04:05:06Z","expiresAt":"2026-11-23T05:05:06Z","digest":"1a2b3c4d"}`
	for method, want := range map[string]request{
		"POST": {"POST /hook?a=b", "application/json", body},
		"PUT":  {"PUT /hook?a=b", "application/json", body},
		"GET":  {"GET /hook?a=b", "", ""},
	} {
		n := build(t, "http", func(o any) {
			o.(*notify.HTTP).URL, o.(*notify.HTTP).Method = s.URL+"/hook?a=b", method
		})
		if err := n.Notify(t.Context(), example()); err != nil {
			t.Fatal(err)
		}
		if r := <-got; r != want {
			t.Errorf("got %+v, want %+v", r, want)
		}
		if want := "http " + method + " " + s.URL + "/hook"; n.String() != want {
			t.Errorf("got %q, want %q", n.String(), want)
		}
	}
	var back notify.Note
	if err := json.Unmarshal([]byte(body), &back); err != nil || back != example() {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestHTTPFailsWithTheStatusAlone(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for _, status := range []int{300, 302, 307, 400, 404, 500, 503} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, canary)
		}))
		err := build(t, "http", func(o any) { o.(*notify.HTTP).URL = s.URL }).Notify(t.Context(), example())
		if want := fmt.Sprintf("%s answered with status %d", s.URL, status); fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
		s.Close()
	}
}

// A server that sends no answer, or an answer without end, holds nothing up beyond the timeout.
func TestHTTPEndsAtItsTimeout(t *testing.T) {
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drip" {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
		<-over
	}))
	defer s.Close()
	defer close(over)
	for path, fails := range map[string]bool{"/silent": true, "/drip": false} {
		n := build(t, "http", func(o any) { o.(*notify.HTTP).URL, o.(*notify.HTTP).Timeout = s.URL+path, 50*time.Millisecond })
		start := time.Now()
		err := n.Notify(t.Context(), example())
		if errors.Is(err, context.DeadlineExceeded) != fails || !fails && err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s took %v", path, took)
		}
	}
}

func TestWhatIsNotHTTPIsQuotedAndCut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.WriteString(c, "220 \x1b[31m"+strings.Repeat("smtp ", 1000)+"\r\n")
			_ = c.Close()
		}
	}()
	n := build(t, "http", func(o any) { o.(*notify.HTTP).URL = "http://" + l.Addr().String() })
	err = n.Notify(t.Context(), example())
	if err == nil || len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\x1b\r\n") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	web := func(url string, change func(*notify.HTTP)) func(any) {
		return func(o any) {
			h := o.(*notify.HTTP)
			h.URL = url
			if change != nil {
				change(h)
			}
		}
	}
	for _, tt := range []struct {
		kind   string
		change func(any)
		want   string // fields of the mistakes
	}{
		{"http", web("http://localhost:1/x?y=z", nil), ""},
		{"http", web("https://example.com", func(h *notify.HTTP) { h.Method, h.Timeout = "PUT", 10*time.Minute }), ""},
		{"http", web("", nil), "url"},
		{"http", web("localhost:8080/x", nil), "url"},
		{"http", web("file:///etc", nil), "url"},
		{"http", web("http:///x", nil), "url"},
		{"http", web("http://user:"+canary+"@host/", nil), "url"},
		{"http", web("http://host/#"+canary, nil), "url"},
		{"http", web("http://ho st/"+canary, nil), "url"},
		{"http", web("http://h", func(h *notify.HTTP) { h.Method, h.Timeout = "DELETE", 0 }), "method timeout"},
		{"exec", func(o any) { o.(*notify.Exec).Command = []string{"x"} }, ""},
		{"exec", func(o any) {
			*o.(*notify.Exec) = notify.Exec{Env: map[string]string{"RENEWD_TOKEN_X": canary}, Timeout: 11 * time.Minute}
		}, "command env.RENEWD_TOKEN_X timeout"},
		{"signal", func(o any) { o.(*notify.Signal).Process = "nginx" }, ""},
		{"signal", func(o any) { o.(*notify.Signal).PIDFile = "/run/x.pid" }, ""},
		{"signal", func(o any) { *o.(*notify.Signal) = notify.Signal{PIDFile: "/run/x.pid", Signal: "SIGUSR1"} }, ""},
		{"signal", func(any) {}, " "},
		{"signal", func(o any) { *o.(*notify.Signal) = notify.Signal{PIDFile: "/x", Process: "x", Signal: "HUP"} }, " "},
		{"signal", func(o any) { *o.(*notify.Signal) = notify.Signal{PIDFile: "/\x00", Signal: "1"} }, "pidFile signal"},
		{"signal", func(o any) { *o.(*notify.Signal) = notify.Signal{Process: "/usr/sbin/nginx", Signal: "KILL"} }, "process signal"},
	} {
		_, err := construct(tt.kind, tt.change)
		if got := fieldsOf(err); got != strings.TrimSpace(tt.want) || (err == nil) != (tt.want == "") {
			t.Errorf("%s: %v has mistakes in %q, want %q", tt.kind, err, got, tt.want)
		}
		if strings.Contains(fmt.Sprint(err), canary) {
			t.Errorf("a secret shows in %v", err)
		}
	}
}

func TestSignalIsSuggested(t *testing.T) {
	for wrong, want := range map[string]string{
		"1": "write HUP", "10": "write USR1", "hup": "write HUP", "sigterm": "write TERM",
		"9": "HUP, INT, QUIT, TERM, USR1, USR2, WINCH", "KILL": "HUP, INT, QUIT, TERM, USR1, USR2, WINCH", "": "HUP, INT, QUIT, TERM, USR1, USR2, WINCH",
	} {
		_, err := construct("signal", func(o any) { *o.(*notify.Signal) = notify.Signal{Process: "x", Signal: wrong} })
		f, ok := errors.AsType[*daemon.FieldError](err)
		if !ok || f.Help != want {
			t.Errorf("%q: %v, help %q", wrong, err, f.Help)
		}
	}
}

// fieldsOf returns the fields of all mistakes, sorted.
func fieldsOf(err error) string {
	var fields []string
	var collect func(error)
	collect = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				collect(e)
			}
		} else if f, ok := errors.AsType[*daemon.FieldError](err); ok {
			fields = append(fields, f.Field)
		}
	}
	collect(err)
	slices.Sort(fields)
	return strings.Join(fields, " ")
}
