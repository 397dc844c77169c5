// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package vault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/contract"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
	"github.com/renewd/renewd/daemon/source/vault"
)

const (
	leaked = "hvs.CAESIJ-must-not-be-printed"
	canary = "canary-5e21"
)

// jwt is what a pod logs in with: it holds the canary.
func jwt() string { return hostile.JWT(`{"iss":"cluster","jti":"` + canary + `"}`) }

func config(t testing.TB, i *hostile.Issuer) vault.Config {
	t.Helper()
	c := vault.Default()
	c.Address, c.Role, c.HTTP.CAFile = i.URL, "orders", i.CAFile
	c.JWTFile = hostile.Write(t, "jwt", jwt()+"\n")
	return c
}

func source(t testing.TB, c vault.Config) *vault.Source {
	t.Helper()
	s, err := vault.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// login is the answer of OpenBao 2.5.5 to a login, with the members of auth that matter: the life at the top level is zero.
func login(auth string) string {
	return `{"request_id":"2d9f3d6c","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,` +
		`"auth":{` + auth + `,"accessor":"a","policies":["default"],"metadata":{"role":"orders"},"renewable":true,"token_type":"service"}}`
}

func token(more ...string) string {
	return login(strings.Join(append([]string{`"client_token":"` + leaked + `"`}, more...), ","))
}

// signed is the answer to the request for an identity token.
func signed(data string) string {
	return `{"request_id":"1","lease_id":"","renewable":false,"lease_duration":0,"data":{"client_id":"c",` + data + `},"auth":null}`
}

// by answers the login and the request behind it.
func by(first, second http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/login") {
			first(w, r)
			return
		}
		second(w, r)
	}
}

func failure(t testing.TB, err error) *daemon.Failure {
	t.Helper()
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok {
		t.Fatalf("no Failure: %v", err)
	}
	return f
}

func near(got time.Time, d time.Duration) bool { return (time.Until(got) - d).Abs() < 30*time.Second }

func TestLogin(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(hostile.JSON(200, token(`"lease_duration":3600`)))
	c := config(t, i)
	c.Address, c.Mount, c.Namespace = i.URL+"/behind/a/proxy/", "k8s/prod#1", "team/orders"
	s := source(t, c)
	s.Version = "1.2.3"
	got, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Value.Reveal() != leaked || got.Type != "Bearer" || !near(got.ExpiresAt, time.Hour) || len(got.Notices) != 0 {
		t.Errorf("%+v", got)
	}
	asked := i.Asked()
	if len(asked) != 1 {
		t.Fatalf("%d requests", len(asked))
	}
	r := asked[0]
	if r.Method != http.MethodPost || r.Path != "/behind/a/proxy/v1/auth/k8s/prod#1/login" {
		t.Errorf("%s %s", r.Method, r.Path)
	}
	if want := `{"jwt":"` + jwt() + `","role":"orders"}`; r.Body != want {
		t.Errorf("%s, want %s", r.Body, want)
	}
	for name, want := range map[string]string{
		"X-Vault-Request": "true", "X-Vault-Namespace": "team/orders", "X-Vault-Token": "", "Content-Type": "application/json",
		"User-Agent": "renewd/1.2.3", "Connection": "close",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := s.Token(t.Context()); err != nil || len(i.Asked()) != 1 {
		t.Errorf("a refresh is one login of its own: %v", err)
	}
}

func TestOIDCRole(t *testing.T) {
	i := hostile.New(t, nil)
	value := hostile.JWT(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(10*time.Minute).Unix()))
	i.Answer(by(hostile.JSON(200, token(`"lease_duration":60`)), hostile.JSON(200, signed(`"token":"`+value+`","ttl":3600`))))
	c := config(t, i)
	c.OIDCRole, c.Namespace = "orders#1", "team"
	got, err := source(t, c).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Value.Reveal() != value || !near(got.ExpiresAt, 10*time.Minute) {
		t.Errorf("%+v until %v", got, got.ExpiresAt)
	}
	asked := i.Asked()
	if len(asked) != 2 {
		t.Fatalf("%d requests", len(asked))
	}
	r := asked[1]
	if r.Method != http.MethodGet || r.Path != "/v1/identity/oidc/token/orders#1" || r.Body != "" || r.Header.Get("X-Vault-Token") != leaked || r.Header.Get("X-Vault-Namespace") != "team" {
		t.Errorf("%+v", r)
	}
	if asked[0].Header.Get("X-Vault-Token") != "" {
		t.Error("the login carries a token")
	}
}

// Every answer, with what is made of it.
func TestAnswers(t *testing.T) {
	i := hostile.New(t, nil)
	const m, r, u, th = daemon.ClassMalformed, daemon.ClassRefused, daemon.ClassUnavailable, daemon.ClassThrottled
	errs := func(status int, text string) http.HandlerFunc {
		return hostile.JSON(status, `{"errors":[`+text+`]}`)
	}
	good := hostile.JSON(200, token(`"lease_duration":60`))
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		oidc   string
		class  daemon.Class
		says   string // in error, hint or notices
		life   time.Duration
	}{
		"lease":                     {answer: good, life: time.Minute},
		"lease as a text":           {answer: hostile.JSON(200, token(`"lease_duration":"60"`)), life: time.Minute},
		"a root token":              {answer: hostile.JSON(200, token(`"lease_duration":0`))},
		"no lease":                  {answer: hostile.JSON(200, token())},
		"lease of no kind":          {answer: hostile.JSON(200, token(`"lease_duration":"1h"`)), says: "lease_duration is not a number"},
		"negative lease":            {answer: hostile.JSON(200, token(`"lease_duration":-1`)), class: m, says: "expired at"},
		"few uses":                  {answer: hostile.JSON(200, token(`"lease_duration":60,"num_uses":5`)), life: time.Minute, says: "token_num_uses"},
		"no token":                  {answer: hostile.JSON(200, login(`"client_token":""`)), class: m, says: "no token in auth"},
		"second factor":             {answer: hostile.JSON(200, login(`"client_token":"","mfa_requirement":{"mfa_request_id":"x"}`)), class: m, says: "second factor"},
		"token twice":               {answer: hostile.JSON(200, login(`"client_token":"`+leaked+`","client_token":"b"`)), class: m, says: `"client_token" appears twice`},
		"auth is null":              {answer: hostile.JSON(200, `{"auth":null,"lease_duration":60}`), class: m, says: "no token in auth"},
		"auth is a text":            {answer: hostile.JSON(200, `{"auth":"`+leaked+`"}`), class: m, says: `member "auth"`},
		"token outside of auth":     {answer: hostile.JSON(200, `{"client_token":"`+leaked+`"}`), class: m, says: "no token in auth"},
		"errors in a 200":           {answer: errs(200, `"`+canary+`"`), class: r, says: "200: the answer holds an error"},
		"unknown role":              {answer: errs(400, `"invalid role name \"`+canary+`\""`), class: r, says: "compare role"},
		"expired, wrong audience":   {answer: errs(400, `"error validating token: `+canary+`"`), class: r, says: "login: 400 |"},
		"no mount":                  {answer: errs(403, `"permission denied"`), class: r, says: "compare mount, namespace and role"},
		"no such path":              {answer: errs(404, ``), class: r, says: "correct address"},
		"sealed":                    {answer: errs(503, `"Vault is sealed"`), class: u, says: "unseal it"},
		"a quota":                   {answer: hostile.JSON(429, `{"errors":["request path quota exceeded"]}`, "Retry-After: 30"), class: th},
		"an internal error":         {answer: errs(500, `"`+canary+`"`), class: u, says: "login: 500"},
		"HTML":                      {answer: hostile.JSON(200, "<html>"+canary), class: m, says: "expected a JSON object"},
		"a redirect of a standby":   {answer: hostile.JSON(307, "", "Location: https://other.test/v1?"+canary), class: daemon.ClassConfig, says: "https://other.test"},
		"closed":                    {answer: hostile.Raw(), class: u, says: "ended before"},
		"OIDC: ttl":                 {oidc: "o", answer: by(good, hostile.JSON(200, signed(`"token":"`+hostile.JWT(`{}`)+`","ttl":300`))), life: 5 * time.Minute},
		"OIDC: not alive":           {oidc: "o", answer: by(good, hostile.JSON(200, signed(`"token":"`+hostile.JWT(`{"exp":1}`)+`","ttl":300`))), class: m, says: "expired at 1970"},
		"OIDC: exp twice":           {oidc: "o", answer: by(good, hostile.JSON(200, signed(`"token":"`+hostile.JWT(`{"exp":1,"exp":2}`)+`","ttl":300`))), class: m, says: `"exp" appears twice`},
		"OIDC: no token":            {oidc: "o", answer: by(good, hostile.JSON(200, signed(`"ttl":300`))), class: m, says: "OIDC token: the answer has no token in data"},
		"OIDC: no policy":           {oidc: "o", answer: by(good, errs(403, `"permission denied"`)), class: r, says: "read on identity/oidc/token/o"},
		"OIDC: no role":             {oidc: "o", answer: by(good, errs(400, `"role \"o\" not found"`)), class: r, says: "create oidcRole"},
		"OIDC: it echoes the token": {oidc: "o", answer: by(good, hostile.JSON(200, `{"data":"`+leaked+`"}`)), class: m, says: `member "data"`},
		"OIDC: a token with a line": {oidc: "o", answer: by(hostile.JSON(200, login(`"client_token":"a\nX-Admin: 1"`)), good), class: m, says: "no header may hold"},
	} {
		t.Run(name, func(t *testing.T) {
			i.Answer(c.answer)
			own := config(t, i)
			own.OIDCRole = c.oidc
			got, err := source(t, own).Token(t.Context())
			said := fmt.Sprintf("%v | %s %q", err, daemon.HintOf(err), got.Notices)
			if strings.Contains(said, canary) || strings.Contains(said, leaked) {
				t.Errorf("a secret was printed: %s", said)
			}
			if words := strings.ReplaceAll(c.says, "login: ", "login "+i.URL+"/v1/auth/kubernetes/login: "); !strings.Contains(said, words) {
				t.Errorf("no %q in %s", words, said)
			}
			if c.class == "" {
				if err != nil || c.life == 0 && !got.ExpiresAt.IsZero() || c.life != 0 && !near(got.ExpiresAt, c.life) {
					t.Errorf("%v until %v, want %v", err, got.ExpiresAt, c.life)
				}
				return
			}
			if f := failure(t, err); f.Class != c.class || f.Endpoint != i.URL || !got.Value.IsZero() {
				t.Errorf("%+v, want %q", f, c.class)
			}
		})
	}
}

func TestHostileAnswers(t *testing.T) {
	i := hostile.New(t, nil)
	hostile.Test(t, i, source(t, config(t, i)), canary, jwt())
}

// A server that echoes names what it was sent, and is not repeated.
func TestEchoOfTheJWT(t *testing.T) {
	i := hostile.New(t, nil)
	sent, _ := json.Marshal(jwt())
	for _, body := range []string{`{"auth":{%[1]s:1,%[1]s:2}}`, `{%[1]s:1,%[1]s:2}`, `{"auth":%[1]s}`, `{"auth":{"client_token":5,%[1]s:%[1]s}}`} {
		i.Answer(hostile.JSON(200, fmt.Sprintf(body, sent)))
		_, err := source(t, config(t, i)).Token(t.Context())
		if f := failure(t, err); f.Class != daemon.ClassMalformed || strings.Contains(fmt.Sprintf("%v %s %+v", err, f.Hint, err), jwt()[:40]) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// The second request does not carry the JWT, and its answer may: the server has seen it.
func TestEchoBesideTheOIDCToken(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(by(hostile.JSON(200, token()), hostile.JSON(200, "x", "Content-Type: "+jwt())))
	c := config(t, i)
	c.OIDCRole = "orders"
	_, err := source(t, c).Token(t.Context())
	if f := failure(t, err); f.Class != daemon.ClassMalformed || !strings.Contains(err.Error(), "[redacted]") || strings.Contains(err.Error(), jwt()[:40]) {
		t.Error(err)
	}
}

func TestMistakesAreFoundWithoutFiles(t *testing.T) {
	type c = vault.Config
	for name, r := range map[string]struct {
		change func(*c)
		want   []string
	}{
		"nothing":              {func(*c) {}, nil},
		"everything":           {func(o *c) { *o = c{HTTP: o.HTTP} }, []string{"address", "jwtFile", "mount", "role"}},
		"plain HTTP":           {func(o *c) { o.Address = "http://bao.test" }, []string{"address"}},
		"a query":              {func(o *c) { o.Address = "https://bao.test/?a=b" }, []string{"address"}},
		"a path of the API":    {func(o *c) { o.Address = "https://bao.test/v1/" }, []string{"address"}},
		"behind a proxy":       {func(o *c) { o.Address = "https://bao.test/bao" }, nil},
		"auth/ in the mount":   {func(o *c) { o.Mount = "auth/jwt" }, []string{"mount"}},
		"slashes":              {func(o *c) { o.Mount, o.Namespace = "jwt/", "/team" }, []string{"mount", "namespace"}},
		"out of auth":          {func(o *c) { o.Mount = "a/../../sys" }, []string{"mount"}},
		"a deep mount":         {func(o *c) { o.Mount, o.Namespace = "k8s/prod", "a/b" }, nil},
		"a path of a role":     {func(o *c) { o.OIDCRole = "identity/oidc/role/x" }, []string{"oidcRole"}},
		"a header in a header": {func(o *c) { o.Namespace = "a\nX-Vault-Token: b" }, []string{"namespace"}},
		"half a pair":          {func(o *c) { o.HTTP.KeyFile = "/k" }, []string{"http.certFile"}},
	} {
		o := vault.Default()
		o.Address, o.Role = "https://bao.test:8200", "orders"
		r.change(&o)
		_, err := vault.New(o)
		if got := contract.Fields(t, err); !slices.Equal(got, r.want) {
			t.Errorf("%s: %q, want %q (%v)", name, got, r.want, err)
		}
	}
}

func TestContract(t *testing.T) {
	i, slow, broken := hostile.New(t, nil), hostile.New(t, nil), hostile.New(t, nil)
	i.Answer(by(hostile.JSON(200, token(`"lease_duration":60`)), hostile.JSON(200, signed(`"token":"`+hostile.JWT(`{}`)+`","ttl":300`))))
	slow.Answer(hostile.Drip)
	broken.Answer(func(w http.ResponseWriter, r *http.Request) {
		hostile.JSON(400, `{"errors":[`+string(asJSON(r.Header.Get("X-Vault-Token")+canary+jwt()))+`]}`)(w, r)
	})
	c := config(t, i)
	c.OIDCRole = "o"
	expired := config(t, i)
	expired.JWTFile = hostile.Write(t, "expired", hostile.JWT(`{"exp":1700000000,"jti":"`+canary+`"}`))
	absent, ca := config(t, i), config(t, i)
	absent.JWTFile += ".gone"
	ca.HTTP.CAFile = c.JWTFile
	contract.Test(t, contract.Case{
		Source: source(t, c), Inputs: []string{c.JWTFile, c.HTTP.CAFile}, Slow: source(t, config(t, slow)),
		Failing: map[string]contract.Failing{
			"refused":     {Source: source(t, config(t, broken)), Class: daemon.ClassRefused},
			"expired JWT": {Source: source(t, expired), Class: daemon.ClassUnavailable},
			"no JWT":      {Source: source(t, absent), Class: daemon.ClassUnavailable},
			"no CA":       {Source: source(t, ca), Class: daemon.ClassConfig},
		},
		Secrets: []string{canary, leaked},
	})
	i.Asked()
	for own, want := range map[*vault.Config]daemon.Class{&c: "", &expired: daemon.ClassUnavailable, &absent: daemon.ClassUnavailable, &ca: daemon.ClassConfig} {
		// What needs no server is found without one.
		if err := source(t, *own).Check(); (err == nil) != (want == "") || err != nil && failure(t, err).Class != want {
			t.Errorf("Check says %v, want %q", err, want)
		}
	}
	if asked := i.Asked(); len(asked) != 0 {
		t.Errorf("%d requests", len(asked))
	}
}

func asJSON(text string) []byte {
	data, _ := json.Marshal(text)
	return data
}

// The JWT and the authority are read anew in every attempt.
func TestFilesAreReadAnew(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(hostile.JSON(200, token(`"lease_duration":60`)))
	c := config(t, i)
	s := source(t, c)
	for _, text := range []string{"first", "second"} {
		if err := os.WriteFile(c.JWTFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if body := i.Asked()[0].Body; !strings.Contains(body, `"jwt":"`+text+`"`) {
			t.Errorf("%s was sent", body)
		}
	}
}
