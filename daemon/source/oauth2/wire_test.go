// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/contract"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
	"github.com/renewd/renewd/daemon/source/oauth2"
)

// keyPair writes a new EC key and returns its path and public half.
func keyPair(t testing.TB) (string, *ecdsa.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return hostile.Write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), &key.PublicKey
}

// anonymous is a source without a secret.
func anonymous(t testing.TB, i *hostile.Issuer) oauth2.Config {
	c := config(t, i)
	c.ClientSecretFile = ""
	return c
}

// ask makes one attempt and returns the one request that it made.
func ask(t testing.TB, i *hostile.Issuer, c oauth2.Config) (daemon.Token, hostile.Request) {
	t.Helper()
	i.Asked()
	token, err := source(t, c).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asked := i.Asked()
	if len(asked) != 1 {
		t.Fatalf("%d requests", len(asked))
	}
	return token, asked[0]
}

func TestClientAuthentication(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(ok(expiring("60")))
	raw := base64.StdEncoding.EncodeToString([]byte(clientID + ":" + canary))
	encoded := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(clientID) + ":" + url.QueryEscape(canary)))
	form := url.Values{"grant_type": {"client_credentials"}}
	with := func(more url.Values) url.Values {
		more["grant_type"] = form["grant_type"]
		return more
	}
	file := func(c *oauth2.Config) {
		c.ClientSecretFile, c.AssertionFile = "", hostile.Write(t, "assertion", hostile.JWT(`{"sub":"x"}`)+"\n")
	}
	asserted := url.Values{"client_id": {clientID}, "client_assertion": {hostile.JWT(`{"sub":"x"}`)}}
	spiffe := "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
	for name, c := range map[string]struct {
		change func(*oauth2.Config)
		basic  string
		form   url.Values
	}{
		"auto":                       {func(*oauth2.Config) {}, encoded, form},
		"basic":                      {func(c *oauth2.Config) { c.ClientAuth = "basic" }, encoded, form},
		"basic, line end of Windows": {func(c *oauth2.Config) { c.ClientSecretFile = hostile.Write(t, "s", canary+"\r\n") }, encoded, form},
		"basic_raw":                  {func(c *oauth2.Config) { c.ClientAuth = "basic_raw" }, raw, form},
		"post":                       {func(c *oauth2.Config) { c.ClientAuth = "post" }, "", with(url.Values{"client_id": {clientID}, "client_secret": {canary}})},
		"none":                       {func(c *oauth2.Config) { c.ClientSecretFile, c.ClientAuth = "", "none" }, "", with(url.Values{"client_id": {clientID}})},
		"assertion_file": {file, "", with(url.Values{"client_id": asserted["client_id"], "client_assertion": asserted["client_assertion"],
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})},
		"assertion_file of SPIFFE, without an id": {func(c *oauth2.Config) { file(c); c.AssertionType, c.ClientID = spiffe, "" }, "",
			with(url.Values{"client_assertion": asserted["client_assertion"], "client_assertion_type": {spiffe}})},
	} {
		t.Run(name, func(t *testing.T) {
			own := config(t, i)
			c.change(&own)
			token, r := ask(t, i, own)
			want := ""
			if c.basic != "" {
				want = "Basic " + c.basic
			}
			if got := r.Header.Get("Authorization"); got != want {
				t.Errorf("Authorization %q, want %q", got, want)
			}
			if !reflect.DeepEqual(r.Form, c.form) || r.Method != http.MethodPost || r.Path != "/token" {
				t.Errorf("%s %s %v, want %v", r.Method, r.Path, r.Form, c.form)
			}
			if token.Value.Reveal() != leaked || token.Type != "Bearer" {
				t.Errorf("%+v", token)
			}
		})
	}
}

func TestRequestHeaders(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(ok(expiring("60")))
	s := source(t, config(t, i))
	s.Version = "1.2.3"
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := i.Asked()[0].Header
	for name, want := range map[string]string{
		"Accept": "application/json", "User-Agent": "renewd/1.2.3", "Content-Type": "application/x-www-form-urlencoded",
		"Accept-Encoding": "", "Connection": "close", "Cookie": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestParametersAreSentOnce(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(ok(expiring("60")))
	c := anonymous(t, i)
	c.ClientAuth, c.TokenURL = "none", i.URL+"/token?tenant=a"
	c.Scopes, c.Resource, c.Audience = []string{"a", "b"}, []string{"https://x.test", "urn:y"}, []string{"one", "two"}
	c.Parameters = map[string]string{"connector_id": "k8s", "empty": ""}
	_, r := ask(t, i, c)
	want := "audience=one&audience=two&client_id=svc%3Aa%2Fb+c&connector_id=k8s&grant_type=client_credentials&resource=https%3A%2F%2Fx.test&resource=urn%3Ay&scope=a+b"
	if r.Body != want {
		t.Errorf("got  %s\nwant %s", r.Body, want)
	}
}

// claimsOf verifies an assertion and returns its header and claims.
func claimsOf(t *testing.T, text string, key any) (header, claims map[string]any) {
	t.Helper()
	token, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return key, nil })
	if err != nil {
		t.Fatal(err)
	}
	return token.Header, token.Claims.(jwt.MapClaims)
}

func TestSignedClientAssertions(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(ok(expiring("60")))
	path, public := keyPair(t)
	secret := strings.Repeat("s", 32)
	seen := map[any]bool{}
	for name, c := range map[string]struct {
		change func(*oauth2.Config)
		key    any
		aud    string
	}{
		"private_key_jwt": {func(c *oauth2.Config) { c.Assertion.KeyFile = path }, public, i.URL + "/realm/"},
		"tokenURL": {func(c *oauth2.Config) { c.Assertion.KeyFile, c.Assertion.Audience, c.Issuer = path, "tokenURL", "" },
			public, i.URL + "/token"},
		"a literal": {func(c *oauth2.Config) { c.Assertion.KeyFile, c.Assertion.Audience = path, "urn:x" }, public, "urn:x"},
		"client_secret_jwt": {func(c *oauth2.Config) {
			c.ClientAuth, c.ClientSecretFile = "client_secret_jwt", hostile.Write(t, "s", secret+"\n")
		}, []byte(secret), i.URL + "/realm/"},
	} {
		own := anonymous(t, i)
		own.Issuer = i.URL + "/realm/"
		c.change(&own)
		for range 2 {
			_, r := ask(t, i, own)
			header, claims := claimsOf(t, r.Form.Get("client_assertion"), c.key)
			if claims["iss"] != clientID || claims["sub"] != clientID || claims["aud"] != c.aud || seen[claims["jti"]] || claims["jti"] == "" {
				t.Errorf("%s: %v", name, claims)
			}
			if life := claims["exp"].(float64) - claims["iat"].(float64); life != 70 || header["typ"] != "client-authentication+jwt" {
				t.Errorf("%s: %v s, %v", name, life, header)
			}
			if kid, _ := header["kid"].(string); (kid == "") != (name == "client_secret_jwt") {
				t.Errorf("%s: kid %q", name, kid)
			}
			if r.Form.Get("client_id") != clientID || r.Form.Has("client_secret") || r.Header.Get("Authorization") != "" {
				t.Errorf("%s: two mechanisms: %v", name, r.Form)
			}
			seen[claims["jti"]] = true
		}
	}
}

func TestJWTBearer(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(ok(expiring("60")))
	path, public := keyPair(t)
	c := anonymous(t, i)
	c.Grant, c.ClientID, c.Scopes = "jwt-bearer", "", []string{"openid"}
	c.GrantAssertion.KeyFile, c.GrantAssertion.Issuer, c.GrantAssertion.Audience, c.GrantAssertion.TTL = path, "sa@x", "tokenURL", 50*time.Minute
	c.GrantAssertion.Claims = map[string]any{"scope": "a<b", "sub": nil}
	_, r := ask(t, i, c)
	header, claims := claimsOf(t, r.Form.Get("assertion"), public)
	if claims["iss"] != "sa@x" || claims["sub"] != nil || claims["scope"] != "a<b" || claims["aud"] != c.TokenURL || header["typ"] != "JWT" {
		t.Errorf("%v %v", header, claims)
	}
	if r.Form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || r.Form.Get("scope") != "openid" || r.Form.Has("client_id") {
		t.Errorf("%v", r.Form)
	}
	given := hostile.JWT(`{"iss":"other"}`)
	c.GrantAssertion = oauth2.GrantAssertion{File: hostile.Write(t, "given", " "+given+"\n")}
	if _, r = ask(t, i, c); r.Form.Get("assertion") != given {
		t.Errorf("%v", r.Form)
	}
	i.Answer(hostile.JSON(400, `{"error":"invalid_grant"}`))
	if _, err := source(t, c).Token(t.Context()); !strings.Contains(daemon.HintOf(err), c.GrantAssertion.File) {
		t.Errorf("%v: %q", err, daemon.HintOf(err))
	}
}

func TestTokenExchange(t *testing.T) {
	i := hostile.New(t, nil)
	const urn = "urn:ietf:params:oauth:token-type:"
	subject := hostile.JWT(fmt.Sprintf(`{"exp":%d}`, in(20*time.Minute)))
	c := anonymous(t, i)
	c.Grant, c.ClientAuth, c.ClientID = "token-exchange", "none", ""
	c.Subject = oauth2.Input{File: hostile.Write(t, "subject", subject+"\n"), Type: "id_token"}
	c.Actor = oauth2.Input{File: hostile.Write(t, "actor", "opaque-actor"), Type: "urn:x:y"}
	c.RequestedType = "jwt"

	i.Answer(ok(`{"access_token":"x","token_type":"n_a","issued_token_type":"` + urn + `jwt"}`))
	token, r := ask(t, i, c)
	want := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {subject}, "subject_token_type": {urn + "id_token"},
		"actor_token": {"opaque-actor"}, "actor_token_type": {"urn:x:y"}, "requested_token_type": {urn + "jwt"},
	}
	if !reflect.DeepEqual(r.Form, want) {
		t.Errorf("got %v\nwant %v", r.Form, want)
	}
	if token.Type != "N_A" || (time.Until(token.ExpiresAt)-20*time.Minute).Abs() > 2*time.Second {
		t.Errorf("without a bound of its own it lives as long as its subject token: %+v", token)
	}
	i.Answer(ok(hostile.Token("x", `"expires_in":7200`)))
	if token, _ = ask(t, i, c); (time.Until(token.ExpiresAt)-2*time.Hour).Abs() > 2*time.Second || len(token.Notices) != 1 {
		t.Errorf("with a bound of its own: %v %q", token.ExpiresAt, token.Notices)
	}
	i.Answer(ok(hostile.Token(leaked, `"issued_token_type":"`+urn+`access_token"`)))
	if _, err := source(t, c).Token(t.Context()); daemon.ClassOf(err) != daemon.ClassMalformed || !strings.Contains(err.Error(), "issued_token_type") {
		t.Errorf("row 28: %v", err)
	}
	for status, body := range map[int]string{401: `{"error":"access_denied"}`, 400: `{"error":"invalid_request"}`} {
		i.Answer(hostile.JSON(status, body))
		if _, err := source(t, c).Token(t.Context()); daemon.ClassOf(err) != daemon.ClassRefused || !strings.Contains(daemon.HintOf(err), c.Subject.File) {
			t.Errorf("%v: %q", err, daemon.HintOf(err))
		}
	}
}

func TestScope(t *testing.T) {
	i := hostile.New(t, nil)
	for name, c := range map[string]struct {
		scope   string
		strict  bool
		class   daemon.Class
		notices int
	}{
		"all, in another order": {`,"scope":"b a c"`, true, "", 0},
		"narrower":              {`,"scope":"a"`, false, "", 1},
		"narrower, strict":      {`,"scope":"a"`, true, daemon.ClassMalformed, 0},
		"another, strict":       {`,"scope":"x y"`, true, daemon.ClassMalformed, 0},
		"silent":                {"", false, "", 0},
		"silent, strict":        {"", true, daemon.ClassMalformed, 0},
	} {
		i.Answer(ok(`{"access_token":"x","token_type":"Bearer"` + c.scope + `}`))
		own := config(t, i)
		own.Scopes, own.StrictScope = []string{"a", "b"}, c.strict
		token, err := source(t, own).Token(t.Context())
		if (err == nil) != (c.class == "") || err != nil && daemon.ClassOf(err) != c.class || len(token.Notices) != c.notices {
			t.Errorf("%s: %v %q", name, err, token.Notices)
		}
	}
}

// mutual is an issuer that asks for a client certificate, and a source that has one.
func mutual(t *testing.T) (*hostile.Issuer, *hostile.CA, oauth2.Config, tls.Certificate) {
	t.Helper()
	var authority *hostile.CA
	i := hostile.New(t, func(c *tls.Config, ca *hostile.CA) {
		authority, c.ClientAuth, c.ClientCAs = ca, tls.RequireAndVerifyClientCert, ca.Pool
	})
	c := anonymous(t, i)
	pair := authority.Issue(t, "client.test", time.Hour)
	c.HTTP.CertFile, c.HTTP.KeyFile = hostile.Files(t, pair)
	return i, authority, c, pair
}

func TestClientCertificate(t *testing.T) {
	i, _, c, pair := mutual(t)
	sum := sha256.Sum256(pair.Certificate[0])
	bound := func(hash string) string {
		return hostile.Token(hostile.JWT(`{"cnf":{"x5t#S256":"`+hash+`"}}`), `"expires_in":60`)
	}
	i.Answer(ok(bound(base64.RawURLEncoding.EncodeToString(sum[:]))))
	token, r := ask(t, i, c)
	if r.Peer == nil || !r.Peer.Equal(pair.Leaf) || r.Form.Get("client_id") != clientID || len(r.Form) != 2 {
		t.Errorf("%v", r)
	}
	if len(token.Notices) != 1 || !strings.Contains(token.Notices[0], "bound") {
		t.Errorf("%q", token.Notices)
	}
	i.Answer(ok(bound("somebody-elses")))
	if _, err := source(t, c).Token(t.Context()); daemon.ClassOf(err) != daemon.ClassMalformed || !strings.Contains(err.Error(), "bound") {
		t.Errorf("%v", err)
	}
}

func TestContract(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(ok(expiring("60")))
	slow := hostile.New(t, nil)
	slow.Answer(hostile.Drip)
	broken := hostile.New(t, nil)
	broken.Answer(hostile.JSON(400, fmt.Sprintf(`{"error":"invalid_request","error_description":%s}`, asJSON(canary+"\n"+canary))))
	redirecting := hostile.New(t, nil)
	redirecting.Answer(redirect(307))
	short := config(t, i)
	short.ClientAuth = "client_secret_jwt"
	short.Issuer, short.ClientSecretFile = i.URL, hostile.Write(t, "short", "too-short-a-secret")
	absent := config(t, i)
	absent.ClientSecretFile += ".gone"
	expired := anonymous(t, i)
	expired.AssertionFile = hostile.Write(t, "assertion", hostile.JWT(`{"exp":1700000000}`))
	c := config(t, i)
	contract.Test(t, contract.Case{
		Source: source(t, c), Inputs: []string{c.ClientSecretFile, c.HTTP.CAFile},
		Slow: source(t, config(t, slow)),
		Failing: map[string]contract.Failing{
			"refused":           {Source: source(t, config(t, broken)), Class: daemon.ClassRefused},
			"redirect":          {Source: source(t, config(t, redirecting)), Class: daemon.ClassConfig},
			"a short secret":    {Source: source(t, short), Class: daemon.ClassConfig},
			"no secret":         {Source: source(t, absent), Class: daemon.ClassConfig},
			"expired assertion": {Source: source(t, expired), Class: daemon.ClassUnavailable},
		},
		Secrets: append(secrets(), "too-short-a-secret"),
	})
	i.Asked()
	for own, want := range map[*oauth2.Config]daemon.Class{&c: "", &short: daemon.ClassConfig, &absent: daemon.ClassConfig, &expired: daemon.ClassUnavailable} {
		// What needs no server is found without one.
		if err := source(t, *own).Check(); (err == nil) != (want == "") || err != nil && failure(t, err).Class != want {
			t.Errorf("Check says %v, want %q", err, want)
		}
	}
	if asked := i.Asked(); len(asked) != 0 {
		t.Errorf("%d requests", len(asked))
	}
}

func TestPrintingHidesSecrets(t *testing.T) {
	i := hostile.New(t, nil)
	s := source(t, config(t, i))
	text, err := json.Marshal(s)
	if err != nil || strings.Contains(fmt.Sprintf("%+v %#v %s", s, s, text), canary) {
		t.Errorf("%s %v", text, err)
	}
}
