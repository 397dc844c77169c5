// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oidcprovider

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestRefreshToken follows a refresh token that the server replaces with each use. A used one makes the server revoke all.
func TestRefreshToken(t *testing.T) {
	t.Parallel()
	p := provider(t)
	r := try(t, p, refresher, "")
	first := p.RefreshToken
	r.Secrets = append(r.Secrets, first)
	r.Write("seed", first+"\n")

	state := func() (token string) {
		var s struct{ RefreshToken string }
		info, err := os.Stat(r.Path("state"))
		r.Must(err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the state has mode %v", info.Mode())
		}
		text, err := os.ReadFile(r.Path("state"))
		r.Must(err)
		r.Must(json.Unmarshal(text, &s))
		r.Secrets = append(r.Secrets, s.RefreshToken)
		return s.RefreshToken
	}
	ask := func(code, answers int) string {
		t.Helper()
		before := len(asked(t, p))
		said := r.Do(code, "once", "--force")
		if n := len(asked(t, p)) - before; n != answers {
			t.Errorf("the token endpoint was asked %d times, want %d", n, answers)
		}
		return said
	}
	ask(0, 1)
	second, access := state(), r.Token()
	if second == first || second == "" {
		t.Fatalf("the state holds %q", second)
	}
	old, err := os.ReadFile(r.Path("state"))
	r.Must(err)
	ask(0, 1) // another process goes on where the first one ended
	third := state()
	if third == second || r.Token() == access {
		t.Errorf("the second process did not go on with the state of the first")
	}

	// As after the restoration of a backup: the server has seen this one before.
	r.Write("state", string(old))
	latest := r.Token()
	if said := ask(77, 1); !strings.Contains(said, "invalid_grant") || !strings.Contains(said, "refreshTokenFile") {
		t.Errorf("the refusal is not explained:\n%s", said)
	}
	if last := asked(t, p); last[len(last)-1].Error != "invalid_grant" {
		t.Errorf("the server answered %+v", last[len(last)-1])
	}
	if said := ask(77, 0); !strings.Contains(said, "not sent again") {
		t.Errorf("it is not said that the token is not sent again:\n%s", said)
	}
	if r.Token() != latest {
		t.Error("the failure changed the published token")
	}

	// The whole family is dead now, as RFC 9700 §4.14 wants.
	r.Write("seed", third)
	ask(77, 1)
}

// TestRefreshTokenRun rotates a refresh token again and again, and goes on with the latest one after a restart. Each is sent once.
func TestRefreshTokenRun(t *testing.T) {
	t.Parallel()
	p := provider(t)
	r := try(t, p, refresher, "refresh: {interval: 2s, spread: false}") // it must not be stopped while it asks
	r.Write("seed", p.RefreshToken)
	r.Secrets = append(r.Secrets, p.RefreshToken)
	reader := r.Read(func(token string) error {
		if token == "" || strings.ContainsAny(token, ". \n") {
			return errors.New("no opaque token")
		}
		return nil
	})
	for range 2 {
		run := r.Run()
		reader.Next(3)
		r.Must(run.Stop())
	}
	answers := asked(t, p)
	for _, a := range answers {
		if a.Status != 200 {
			t.Errorf("the server answered %+v", a)
		}
	}
	if len(answers) != reader.Seen() {
		t.Errorf("the token endpoint was asked %d times for %d tokens", len(answers), reader.Seen())
	}
}

// TestRefreshTokenIsSafeFirst looks at the system calls: what a power failure could take away is on the disk before the refresh
// token leaves, and the next one before its access token is used.
func TestRefreshTokenIsSafeFirst(t *testing.T) {
	t.Parallel()
	p := provider(t)
	r := try(t, p, refresher+`, tokenURL: "ISSUER/token"`, "")
	r.Write("seed", p.RefreshToken)
	cmd := exec.Command("strace", "-f", "-y", "-qq", "-e", "trace=fsync,rename,renameat,renameat2,connect", "-o", r.Path("calls"),
		renewd, "once", "--config", r.Path("config.yaml"))
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	calls, err := os.ReadFile(r.Path("calls"))
	r.Must(err)
	server, err := url.Parse(p.Issuer)
	r.Must(err)
	kinds := []struct{ name, pattern string }{
		{"write state", `fsync\(\d+<` + r.Path(".state.new") + `>`},
		{"rename state", `rename.*"` + r.Path("state") + `"`},
		{"write folder", `fsync\(\d+<` + r.Dir + `>`},
		{"ask", `connect\(.*htons\(` + server.Port() + `\)`},
		{"publish", `rename.*"token"`},
	}
	var order []string
	for line := range strings.Lines(string(calls)) {
		for _, k := range kinds {
			if regexp.MustCompile(k.pattern).MatchString(line) {
				order = append(order, k.name)
			}
		}
	}
	const want = "write state, rename state, write folder, ask, write state, rename state, write folder, publish"
	if got := strings.Join(order, ", "); got != want {
		t.Errorf("got %s\nwant %s\n%s", got, want, calls)
	}
}
