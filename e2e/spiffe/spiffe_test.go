// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package spiffe

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/renewd/renewd/e2e/internal/trial"
)

const (
	orders = "spiffe://example.org/orders"
	audit  = "spiffe://example.org/audit"
)

// renewd is the path of the binary, which TestMain builds once.
var renewd string

func TestMain(m *testing.M) {
	os.Exit(trial.Build(func(binary string) int {
		renewd = binary
		return m.Run()
	}))
}

// begin starts an agent on a socket.
func begin(t *testing.T) (a *Agent, uri string) {
	t.Helper()
	a, err := New()
	if err == nil {
		uri, err = a.Serve("unix", filepath.Join(t.TempDir(), "agent.sock"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a, uri
}

// try is a trial with the fields of spiffe beside socket, and more fields of the token.
func try(t *testing.T, uri, fields, more string) *trial.Trial {
	t.Helper()
	return trial.New(t, renewd, `{spiffe: {socket: "`+uri+`", `+fields+`}}`, more)
}

func TestFetch(t *testing.T) {
	a, uri := begin(t)
	r := try(t, uri, `audiences: [billing, ledger]`, "")
	r.Do(0, "check")
	r.Do(0, "check", "--fetch")
	r.Do(0, "once")
	if err := a.good(r.Token(), orders, "billing", "ledger"); err != nil {
		t.Error(err)
	}
	calls := a.Calls()
	if len(calls) != 2 {
		t.Fatalf("%d calls, want 2: check alone asks nobody", len(calls))
	}
	for _, c := range calls {
		agent := c.metadata.Get("user-agent")
		if !slices.Equal(c.audiences, []string{"billing", "ledger"}) || c.id != "" || len(agent) != 1 || !strings.HasPrefix(agent[0], "renewd/") {
			t.Errorf("asked %+v", c)
		}
	}
	r.Await("no connection is left open", func() bool { return a.Connections() == 0 })
}

func TestTCP(t *testing.T) {
	a, err := New()
	if err != nil {
		t.Fatal(err)
	}
	uri, err := a.Serve("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	r := try(t, uri, `audiences: [billing]`, "")
	r.Do(0, "once")
	if err := a.good(r.Token(), orders, "billing"); err != nil {
		t.Error(err)
	}
}

// TestEnvironment takes the socket from SPIFFE_ENDPOINT_SOCKET.
func TestEnvironment(t *testing.T) {
	a, uri := begin(t)
	r := trial.New(t, renewd, `{spiffe: {audiences: [billing]}}`, "")
	said := r.Do(78, "check")
	if !strings.Contains(said, "config.yaml:4:22: error: socket: is missing, and the variable SPIFFE_ENDPOINT_SOCKET is not set") {
		t.Error(said)
	}
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", uri)
	r.Do(0, "once")
	if err := a.good(r.Token(), orders, "billing"); err != nil {
		t.Error(err)
	}
}

func TestIdentities(t *testing.T) {
	a, uri := begin(t)
	a.Set(func() { a.ids = []string{orders, audit} })
	for fields, want := range map[string]string{
		`audiences: [billing]`:                             orders,
		`audiences: [billing], spiffeID: "` + orders + `"`: orders,
		`audiences: [billing], spiffeID: "` + audit + `"`:  audit,
	} {
		r := try(t, uri, fields, "")
		said := r.Do(0, "check", "--fetch")
		r.Do(0, "once")
		if err := a.good(r.Token(), want, "billing"); err != nil {
			t.Errorf("%s: %v", fields, err)
		}
		if warned := strings.Contains(said, "spiffeID chooses one"); warned == strings.Contains(fields, "spiffeID") {
			t.Errorf("%s:\n%s", fields, said)
		}
	}
}

// TestRefused holds the exit code and what is said against what the server answered.
func TestRefused(t *testing.T) {
	a, uri := begin(t)
	for name, c := range map[string]struct {
		fail error
		more string
		code int
		says []string
	}{
		"PermissionDenied":  {status.Error(codes.PermissionDenied, "no identity issued"), "", 69, []string{`PermissionDenied: "no identity issued"`, "registration entries"}},
		"another identity":  {nil, `, spiffeID: "spiffe://example.org/nobody"`, 69, []string{`PermissionDenied: "no identity issued"`}},
		"InvalidArgument":   {status.Error(codes.InvalidArgument, "audience must be specified"), "", 78, []string{"InvalidArgument", "compare audiences"}},
		"Unimplemented":     {status.Error(codes.Unimplemented, "unknown method"), "", 78, []string{"Unimplemented", "not the Workload API"}},
		"ResourceExhausted": {status.Error(codes.ResourceExhausted, "rate limit"), "", 69, []string{"ResourceExhausted"}},
		"Unavailable":       {status.Error(codes.Unavailable, "could not fetch JWT-SVID"), "", 69, []string{"Unavailable"}},
		"not a status":      {errors.New("line one\nline \x1b[31mtwo\u00e9 %41"), "", 69, []string{`Unknown: "line oneline [31mtwo %41"`}},
	} {
		t.Run(name, func(t *testing.T) {
			a.Set(func() { a.fail = c.fail })
			r := try(t, uri, `audiences: [billing]`+c.more, "")
			before := len(a.Calls())
			said := r.Do(c.code, "check", "--fetch")
			for _, text := range append(c.says, uri) {
				if !strings.Contains(said, text) {
					t.Errorf("%q is not said:\n%s", text, said)
				}
			}
			if n := len(a.Calls()) - before; n != 1 {
				t.Errorf("asked %d times, want once", n)
			}
			if _, err := os.Stat(r.Path("out/token")); !os.IsNotExist(err) {
				t.Errorf("a token was published: %v", err)
			}
		})
	}
}

// TestRegistration: at the start of a pod its agent does not know it yet.
func TestRegistration(t *testing.T) {
	t.Parallel()
	a, uri := begin(t)
	a.Set(func() { a.ids = nil })
	r := try(t, uri, `audiences: [billing]`, "")
	reader := r.Read(func(token string) error { return a.good(token, orders, "billing") })
	run := r.Run()
	r.Await("two attempts", func() bool { return len(a.Calls()) >= 2 })
	if _, err := os.Stat(r.Path("out/token")); !os.IsNotExist(err) {
		t.Errorf("a token was published: %v", err)
	}
	a.Set(func() { a.ids = []string{orders} })
	r.Await("a token", func() bool { return reader.Seen() == 1 })
	r.Must(run.Stop())
}

// TestHalfLife: an agent hands out the same token until half of its life is over, which is no failure, no write and no loop.
func TestHalfLife(t *testing.T) {
	t.Parallel()
	a, uri := begin(t)
	a.Set(func() { a.life = 12 * time.Second })
	r := try(t, uri, `audiences: [billing]`, `refresh: {at: 10%-20%, spread: false}`)
	reader := r.Read(func(token string) error { return a.good(token, orders, "billing") })
	run := r.Run()
	r.Await("a first token", func() bool { return reader.Seen() >= 1 })
	first, err := os.Stat(r.Path("out/token"))
	r.Must(err)
	r.Await("the same token again", func() bool { return unchanged(t, run) > 0 })
	again, err := os.Stat(r.Path("out/token"))
	r.Must(err)
	if !again.ModTime().Equal(first.ModTime()) {
		t.Error("the same token was written again")
	}
	reader.Next(2)
	// In one life of 12 s: at 10-20 % of it, after half of what is left, and then perhaps once more until a new one is there.
	if n, most := len(a.Calls()), 4*reader.Seen(); n > most {
		t.Errorf("the agent was asked %d times for %d tokens", n, reader.Seen())
	}
	r.Must(run.Stop())
	r.Await("no connection is left open", func() bool { return a.Connections() == 0 })
}

// unchanged counts the attempts that brought the same token.
func unchanged(t *testing.T, p interface {
	Count(begins, contains string) (float64, error)
}) float64 {
	t.Helper()
	n, err := p.Count("renewd_refresh_attempts_total{", `result="unchanged"`)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRestart ends the agent, which removes its socket, and brings it back; and then lets it hang.
func TestRestart(t *testing.T) {
	t.Parallel()
	a, uri := begin(t)
	a.Set(func() { a.life = 20 * time.Second })
	r := try(t, uri, `audiences: [billing]`, "timeout: 1s\n    refresh: {at: 10%-20%, spread: false}")
	reader := r.Read(func(token string) error { return a.good(token, orders, "billing") })
	run := r.Run()
	r.Await("a first token", func() bool { return reader.Seen() >= 1 })

	a.Stop()
	if _, err := os.Stat(strings.TrimPrefix(uri, "unix://")); !os.IsNotExist(err) {
		t.Fatal("the socket is still there")
	}
	failed := func(says string) func() bool { return func() bool { return strings.Contains(run.Log(), says) } }
	r.Await("a failure", failed("no such file or directory"))
	if _, err := a.Serve("unix", strings.TrimPrefix(uri, "unix://")); err != nil {
		t.Fatal(err)
	}
	reader.Next(1)

	a.Set(func() { a.hang = make(chan struct{}) })
	r.Await("a failure within the deadline", failed("no whole answer came in time"))
	a.Set(func() { close(a.hang); a.hang = nil; clear(a.cache) })
	reader.Next(1)
	r.Must(run.Stop())
	r.Await("no connection is left open", func() bool { return a.Connections() == 0 })
}
