// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package githubapp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/githubapp"
	"github.com/renewd/renewd/daemon/source/internal/contract"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
)

// newKey returns a key as GitHub hands it out, in PKCS #1.
func newKey() (*rsa.PrivateKey, string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// keys makes them once: it takes a while.
var (
	first  = sync.OnceValues(newKey)
	second = sync.OnceValues(newKey)
)

func config(t testing.TB, i *hostile.Issuer) githubapp.Config {
	t.Helper()
	_, text := first()
	c := githubapp.Default()
	c.AppID, c.InstallationID, c.APIURL, c.HTTP.CAFile = "Iv23liExample", int64(12345678), i.URL, i.CAFile
	c.KeyFile = hostile.Write(t, "app.pem", text)
	return c
}

func source(t testing.TB, c githubapp.Config) *githubapp.Source {
	t.Helper()
	s, err := githubapp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func failure(t testing.TB, err error) *daemon.Failure {
	t.Helper()
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok {
		t.Fatalf("no Failure: %v", err)
	}
	return f
}

func at(d time.Duration) string   { return time.Now().Add(d).UTC().Format(time.RFC3339) }
func date(d time.Duration) string { return "Date: " + time.Now().Add(d).UTC().Format(http.TimeFormat) }

// granted is what GitHub's documents show, with a token of ours.
func granted(token string, d time.Duration, header ...string) http.HandlerFunc {
	return hostile.JSON(201, fmt.Sprintf(`{"token":%q,"expires_at":%q,"permissions":{"contents":"read"},"repository_selection":"selected",
		"repositories":[{"id":1296269,"name":"hello","owner":{"login":"octocat"}}]}`, token, at(d)), header...)
}

func TestRequest(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(granted("ghs_16C7e42F292c6912E7710c838347Ae178B4a", time.Hour))
	type c = githubapp.Config
	for name, r := range map[string]struct {
		change           func(*c)
		path, body, from string
	}{
		"client ID": {func(*c) {}, "/app/installations/12345678/access_tokens", `{}`, "Iv23liExample"},
		"app ID": {func(c *c) { c.AppID, c.InstallationID = int64(99), "7" },
			"/app/installations/7/access_tokens", `{}`, "99"},
		"Enterprise": {func(c *c) { c.APIURL += "/api/v3/" }, "/api/v3/app/installations/12345678/access_tokens", `{}`, "Iv23liExample"},
		"narrowed down": {func(c *c) {
			c.Repositories, c.Permissions = []string{"hello", "world.js"}, map[string]string{"issues": "write", "contents": "read"}
		}, "/app/installations/12345678/access_tokens", `{"repositories":["hello","world.js"],"permissions":{"contents":"read","issues":"write"}}`, "Iv23liExample"},
	} {
		own := config(t, i)
		r.change(&own)
		s := source(t, own)
		s.Version = "1.2.3"
		token, err := s.Token(t.Context())
		if err != nil || token.Value.Reveal() != "ghs_16C7e42F292c6912E7710c838347Ae178B4a" || token.Type != "Bearer" || len(token.Notices) != 0 {
			t.Errorf("%s: %+v %v", name, token, err)
		}
		if life := token.ExpiresAt.Sub(token.IssuedAt); (life - time.Hour).Abs() > time.Minute {
			t.Errorf("%s: a life of %v", name, life)
		}
		asked := i.Asked()
		if len(asked) != 1 {
			t.Fatalf("%s: %d requests", name, len(asked))
		}
		if a := asked[0]; a.Method != http.MethodPost || a.Path != r.path || a.Body != r.body {
			t.Errorf("%s: %s %s %s, want %s %s", name, a.Method, a.Path, a.Body, r.path, r.body)
		}
		h := asked[0].Header
		for header, want := range map[string]string{
			"Content-Type": "application/json", "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28",
			"User-Agent": "renewd/1.2.3", "Accept-Encoding": "", "Connection": "close",
		} {
			if got := h.Get(header); got != want {
				t.Errorf("%s: %s %q, want %q", name, header, got, want)
			}
		}
		assertion(t, h.Get("Authorization"), r.from)
	}
}

// assertion checks what proves who asks: all claims, by the public key.
func assertion(t *testing.T, header, from string) {
	t.Helper()
	key, _ := first()
	text, _ := strings.CutPrefix(header, "Bearer ")
	token, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return &key.PublicKey, nil }, jwt.WithValidMethods([]string{"RS256"}))
	if err != nil {
		t.Fatal(err)
	}
	claims := token.Claims.(jwt.MapClaims)
	now := time.Now().Unix()
	iat, exp := int64(claims["iat"].(float64)), int64(claims["exp"].(float64))
	if len(claims) != 3 || claims["iss"] != from || iat < now-120 || iat > now-60 || exp-iat != 9*60 {
		t.Errorf("%v at %d", claims, now)
	}
	if want := map[string]any{"alg": "RS256", "typ": "JWT"}; !maps.Equal(token.Header, want) {
		t.Errorf("%v", token.Header)
	}
}

func TestLifetime(t *testing.T) {
	i := hostile.New(t, nil)
	made := time.Now() // when the answers were: what each of them leaves shrinks
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   time.Duration // 0: no bound
		notice string
	}{
		"an hour":            {granted("x", time.Hour), time.Hour, ""},
		"GitHub is ahead":    {granted("x", time.Hour, date(10*time.Minute)), 50 * time.Minute, "clock"},
		"GitHub is behind":   {granted("x", time.Hour, date(-10*time.Minute)), time.Hour, "clock"},
		"nobody says":        {hostile.JSON(201, `{"token":"x"}`), 0, ""},
		"it makes no sense":  {hostile.JSON(201, `{"token":"x","expires_at":true}`), 0, "expires_at is not a time"},
		"a JWT ends earlier": {granted(hostile.JWT(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Minute).Unix())), time.Hour), time.Minute, ""},
	} {
		i.Answer(c.answer)
		token, err := source(t, config(t, i)).Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := token.ExpiresAt.Sub(token.IssuedAt) - c.want; c.want == 0 != token.ExpiresAt.IsZero() || c.want != 0 && (d > 3*time.Second || d < -3*time.Second-time.Since(made)) {
			t.Errorf("%s: %v to %v", name, token.IssuedAt, token.ExpiresAt)
		}
		if text := strings.Join(token.Notices, "; "); (c.notice == "") != (text == "") || !strings.Contains(text, c.notice) {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func TestUselessTokens(t *testing.T) {
	i := hostile.New(t, nil)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"no token":       {hostile.JSON(201, `{"expires_at":"2100-01-01T00:00:00Z"}`), "no token"},
		"a number":       {hostile.JSON(201, `{"token":1}`), "no token"},
		"expired":        {granted("x", -time.Second), "the token expired at"},
		"both clocks":    {granted("x", time.Hour, date(2*time.Hour)), ", the issuer's "},
		"token twice":    {hostile.JSON(201, `{"token":"x","token":"y"}`), `"token" appears twice`},
		"a JWT's claims": {granted(hostile.JWT(`{"exp":1,"exp":2}`), time.Hour), `"exp" appears twice`},
	} {
		i.Answer(c.answer)
		_, err := source(t, config(t, i)).Token(t.Context())
		if f := failure(t, err); f.Class != daemon.ClassMalformed || f.Endpoint != i.URL || f.Status != 201 || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q %v", name, f.Class, err)
		}
	}
}

// GitHub describes each repository that was asked for: an answer may be larger than others.
func TestDescriptionsOfRepositories(t *testing.T) {
	i := hostile.New(t, nil)
	body := func(n int) string {
		return fmt.Sprintf(`{"token":"x","expires_at":%q,"repositories":[%s{}]}`, at(time.Hour), strings.Repeat(`{"url":"`+strings.Repeat("u", 6000)+`"},`, n))
	}
	c := config(t, i)
	for n := range 500 {
		c.Repositories = append(c.Repositories, "r"+strconv.Itoa(n))
	}
	i.Answer(hostile.JSON(201, body(500)))
	if _, err := source(t, c).Token(t.Context()); err != nil {
		t.Error(err)
	}
	c.Repositories = nil
	if _, err := source(t, c).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than 262144 bytes") {
		t.Errorf("%v", err)
	}
	i.Answer(hostile.JSON(201, body(1500)))
	c.Repositories = []string{"one"}
	if _, err := source(t, c).Token(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than 278528 bytes") {
		t.Errorf("%v", err)
	}
}

// said is what GitHub answers instead of a token.
func said(status int, header ...string) http.HandlerFunc {
	return hostile.JSON(status, fmt.Sprintf(`{"message":%q,"documentation_url":"https://docs.github.com/rest","status":"%d"}`, hostile.Leaked, status), header...)
}

func TestRemedies(t *testing.T) {
	i := hostile.New(t, nil)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  daemon.Class
		hint   string
	}{
		"a bad key":       {said(401), daemon.ClassRefused, `is one of app "Iv23liExample", and whether the app still has it`},
		"a clock behind":  {said(401, "Date: Tue, 14 Nov 2023 22:13:20 GMT"), daemon.ClassRefused, "set the clock: GitHub takes an assertion only if it is of now by its own one; the clock says "},
		"suspended":       {said(403), daemon.ClassRefused, "see whether installation 12345678 is suspended"},
		"not installed":   {said(404), daemon.ClassRefused, "ends with /api/v3"},
		"too much":        {said(422), daemon.ClassRefused, "installation 12345678 does not have all"},
		"another refusal": {said(451), daemon.ClassRefused, "what lies between"},
		"broken":          {said(500), daemon.ClassUnavailable, ""},
		"a unicorn":       {hostile.JSON(502, "<html>"), daemon.ClassUnavailable, ""},
		"an error":        {hostile.JSON(201, `{"error":"x","token":"y"}`), daemon.ClassRefused, "what lies between"},
	} {
		i.Answer(c.answer)
		_, err := source(t, config(t, i)).Token(t.Context())
		f := failure(t, err)
		if f.Class != c.class || !strings.Contains(f.Hint, c.hint) || c.hint == "" && f.Hint != "" || !f.RetryAt.IsZero() {
			t.Errorf("%s: %q %v\n%s", name, f.Class, err, f.Hint)
		}
		if strings.Contains(err.Error()+f.Hint, hostile.Leaked) {
			t.Errorf("%s: the answer was repeated: %v", name, err)
		}
	}
	i.Answer(said(403))
	_, err := source(t, config(t, i)).Token(t.Context())
	if want := "githubApp: installation token " + i.URL + "/app/installations/12345678/access_tokens: 403"; err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestLimits(t *testing.T) {
	i := hostile.New(t, nil)
	remaining := func(n string) string { return "X-RateLimit-Remaining: " + n }
	reset := func(d time.Duration) string {
		return "x-ratelimit-reset: " + strconv.FormatInt(time.Now().Add(d).Unix(), 10)
	}
	made := time.Now()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  daemon.Class
		wait   time.Duration // 0: none given
	}{
		"403 and reset":            {said(403, remaining("0"), reset(20*time.Minute)), daemon.ClassThrottled, 20 * time.Minute},
		"429 and reset":            {said(429, remaining("0"), reset(20*time.Minute)), daemon.ClassThrottled, 20 * time.Minute},
		"by GitHub's clock":        {said(403, remaining("0"), reset(-40*time.Minute), date(-time.Hour)), daemon.ClassThrottled, 20 * time.Minute},
		"Retry-After goes first":   {said(403, remaining("0"), reset(20*time.Minute), "Retry-After: 60"), daemon.ClassThrottled, time.Minute},
		"a secondary limit":        {said(403, remaining("4999"), "Retry-After: 60"), daemon.ClassThrottled, time.Minute},
		"429 alone":                {said(429), daemon.ClassThrottled, 0},
		"without a reset":          {said(403, remaining("0")), daemon.ClassThrottled, 0},
		"a reset in the past":      {said(403, remaining("0"), reset(-time.Minute)), daemon.ClassThrottled, 0},
		"a reset that is none":     {said(403, remaining("0"), "x-ratelimit-reset: soon"), daemon.ClassThrottled, 0},
		"a reset out of the world": {said(403, remaining("0"), "x-ratelimit-reset: "+strings.Repeat("9", 400), date(0)), daemon.ClassThrottled, 200 * 365 * 24 * time.Hour},
		"requests are left":        {said(403, remaining("10"), reset(20*time.Minute)), daemon.ClassRefused, 0},
		"no limit of requests":     {said(404, remaining("0"), reset(20*time.Minute)), daemon.ClassRefused, 0},
	} {
		i.Answer(c.answer)
		_, err := source(t, config(t, i)).Token(t.Context())
		f := failure(t, err)
		if f.Class != c.class || c.wait == 0 != f.RetryAt.IsZero() || f.Endpoint != i.URL || (f.Hint == "") != (c.class == daemon.ClassThrottled) {
			t.Errorf("%s: %q until %v: %v", name, f.Class, f.RetryAt, err)
		}
		wait := time.Until(f.RetryAt)
		if enough := wait-c.wait > -4*time.Second-time.Since(made); c.wait != 0 && (!enough || c.wait < time.Hour && wait-c.wait > 4*time.Second) {
			t.Errorf("%s: wait for %v, want %v", name, wait, c.wait)
		}
	}
}

func TestKeyRotationUnderneath(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(granted("x", time.Hour))
	c := config(t, i)
	s := source(t, c)
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	assertion(t, i.Asked()[0].Header.Get("Authorization"), "Iv23liExample")
	key, text := second()
	if err := os.WriteFile(c.KeyFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent, _ := strings.CutPrefix(i.Asked()[0].Header.Get("Authorization"), "Bearer ")
	if _, err := jwt.Parse(sent, func(*jwt.Token) (any, error) { return &key.PublicKey, nil }); err != nil {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	i := hostile.New(t, nil)
	for name, change := range map[string]func(*githubapp.Config){
		"no key":         func(c *githubapp.Config) { c.KeyFile += ".gone" },
		"garbage":        func(c *githubapp.Config) { c.KeyFile = hostile.Write(t, "key", hostile.Leaked) },
		"a key of EC":    func(c *githubapp.Config) { _, c.KeyFile = hostile.Files(t, hostile.NewCA(t).Issue(t, "x", time.Hour)) },
		"no CA":          func(c *githubapp.Config) { c.HTTP.CAFile += ".gone" },
		"a CA of no use": func(c *githubapp.Config) { c.HTTP.CAFile = hostile.Write(t, "ca", "x") },
	} {
		c := config(t, i)
		change(&c)
		s := source(t, c)
		_, err := s.Token(t.Context())
		if f := failure(t, err); f.Class != daemon.ClassConfig || f.Hint == "" || len(i.Asked()) != 0 {
			t.Errorf("%s: %q %v", name, f.Class, err)
		}
		// What needs no server is found without one.
		if found := s.Check(); found == nil || found.Error() != err.Error() {
			t.Errorf("%s: Check says %v, not %v", name, found, err)
		}
	}
	if err := source(t, config(t, i)).Check(); err != nil {
		t.Error(err)
	}
}

func TestHostileAnswers(t *testing.T) {
	i := hostile.New(t, nil)
	_, text := first()
	hostile.Test(t, i, source(t, config(t, i)), text)
}

func TestContract(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(granted(hostile.Leaked, time.Hour))
	slow := hostile.New(t, nil)
	slow.Answer(hostile.Drip)
	refusing := hostile.New(t, nil)
	refusing.Answer(said(404))
	limiting := hostile.New(t, nil)
	limiting.Answer(said(403, "X-RateLimit-Remaining: 0"))
	absent := config(t, i)
	absent.KeyFile += ".gone"
	c := config(t, i)
	_, text := first()
	contract.Test(t, contract.Case{
		Source: source(t, c), Inputs: []string{c.KeyFile, c.HTTP.CAFile},
		Slow: source(t, config(t, slow)),
		Failing: map[string]contract.Failing{
			"refused": {Source: source(t, config(t, refusing)), Class: daemon.ClassRefused},
			"limited": {Source: source(t, config(t, limiting)), Class: daemon.ClassThrottled},
			"no key":  {Source: source(t, absent), Class: daemon.ClassConfig},
		},
		Secrets: append(strings.Split(text, "\n")[1:5], hostile.Leaked),
	})
}
