// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package fakes

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/renewd/renewd/e2e/internal/program"
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

func newKey(t *testing.T) Key {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pod is a JWT as a pod has it, for an audience and for so long.
func (k Key) pod(audience string, life time.Duration) string {
	now := time.Now()
	return k.Sign(jwt.MapClaims{"iss": "cluster", "sub": "system:serviceaccount:shop:orders", "aud": []string{audience},
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(life).Unix()}, nil)
}

// try is a trial with the text of its source, and the file jwt to log in with.
func try(t *testing.T, source, more, jwt string) *trial.Trial {
	t.Helper()
	r := trial.New(t, renewd, source, more)
	r.Write("jwt", jwt+"\n")
	r.Write("secret", DexSecret)
	r.Secrets = []string{jwt, DexSecret}
	return r
}

const login = `{vault: {address: "URL", mount: jwt, role: orders, jwtFile: DIR/jwt`

func bao(t *testing.T, ttl time.Duration) (*OpenBao, Key) {
	t.Helper()
	key := newKey(t)
	b := StartOpenBao(key, ttl)
	t.Cleanup(b.Stop)
	return b, key
}

func TestOpenBaoAnswers(t *testing.T) {
	b, key := bao(t, time.Hour)
	for name, c := range map[string]struct {
		more           string
		jwt            string
		sealed, policy bool
		code, asked    int
		says           string
	}{
		"login":             {jwt: key.pod("bao", time.Hour), asked: 1},
		"OIDC role":         {more: ", oidcRole: billing", jwt: key.pod("bao", time.Hour), policy: true, asked: 1},
		"wrong audience":    {jwt: key.pod("vault", time.Hour), code: 77, asked: 1, says: "compare role"},
		"key of another":    {jwt: newKey(t).pod("bao", time.Hour), code: 77, asked: 1, says: "compare role"},
		"expired":           {jwt: key.pod("bao", -time.Second), code: 69, says: "expired at"}, // is not even sent
		"unknown OIDC role": {more: ", oidcRole: nobody", jwt: key.pod("bao", time.Hour), policy: true, code: 77, asked: 1, says: "identity/oidc/token/nobody"},
		"no policy":         {more: ", oidcRole: billing", jwt: key.pod("bao", time.Hour), code: 77, asked: 1, says: "identity/oidc/token/billing"},
		"sealed":            {jwt: key.pod("bao", time.Hour), sealed: true, code: 69, says: "unseal"},
	} {
		t.Run(name, func(t *testing.T) {
			b.Set(c.sealed, c.policy)
			before := b.Tokens()
			r := try(t, strings.ReplaceAll(login, "URL", b.URL())+c.more+"}}", "", c.jwt)
			said := r.Do(c.code, "check", "--fetch")
			if asked := b.Tokens() - before; asked != c.asked || !strings.Contains(said, c.says) {
				t.Errorf("asked %d times, want %d, and no %q in\n%s", asked, c.asked, c.says, said)
			}
			if c.code != 0 {
				return
			}
			r.Do(0, "once")
			good := b.Good
			if c.more != "" {
				good = key.Good
			}
			if err := good(r.Token()); err != nil {
				t.Error(err)
			}
		})
	}
	b.Set(false, false)
	for says, change := range map[string]string{"compare mount": "mount: kubernetes", "compare role": "role: nobody"} {
		source := strings.ReplaceAll(login, "URL", b.URL()) + "}}"
		old := map[string]string{"compare mount": "mount: jwt", "compare role": "role: orders"}[says]
		r := try(t, strings.Replace(source, old, change, 1), "", key.pod("bao", time.Hour))
		if said := r.Do(77, "check", "--fetch"); !strings.Contains(said, says) {
			t.Errorf("%s: no %q in\n%s", change, says, said)
		}
	}
}

// TestOpenBaoDay logs in anew for every token of twenty seconds.
func TestOpenBaoDay(t *testing.T) {
	t.Parallel()
	b, key := bao(t, 20*time.Second)
	b.Set(false, true)
	try(t, strings.ReplaceAll(login, "URL", b.URL())+"}}", trial.Blink, key.pod("bao", time.Hour)).Day(b, b.Good)
}

// TestOpenBaoIsSealed keeps the last token while the server is sealed, comes back by itself, and follows the JWT.
func TestOpenBaoIsSealed(t *testing.T) {
	t.Parallel()
	b, key := bao(t, 20*time.Second)
	r := try(t, strings.ReplaceAll(login, "URL", b.URL())+"}}", "refresh: {at: 5%, floor: 100ms, spread: false}", key.pod("bao", time.Hour))
	reader := r.Read(b.Good)
	run := r.Run()
	reader.Next(2)
	b.Set(true, false)
	failed := func(reason string) bool {
		n, err := run.Count("renewd_refresh_attempts_total{", `reason="`+reason+`"`)
		r.Must(err)
		return n > 0
	}
	r.Await("it is noticed", func() bool { return failed("unavailable") })
	before := reader.Seen()
	b.Set(false, false)
	reader.Next(1)
	if before == reader.Seen() {
		t.Error("no token after the seal was broken")
	}
	r.Write("jwt", newKey(t).pod("bao", time.Hour))
	r.Await("a wrong JWT is refused", func() bool { return failed("refused") })
	r.Write("jwt", key.pod("bao", time.Hour))
	reader.Next(1)
	r.Must(run.Stop())
}

const exchange = `{oauth2: {issuer: "URL", grant: token-exchange, clientID: orders, clientAuth: basic, clientSecretFile: DIR/secret, ` +
	`subject: {file: DIR/jwt, type: id_token}, scopes: [openid], parameters: {connector_id: k8s}}}`

func dex(t *testing.T, life time.Duration) (*Dex, Key) {
	t.Helper()
	key := newKey(t)
	d := StartDex(key, life)
	t.Cleanup(d.Stop)
	return d, key
}

func TestDexAnswers(t *testing.T) {
	d, key := dex(t, 10*time.Minute)
	for name, c := range map[string]struct {
		old, change string
		jwt         string
		secret      string
		code        int
		says        string
	}{
		"exchange":         {jwt: key.pod("anybody", time.Hour)},
		"type jwt":         {old: "type: id_token", change: "type: jwt", jwt: key.pod("a", time.Hour), code: 77, says: "request_not_supported"},
		"no connector":     {old: "connector_id: k8s", jwt: key.pod("a", time.Hour), code: 77, says: "invalid_request"},
		"subject of other": {jwt: newKey(t).pod("a", time.Hour), code: 77, says: "look at the subject token"},
		"wrong secret":     {jwt: key.pod("a", time.Hour), secret: "wrong", code: 77, says: "compare clientID"},
		"expired":          {jwt: key.pod("a", -time.Second), code: 69, says: "expired at"},
	} {
		t.Run(name, func(t *testing.T) {
			r := try(t, strings.Replace(strings.ReplaceAll(exchange, "URL", d.Issuer()), c.old, c.change, 1), "", c.jwt)
			if c.secret != "" {
				r.Write("secret", c.secret)
			}
			if said := r.Do(c.code, "check", "--fetch"); !strings.Contains(said, c.says) {
				t.Errorf("no %q in\n%s", c.says, said)
			}
			if c.code != 0 {
				return
			}
			r.Do(0, "once")
			if err := key.Good(r.Token()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDexDay exchanges the same subject token for every token of twenty seconds.
func TestDexDay(t *testing.T) {
	t.Parallel()
	d, key := dex(t, 20*time.Second)
	try(t, strings.ReplaceAll(exchange, "URL", d.Issuer()), trial.Blink, key.pod("dex", time.Hour)).Day(d, key.Good)
}

// TestHoursOfFailure asks an issuer that fails in every way, one after the other and several times over, as it would over
// hours: each time somebody wants a new token at once. The file is the last good token's all the while, the process does not
// grow, and when the issuer is well again nobody has to do anything.
func TestHoursOfFailure(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	h := StartHostile(key, 3*time.Minute)
	t.Cleanup(h.Stop)
	const secret = "S3cr3t-c4n4ry-of-hours"
	r := try(t, `{oauth2: {tokenURL: "`+h.URL()+`", clientID: orders, clientSecretFile: DIR/secret}}`, "timeout: 1s\n    refresh: {floor: 100ms, spread: false}", key.pod("x", time.Hour))
	r.Write("secret", secret)
	r.Secrets = append(r.Secrets, secret)
	reader := r.Read(key.Good)
	run := r.Run()
	r.Await("a first token", func() bool { return reader.Seen() == 1 })
	last := r.Token()

	const rounds = 3
	ways := h.Set(secret)
	var early, late program.Memory
	for h.Turns() < rounds*ways {
		before := h.Turns()
		r.Must(run.Signal(syscall.SIGUSR1))
		r.Await("another attempt", func() bool { return h.Turns() > before })
		memory, err := run.Memory()
		r.Must(err)
		if late = memory; h.Turns() <= ways {
			early = memory
		}
	}
	t.Logf("%d failures of %d kinds; anonymous memory %d and %d KiB", h.Turns(), ways, early.Anonymous>>10, late.Anonymous>>10)
	if r.Token() != last || reader.Seen() != 1 {
		t.Errorf("%d tokens were published", reader.Seen())
	}
	if late.Anonymous > early.Anonymous+2<<20 {
		t.Errorf("after one round the process has %d KiB of its own, after %d rounds %d KiB", early.Anonymous>>10, rounds, late.Anonymous>>10)
	}
	if tokens := h.Tokens(); tokens != h.Turns()+1 {
		t.Errorf("%d requests for %d attempts", tokens, h.Turns()+1)
	}

	h.Set("")
	reader.Next(1) // by itself
	r.Must(run.Stop())
	r.Await("no connection is left open", func() bool { return h.Connections() == 0 })
}
