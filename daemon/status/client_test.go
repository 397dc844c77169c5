// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestClientOverTheSocket(t *testing.T) {
	s, _ := healthy()
	last := levels(s)
	refreshed := ""
	s.Refresh = func(token string) error {
		if token == "x y/?&" {
			return fmt.Errorf("token: %w", ErrUnknown)
		}
		refreshed += "(" + token + ")"
		return nil
	}
	path, _ := socket(t, s)
	c := Client{Socket: path}
	report, err := c.Status(t.Context())
	if err != nil || !reflect.DeepEqual(report, full()) {
		t.Errorf("%+v, %v", report, err)
	}
	if err := errors.Join(c.Live(t.Context()), c.Refresh(t.Context(), ""), c.Refresh(t.Context(), "orders")); err != nil || refreshed != "()(orders)" {
		t.Errorf("%v, refreshed %s", err, refreshed)
	}
	if err := c.Refresh(t.Context(), "x y/?&"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown token: %v", err)
	}
	answer, err := c.SetLevel(t.Context(), "token.db", "DEBUG", 90*time.Second)
	if err != nil || strings.TrimSpace(string(answer)) != `{"area":"token.db"}` || *last != (ordered{"token.db", "DEBUG", 90 * time.Second}) {
		t.Errorf("%s, %v, %+v", answer, err, last)
	}
	if _, err := c.SetLevel(t.Context(), "odd/../area?", "DEBUG", 0); err != nil || last.area != "odd/../area?" {
		t.Errorf("odd area: %v, %+v", err, last)
	}
	_, err = c.SetLevel(t.Context(), "root", "LOUD", time.Minute)
	if want := "set level: answer of " + path + ": 400: `error[LP012]: unknown level \"LOUD\"`"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestClientSaysThatTheDaemonIsNotLive(t *testing.T) {
	s, _ := healthy()
	s.Live = func() error { return errors.New("orders: late since 18:00\nbilling: late since 18:01") }
	address := tcp(t, s)
	err := (&Client{Listen: address}).Live(t.Context())
	if want := "ask for life: answer of " + address + `: 503: "orders: late since 18:00\nbilling: late since 18:01"`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if errors.Is(err, ErrNoDaemon) {
		t.Error("a daemon did answer")
	}
}

func TestClientWithoutADaemon(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	nowhere, address := filepath.Join(shortDir(t), "s"), closed.Addr().String()
	for _, c := range []struct {
		client Client
		want   []string
	}{
		{Client{}, []string{"no admin socket is configured"}},
		{Client{Socket: nowhere}, []string{"no daemon answers at " + nowhere + ": no such file or directory"}},
		{Client{Listen: address}, []string{"no daemon answers at " + address + ": connection refused"}},
		{Client{Socket: nowhere, Listen: address}, []string{nowhere, address}},
	} {
		_, err := c.client.Status(t.Context())
		if !errors.Is(err, ErrNoDaemon) || !errors.Is(c.client.Live(t.Context()), ErrNoDaemon) {
			t.Errorf("%+v: %v", c.client, err)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%+v: %v", c.client, err)
			}
		}
	}
	long := Client{Socket: "/" + strings.Repeat("x", 200)}
	if err := long.Live(t.Context()); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("long path: %v", err)
	}
}

func TestClientPrefersTheSocket(t *testing.T) {
	bySocket, _ := healthy()
	byTCP, _ := healthy()
	byTCP.Report = func() Report { return Report{Time: time.Now(), Process: Process{Version: "tcp"}} }
	address := tcp(t, byTCP)
	path, stop := socket(t, bySocket)
	c := Client{Socket: path, Listen: address}
	if report, err := c.Status(t.Context()); err != nil || report.Process.Version != "1.2.3" {
		t.Errorf("%+v, %v", report.Process, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if report, err := c.Status(t.Context()); err != nil || report.Process.Version != "tcp" {
		t.Errorf("without the socket: %+v, %v", report.Process, err)
	}
	if err := c.Refresh(t.Context(), ""); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("an order went to TCP: %v", err)
	}
}

func TestClientReachesAWildcardListener(t *testing.T) {
	s, _ := healthy()
	l, err := s.TCP(":0")
	serve(t, l, err)
	_, port, _ := net.SplitHostPort(l.Addr())
	for _, address := range []string{":" + port, "0.0.0.0:" + port, "localhost:" + port} {
		if err := (&Client{Listen: address}).Live(t.Context()); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// What answers on a port may be anything.
func TestClientDistrustsTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, ": 302: "},
		"not JSON":         {func(w http.ResponseWriter, _ *http.Request) { text(w, 200, "<html>") }, "invalid character"},
		"another's JSON":   {func(w http.ResponseWriter, _ *http.Request) { text(w, 200, `{"status":"UP"}`) }, "no daemon"},
		"terminal control": {func(w http.ResponseWriter, _ *http.Request) { text(w, 500, "\x1b[2J`boo`") }, `500: "\x1b[2J` + "`boo`" + `"`},
		"long":             {func(w http.ResponseWriter, _ *http.Request) { text(w, 500, strings.Repeat("é", 50_000)) }, "…`"},
	} {
		server := httptest.NewServer(c.handler)
		_, err := (&Client{Listen: server.Listener.Addr().String()}).Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 400 {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}

func TestClientDoesNotWaitForEver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = (&Client{Listen: l.Addr().String()}).Live(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoDaemon) {
		t.Errorf("%v", err)
	}
}
