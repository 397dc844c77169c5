// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package mockserver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/e2e/internal/trial"
)

// renewd is the path of the binary, which TestMain builds once.
var renewd string

func TestMain(m *testing.M) {
	os.Exit(trial.Build(func(binary string) int {
		renewd = binary
		return m.Run()
	}))
}

// server is what run.mjs says when it is ready.
type server struct {
	Issuer string
	Ways   []string
}

func start(t *testing.T) (s server) {
	t.Helper()
	cmd := exec.Command("node", "run.mjs")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // says that it was killed
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err != nil {
		t.Fatalf("%v; is it installed (npm ci)?", err)
	}
	return s
}

// TestAnswers holds each alteration of an answer against what is made of it.
func TestAnswers(t *testing.T) {
	s := start(t)
	good, err := trial.JWT(http.DefaultClient, s.Issuer+"/jwks")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		code int
		life time.Duration // of what is published
		says string        // by check --fetch
	}{
		"":                     {life: time.Hour},
		"exp in a minute":      {life: time.Minute},
		"exp as text":          {life: 2 * time.Minute},
		"exp as a fraction":    {life: 2 * time.Minute},
		"expired":              {code: 1, says: "expired at"},
		"nbf near":             {life: time.Hour, says: "nbf"},
		"nbf far":              {code: 1, says: "not valid before"},
		"lifetime as text":     {life: 5 * time.Minute},
		"lifetime in words":    {life: time.Hour, says: "expires_in is not a number"},
		"lifetime of none":     {life: time.Hour},
		"lifetime too long":    {life: time.Hour},
		"no type":              {life: time.Hour, says: "no token_type"},
		"mac":                  {code: 1, says: "sender-constrained"},
		"narrow":               {life: time.Hour, says: `scopes ["a"]`},
		"error in a 200":       {code: 77, says: "invalid_scope"},
		"error beside a token": {code: 69, says: "server_error"},
		"down":                 {code: 69, says: "temporarily_unavailable"},
		"refused":              {code: 77, says: `invalid_grant: "nomore"`},
		"line feed":            {code: 1, says: "control character"},
	}
	for _, way := range s.Ways {
		if _, ok := cases[way]; !ok {
			t.Errorf("nothing is expected of %q", way)
		}
	}
	for way, c := range cases {
		if way != "" && !slices.Contains(s.Ways, way) {
			t.Errorf("the server does not know %q", way)
		}
		t.Run(way, func(t *testing.T) {
			r := trial.New(t, renewd, fmt.Sprintf(`{oauth2: {issuer: %q, clientID: orders, clientAuth: basic, clientSecretFile: DIR/secret, scopes: [a, b], parameters: {behave: %q}}}`,
				s.Issuer, way), "")
			r.Write("secret", "a-secret-of-the-mock")
			r.Secrets = []string{"a-secret-of-the-mock"}
			if said := r.Do(c.code, "check", "--fetch"); !strings.Contains(said, c.says) {
				t.Errorf("no %q in\n%s", c.says, said)
			}
			before := time.Now()
			if c.code != 0 {
				r.Do(c.code, "once", "--timeout", "10s")
				if _, err := os.Stat(r.Path("out/token")); !os.IsNotExist(err) {
					t.Errorf("a token was published: %v", err)
				}
				return
			}
			r.Do(0, "once")
			if l := r.Life(); (l - c.life).Abs() > time.Since(before)+2*time.Second {
				t.Errorf("a token is taken to live %v, not %v", l, c.life)
			}
			if err := good(r.Token()); err != nil && way != "exp as text" && way != "nbf near" { // golang-jwt takes neither
				t.Error(err)
			}
		})
	}
}
