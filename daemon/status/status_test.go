// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// childSocket names the environment variable that makes the test binary a client of a socket, for tests that need another
// uid.
const childSocket = "RENEWD_TEST_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(childSocket); path != "" {
		client := Client{Socket: path}
		_, err := client.Status(context.Background())
		fmt.Printf("%v", err)
		return
	}
	os.Exit(m.Run())
}

// epoch is a time without a fraction of a second, so that it survives any format.
var epoch = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

// full is a report with every field set.
func full() Report {
	at := func(minutes int) time.Time { return epoch.Add(time.Duration(minutes) * time.Minute) }
	return Report{
		Time:    epoch,
		Process: Process{Version: "1.2.3", PID: 7, StartedAt: at(-90)},
		Configuration: Loaded{
			Path: "/etc/renewd/config.yaml", SHA256: "3f9c1a", Generation: 2,
			LastReloadSuccessful: true, LastReload: at(-80), Error: "none",
		},
		LogPolicy: LogPolicy{
			Loaded:    Loaded{Path: "/etc/renewd/log-policy.yaml", SHA256: "77aa", Generation: 12, LastReload: at(-70), Error: "LP012"},
			Overrides: []Override{{Area: "token.orders", Level: "DEBUG", Until: at(15)}},
		},
		Watches: []Watch{{Path: "/etc/renewd/config.yaml", State: "degraded", LastCheck: at(-1), Error: "too many open files"}},
		Tokens: []Token{{
			Name: "orders", Source: "sign", Files: []File{{Path: "/run/renewd/token", Mode: "0644", Format: "raw"}},
			Valid: true, State: "failed", Trigger: "schedule", TokenDigest: Digest{0x1a, 0x2b, 0x3c, 0x4d},
			IssuedAt: at(-30), ExpiresAt: at(30), WindowStart: at(10), WindowEnd: at(20), NextAttempt: at(12),
			LastSuccess: at(-30), LastAttempt: at(-2), Guarantee: 120,
			ConsecutiveFailures: 3, FailedAttempts: []time.Time{at(-4), at(-3), at(-2)}, LastError: "no answer", LastErrorClass: "unavailable", Hint: "look at the issuer",
		}, {
			Name: "billing", Source: "oauth2", Files: []File{{Path: `/run/a "b"\c`, Mode: "0600", Format: "json"}},
		}},
	}
}

// healthy returns a Server whose functions all say that all is well, and what it logged.
func healthy() (*Server, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	return &Server{
		Log:     zap.New(core),
		Report:  full,
		Ready:   func(string) error { return nil },
		Live:    func() error { return nil },
		Started: func() error { return nil },
	}, logs
}

// serve runs l until the test ends or stop is called; stop returns what Serve returned.
func serve(t *testing.T, l *Listener, err error) (stop func() error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- l.Serve(ctx) }()
	stopped := false
	stop = func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		select {
		case err := <-result:
			return err
		case <-time.After(time.Minute):
			return fmt.Errorf("Serve did not end")
		}
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return stop
}

// tcp serves s on a free loopback port and returns its address.
func tcp(t *testing.T, s *Server) string {
	t.Helper()
	l, err := s.TCP("127.0.0.1:0")
	serve(t, l, err)
	return l.Addr()
}

// get asks over a new connection and returns code and body.
func get(t *testing.T, address, path string) (int, string) {
	t.Helper()
	response, err := (&http.Client{Timeout: time.Minute}).Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// raw sends text on a new connection and returns all that comes back. It may be called from any goroutine.
func raw(t *testing.T, address, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Error(err)
	}
	var answer strings.Builder
	_, _ = io.Copy(&answer, conn)
	return answer.String()
}
