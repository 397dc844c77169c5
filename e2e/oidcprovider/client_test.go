// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oidcprovider

import (
	"crypto/rand"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The fields of oauth2 that authenticate a client. SERVER stands for the server's folder.
const (
	awkward   = `clientID: "svc:a/b c", clientSecretFile: SERVER/secrets/awkward`
	plain     = `clientID: plain, clientAuth: post, clientSecretFile: SERVER/secrets/plain`
	rotating  = `clientID: rotating, clientAuth: basic, clientSecretFile: DIR/secret`
	es256     = `clientID: key-es256, assertion: {keyFile: SERVER/es256.pem}`
	ps256     = `clientID: key-ps256, assertion: {keyFile: SERVER/ps256.pem, algorithm: PS256}`
	secretJWT = `clientID: secret-jwt, clientAuth: client_secret_jwt, clientSecretFile: SERVER/secrets/long`
	mutualTLS = `clientID: mtls, clientAuth: tls_client_auth`
	refresher = `clientID: refresher, clientSecretFile: SERVER/secrets/plain, grant: refresh_token, refreshTokenFile: DIR/seed, stateFile: DIR/state`

	api   = `, resource: ["https://api.example.com"]`
	short = `, resource: ["https://short.example.com"]` // tokens that live 20 s
)

// TestAccepted publishes a token by each way to authenticate.
func TestAccepted(t *testing.T) {
	p := provider(t)
	good := judge(t, p)
	for name, fields := range map[string]string{
		"basic with an awkward id and secret":    awkward,
		"basic as it is said":                    awkward + `, clientAuth: basic`,
		"post":                                   plain,
		"private_key_jwt by ES256":               es256,
		"private_key_jwt by PS256":               ps256,
		"private_key_jwt for the token endpoint": `clientID: key-es256, assertion: {keyFile: SERVER/es256.pem, audience: tokenURL}`,
		"client_secret_jwt":                      secretJWT,
		"an unknown scope":                       plain + `, scopes: [nonsense]`,
		"a known scope":                          plain + `, scopes: [read], strictScope: true`,
	} {
		t.Run(name, func(t *testing.T) {
			client := clientOf(fields)
			before := asked(t, p)
			opaque := try(t, p, fields, "")
			opaque.Do(0, "check", "--fetch")
			opaque.Do(0, "once")
			if token := opaque.Token(); strings.Contains(token, ".") || token == "" {
				t.Errorf("%q is not the opaque token of a request without resource", token)
			}
			if l := opaque.Life(); l > 90*time.Second || l < 88*time.Second {
				t.Errorf("a token of 90 s is taken to live %v", l)
			}
			bound := try(t, p, fields+api, "")
			bound.Do(0, "once")
			bound.Do(0, "once") // adopts
			if err := good(bound.Token()); err != nil {
				t.Error(err)
			}
			parsed, _, err := jwt.NewParser().ParseUnverified(bound.Token(), jwt.MapClaims{})
			if err != nil {
				t.Fatal(err)
			}
			claims := parsed.Claims.(jwt.MapClaims)
			if parsed.Header["typ"] != "at+jwt" || claims["aud"] != "https://api.example.com" ||
				claims["exp"].(float64)-claims["iat"].(float64) != 300 || claims["client_id"] != client {
				t.Errorf("the token is %v %v", parsed.Header, claims)
			}
			if answers := asked(t, p)[len(before):]; len(answers) != 3 {
				t.Errorf("the server was asked %d times, want 3: %v", len(answers), answers)
			}
			bound.Await("no connection is left open", func() bool { return p.Connections() == 0 })
		})
	}
}

// TestMetadataOfRFC8414 finds the metadata of a server that is no OpenID provider.
func TestMetadataOfRFC8414(t *testing.T) {
	p := provider(t)
	if err := p.Write("rfc8414", nil); err != nil {
		t.Fatal(err)
	}
	if answer, err := p.Client.Get(p.Issuer + "/.well-known/openid-configuration"); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Fatalf("the other metadata is there: %v %v", answer, err)
	}
	r := try(t, p, plain+api, "")
	r.Do(0, "check", "--fetch")
	r.Do(0, "once")
	if err := judge(t, p)(r.Token()); err != nil {
		t.Error(err)
	}
}

// clientOf returns the id in the fields.
func clientOf(fields string) string {
	_, id, _ := strings.Cut(fields, "clientID: ")
	if quoted, ok := strings.CutPrefix(id, `"`); ok {
		id, _, _ = strings.Cut(quoted, `"`)
		return id
	}
	id, _, _ = strings.Cut(id, ",")
	return id
}

// TestRefused holds the exit code, what the server answered, and the remedy against each other.
func TestRefused(t *testing.T) {
	p := provider(t)
	for name, c := range map[string]struct {
		fields string
		code   int
		answer string // "" means that the token endpoint was not asked
		says   string
	}{
		"basic_raw with an awkward secret": {awkward + `, clientAuth: basic_raw`, 77, "invalid_request", "try basic"},
		"wrong secret":                     {`clientID: rotating, clientSecretFile: SERVER/secrets/plain`, 77, "invalid_client", "compare clientID, secret and clientAuth"},
		"unknown client":                   {`clientID: nobody, clientSecretFile: SERVER/secrets/plain`, 77, "invalid_client", "compare clientID"},
		"mechanism of another client":      {strings.Replace(awkward, ",", ", clientAuth: client_secret_jwt,", 1), 77, "invalid_client", "issuers answer alike"},
		"two resources":                    {plain + `, resource: ["https://api.example.com", "https://short.example.com"]`, 77, "invalid_target", "take only one"},
		"relative resource":                {plain + `, resource: [api]`, 78, "", "resource"},
		"audience with a slash too many":   {`clientID: key-es256, assertion: {keyFile: SERVER/es256.pem, audience: "ISSUER/"}`, 77, "invalid_client", "issuers answer alike"},
		"unknown kid":                      {`clientID: key-es256, assertion: {keyFile: SERVER/es256.pem, keyID: nobody}`, 77, "invalid_client", "issuers answer alike"},
		"RS256 against PS256":              {`clientID: key-ps256, assertion: {keyFile: SERVER/ps256.pem, algorithm: RS256}`, 77, "invalid_client", "issuers answer alike"},
		"key of another":                   {`clientID: key-es256, assertion: {keyFile: DIR/other.pem}`, 77, "invalid_client", "issuers answer alike"},
		"ES256 with an RSA key":            {`clientID: key-es256, assertion: {keyFile: SERVER/ps256.pem}`, 78, "", "ES256"},
		"no certificate":                   {`clientID: mtls, clientAuth: none`, 77, "invalid_client", ""},
		"two mechanisms":                   {plain + `, parameters: {client_secret: x}`, 78, "", "client_secret"},
		"a host that was not allowed":      {mutualTLS + `, http: {caFile: SERVER/ca.pem, certFile: SERVER/client.pem, keyFile: SERVER/client-key.pem}`, 78, "", "write allowedHosts"},
		"strictScope":                      {plain + `, scopes: [nonsense], strictScope: true`, 1, "ok", "scope"},
		"DPoP client":                      {`clientID: dpop, clientSecretFile: SERVER/secrets/plain`, 77, "invalid_grant", "DPoP"},
		"another issuer in the metadata":   {plain + `, issuer: "ISSUER/"`, 78, "", "issuer"},
		"a grant the client may not use":   {`clientID: refresher, clientSecretFile: SERVER/secrets/plain`, 77, "invalid_request", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(asked(t, p))
			r := try(t, p, c.fields, "")
			other, err := NewAuthority("other")
			r.Must(err)
			_, key, err := other.issue("other")
			r.Must(err)
			r.Write("other.pem", string(key))
			said := r.Do(c.code, "check", "--fetch")
			if !strings.Contains(said, c.says) {
				t.Errorf("%q is not said:\n%s", c.says, said)
			}
			answers := asked(t, p)[before:]
			switch {
			case c.answer == "" && len(answers) > 0:
				t.Errorf("the token endpoint was asked: %+v", answers)
			case c.answer != "" && (len(answers) != 1 || answers[0].Error != strings.TrimPrefix(c.answer, "ok")):
				t.Errorf("the server answered %+v, want %s", answers, c.answer)
			}
			if _, err := os.Stat(r.Path("out/token")); !os.IsNotExist(err) {
				t.Errorf("a token was published: %v", err)
			}
		})
	}
}

// signed is an assertion of the client key-es256 with changed claims; nil leaves one out.
func signed(t *testing.T, p *Provider, change jwt.MapClaims) string {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(p.Dir, "es256.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwt.ParseECPrivateKeyFromPEM(pem)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	claims := jwt.MapClaims{"iss": "key-es256", "sub": "key-es256", "aud": p.Issuer, "iat": now - 10, "exp": now + 60, "jti": rand.Text()}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	assertion, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return assertion
}

// TestAssertionFile sends assertions that somebody else signed.
func TestAssertionFile(t *testing.T) {
	p := provider(t)
	now := time.Now().Unix()
	for name, c := range map[string]struct {
		change jwt.MapClaims
		first  int // exit code
		second int // of the same assertion again
		asked  int
	}{
		"good and then again": {nil, 0, 77, 2}, // the server takes a jti only once
		"no jti":              {jwt.MapClaims{"jti": nil}, 77, 77, 2},
		"expired":             {jwt.MapClaims{"exp": now - 10}, 69, 69, 0}, // is not even sent
		"nbf ahead":           {jwt.MapClaims{"nbf": now + 60}, 77, 77, 2},
		"other audience":      {jwt.MapClaims{"aud": "https://other.example.com"}, 77, 77, 2},
	} {
		t.Run(name, func(t *testing.T) {
			assertion := signed(t, p, c.change)
			before := len(asked(t, p))
			r := try(t, p, `clientID: key-es256, assertionFile: DIR/assertion`, "")
			r.Write("assertion", assertion)
			r.Secrets = append(r.Secrets, assertion)
			said := r.Do(c.first, "check", "--fetch")
			if c.first != 0 && !strings.Contains(said, r.Path("assertion")) {
				t.Errorf("the assertion's file is not named:\n%s", said)
			}
			r.Do(c.second, "check", "--fetch")
			if n := len(asked(t, p)) - before; n != c.asked {
				t.Errorf("the token endpoint was asked %d times, want %d", n, c.asked)
			}
		})
	}
}
