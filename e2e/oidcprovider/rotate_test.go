// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oidcprovider

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/client-go/transport"

	"github.com/renewd/renewd/e2e/internal/program"
	"github.com/renewd/renewd/e2e/internal/trial"
)

// often refreshes the tokens of 20 s about once a second.
const often = "refresh: {at: 5%, floor: 100ms, spread: false}"

// TestRun refreshes for a while. A reader looks at the file, client-go's too; each refresh is one request, and no connection
// is left open.
func TestRun(t *testing.T) {
	t.Parallel()
	p := provider(t)
	r := try(t, p, awkward+short, often)
	reader := r.Read(judge(t, p))
	run := r.Run()
	r.Await("a first token", func() bool { return reader.Seen() >= 1 })
	source := transport.NewCachedFileTokenSource(r.Path("out/token"))
	source.ResetTokenOlderThan(time.Now())
	seen := map[string]bool{}
	r.Await("client-go shows three tokens", func() bool {
		token, err := source.Token()
		r.Must(err)
		seen[token.AccessToken] = true
		source.ResetTokenOlderThan(time.Now()) // as after a 401
		return len(seen) >= 3
	})
	reader.Next(1)
	r.Must(run.Stop())
	if n := len(asked(t, p)); n != reader.Seen() {
		t.Errorf("the token endpoint was asked %d times for %d tokens", n, reader.Seen())
	}
	r.Await("no connection is left open", func() bool { return p.Connections() == 0 })
}

// TestDay keeps tokens of twenty seconds fresh, by a secret and by signed assertions.
func TestDay(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]string{"secret": awkward, "assertion": es256} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provider(t)
			try(t, p, fields+short, trial.Blink).Day(counted{p, t}, judge(t, p))
		})
	}
}

// TestRotateKey registers another key for a client and then puts it into its file. The old key is refused in between.
func TestRotateKey(t *testing.T) {
	t.Parallel()
	p := provider(t)
	r := try(t, p, `clientID: key-es256, assertion: {keyFile: DIR/key.pem}`+short, often)
	follow := func() {
		key, err := os.ReadFile(filepath.Join(p.Dir, "es256.pem"))
		r.Must(err)
		r.Write("key.pem", string(key))
	}
	follow()
	reader := r.Read(judge(t, p))
	run := r.Run()
	reader.Next(2)
	r.Must(p.Rekey())
	r.Await("the old key is refused", func() bool { return failed(t, run, "refused") >= 1 })
	r.Write("key.pem", "half of a k")
	r.Await("a broken key file is said to be one", func() bool { return failed(t, run, "config") >= 1 })
	before := len(asked(t, p))
	follow()
	reader.Next(2)
	for _, a := range asked(t, p)[before:] {
		if a.Status != 200 {
			t.Errorf("after the rotation: %+v", a)
		}
	}
	r.Must(run.Stop())
}

// TestRotateAssertion follows an assertion that somebody else signs anew, as the kubelet does. Its jti is taken once.
func TestRotateAssertion(t *testing.T) {
	t.Parallel()
	p := provider(t)
	r := try(t, p, `clientID: key-es256, assertionFile: DIR/assertion`+api, "")
	sign := func(name string, life time.Duration) {
		r.Write(name, signed(t, p, jwt.MapClaims{"exp": time.Now().Add(life).Unix()}))
	}
	sign("assertion", time.Minute)
	reader := r.Read(judge(t, p))
	run := r.Run()
	r.Await("a first token", func() bool { return reader.Seen() == 1 })
	sign("assertion", time.Minute)
	reader.Next(1) // though the token of before has minutes to live
	before := len(asked(t, p))
	sign("assertion", -time.Minute)
	r.Await("what has expired is not sent", func() bool { return failed(t, run, "unavailable") >= 1 })
	if n := len(asked(t, p)); n != before {
		t.Errorf("the token endpoint was asked %d times", n-before)
	}
	sign("assertion", time.Minute)
	reader.Next(1)
	r.Must(run.Stop())
}

// TestRotateSecret changes a client's secret at the server first and then in its file.
func TestRotateSecret(t *testing.T) {
	t.Parallel()
	p := provider(t)
	r := try(t, p, rotating+short, often)
	r.Write("secret", secrets["rotating"])
	reader := r.Read(judge(t, p))
	run := r.Run()
	reader.Next(2)
	const second = "the-second-secret"
	r.Secrets = append(r.Secrets, second)
	r.Must(p.Write("secrets/rotating", []byte(second)))
	r.Await("the old secret is refused", func() bool { return failed(t, run, "refused") >= 1 })
	refusals := len(asked(t, p))
	r.Write("secret", second+"\n")
	reader.Next(2) // at once, though a refusal waits long
	for _, a := range asked(t, p)[refusals:] {
		if a.Status != 200 {
			t.Errorf("after the rotation: %+v", a)
		}
	}
	r.Must(run.Stop())
}

// TestRotateAuthority lets the server be certified by another authority, and then tells renewd.
func TestRotateAuthority(t *testing.T) {
	t.Parallel()
	p := provider(t)
	r := try(t, p, awkward+short+`, http: {caFile: DIR/ca.pem}`, often)
	trust := func() {
		ca, err := os.ReadFile(filepath.Join(p.Dir, "ca.pem"))
		r.Must(err)
		r.Write("ca.pem", string(ca))
	}
	trust()
	reader := r.Read(judge(t, p))
	run := r.Run()
	reader.Next(2)
	next, err := NewAuthority("next servers")
	r.Must(err)
	r.Must(p.Serve(next))
	r.Must(p.Reload())
	r.Await("the unknown authority is not trusted", func() bool { return failed(t, run, "unavailable") >= 1 })
	before := reader.Seen()
	r.Write("ca.pem", "no certificate")
	r.Await("a broken CA file is said to be one", func() bool { return failed(t, run, "config") >= 1 })
	if now := reader.Seen(); now != before {
		t.Errorf("%d tokens came without a verified server", now-before)
	}
	trust()
	reader.Next(2)
	r.Must(run.Stop())
}

// certified authenticates by the certificate in the trial's folder.
const certified = mutualTLS + `, allowedHosts: ["MUTUAL"], http: {caFile: SERVER/ca.pem, certFile: DIR/client.pem, keyFile: DIR/client-key.pem}`

// identify puts the server's latest client certificate into the trial's folder, key first.
func identify(r *trial.Trial, p *Provider) {
	for _, name := range []string{"client-key.pem", "client.pem"} {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		r.Must(err)
		r.Write(name, string(text))
	}
}

// TestCertificate binds tokens to the client's certificate, refuses those of another authority or name, and follows the
// certificate when it is replaced.
func TestCertificate(t *testing.T) {
	t.Parallel()
	p := provider(t)
	r := try(t, p, certified+short, often)
	identify(r, p)
	if said := r.Do(0, "check", "--fetch"); !strings.Contains(said, "bound to the client certificate") {
		t.Errorf("nobody is told that readers need the certificate:\n%s", said)
	}
	reader := r.Read(judge(t, p))
	run := r.Run()
	reader.Next(2)
	first := boundTo(t, r.Token())
	if want := thumbprint(t, r.Path("client.pem")); first != want {
		t.Errorf("the token is bound to %q, want %q", first, want)
	}

	clients, err := NewAuthority("next clients")
	r.Must(err)
	r.Must(p.Accept(clients))
	r.Must(p.Reload())
	r.Await("the certificate is refused", func() bool { return failed(t, run, "refused") >= 1 })
	r.Must(p.Identify(clients, "somebody else"))
	identify(r, p)
	r.Await("the name is refused", func() bool {
		answers := asked(t, p)
		return answers[len(answers)-1].Error == "invalid_client"
	})
	r.Must(p.Identify(clients, "orders"))
	identify(r, p)
	reader.Next(2)
	if now, want := boundTo(t, r.Token()), thumbprint(t, r.Path("client.pem")); now != want || now == first {
		t.Errorf("the token is bound to %q, want %q", now, want)
	}
	r.Must(run.Stop())
}

// TestUntrustedCertificate shows what the commands say when nobody the server trusts has signed the certificate.
func TestUntrustedCertificate(t *testing.T) {
	t.Parallel()
	p := provider(t)
	other, err := NewAuthority("others")
	if err == nil {
		err = p.Identify(other, "orders")
	}
	if err != nil {
		t.Fatal(err)
	}
	r := try(t, p, certified, "")
	identify(r, p)
	said := r.Do(77, "check", "--fetch")
	if !strings.Contains(said, "register the certificate of http.certFile") {
		t.Errorf("the certificate is not named:\n%s", said)
	}
	r.Must(os.Remove(r.Path("client-key.pem")))
	r.Do(78, "once")
}

// failed returns how many attempts failed for a reason.
func failed(t *testing.T, run *program.Process, reason string) float64 {
	t.Helper()
	n, err := run.Count(`renewd_refresh_attempts_total{`, `reason="`+reason+`"`)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func boundTo(t *testing.T, token string) string {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	cnf, _ := claims["cnf"].(map[string]any)
	bound, _ := cnf["x5t#S256"].(string)
	return bound
}

func thumbprint(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal(errors.New("no certificate"))
	}
	sum := sha256.Sum256(block.Bytes)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
