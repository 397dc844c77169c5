// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package fakes

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// OpenBao replays OpenBao 2.5.5 with a jwt method on auth/jwt, of which the role orders takes the audience bao, and the OIDC
// role billing, which only a login with that role's policy may read.
type OpenBao struct {
	counter
	key Key
	TTL time.Duration // of logins

	mu     sync.Mutex
	sealed bool
	policy bool // the login's policy allows the OIDC token
	alive  map[string]time.Time
}

// StartOpenBao starts a server that verifies JWTs by the key, which signs those of the OIDC role too. Stop ends it.
func StartOpenBao(key Key, ttl time.Duration) *OpenBao {
	b := &OpenBao{key: key, TTL: ttl, alive: map[string]time.Time{}}
	b.serve(b)
	return b
}

// URL returns the address.
func (b *OpenBao) URL() string { return b.server.URL }

// Stop ends the server.
func (b *OpenBao) Stop() { b.server.Close() }

// Set seals or unseals the server, and takes the policy from its role or gives it.
func (b *OpenBao) Set(sealed, policy bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed, b.policy = sealed, policy
}

// Good says whether a token is one of a login that has not expired.
func (b *OpenBao) Good(token string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if end, ok := b.alive[token]; !ok || time.Now().After(end) {
		return fmt.Errorf("permission denied: it is known: %v, and ended at %v", ok, end)
	}
	return nil
}

// ServeHTTP answers as the API does.
func (b *OpenBao) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	b.mu.Lock()
	sealed, policy := b.sealed, b.policy
	b.mu.Unlock()
	switch {
	case sealed:
		answer(w, http.StatusServiceUnavailable, `{"errors":["Vault is sealed"]}`+"\n")
	case q.Method == http.MethodPost && q.URL.Path == "/v1/auth/jwt/login":
		b.count()
		b.login(w, q)
	case q.Method == http.MethodGet && q.URL.Path == "/v1/identity/oidc/token/billing" && policy:
		b.identity(w, q)
	default: // no policy, no mount, no such path: all the same
		answer(w, http.StatusForbidden, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`+"\n")
	}
}

func (b *OpenBao) login(w http.ResponseWriter, q *http.Request) {
	var sent struct{ Role, JWT string }
	if err := json.NewDecoder(q.Body).Decode(&sent); err != nil {
		answer(w, http.StatusBadRequest, `{"errors":["failed to parse JSON input"]}`+"\n")
		return
	}
	if sent.Role != "orders" {
		answer(w, http.StatusBadRequest, `{"errors":["role could not be found"]}`+"\n")
		return
	}
	// Measured: a JWT is taken 30 seconds after its exp.
	parser := jwt.NewParser(jwt.WithAudience("bao"), jwt.WithLeeway(150*time.Second), jwt.WithExpirationRequired())
	if _, err := parser.Parse(sent.JWT, b.key.public); err != nil {
		answer(w, http.StatusBadRequest, `{"errors":["error validating token: invalid audience (aud) claim or expired"]}`+"\n")
		return
	}
	var random [18]byte
	_, _ = rand.Read(random[:])
	token := "s." + base64.RawURLEncoding.EncodeToString(random[:])
	b.mu.Lock()
	b.alive[token] = time.Now().Add(b.TTL)
	b.mu.Unlock()
	answer(w, http.StatusOK, fmt.Sprintf(`{"request_id":"0b7bdf1c-6a1d-9bb6-4b3e-9e6d3ac1ed4b","lease_id":"","renewable":false,"lease_duration":0,"data":null,`+
		`"wrap_info":null,"warnings":null,"auth":{"client_token":%q,"accessor":"x9uVzFqtYKrhOZKkTbyFM4pP","policies":["default","orders"],`+
		`"token_policies":["default","orders"],"metadata":{"role":"orders"},"lease_duration":%d,"renewable":true,`+
		`"entity_id":"7d2e3179-f69b-450c-7179-ac8ee8bd8ca9","token_type":"service","orphan":true,"mfa_requirement":null,"num_uses":0}}`+"\n", token, int(b.TTL.Seconds())))
}

func (b *OpenBao) identity(w http.ResponseWriter, q *http.Request) {
	if err := b.Good(q.Header.Get("X-Vault-Token")); err != nil {
		answer(w, http.StatusForbidden, `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`+"\n")
		return
	}
	now := time.Now()
	token := b.key.Sign(jwt.MapClaims{"iss": b.URL() + "/v1/identity/oidc", "aud": "billing-client", "sub": "7d2e3179-f69b-450c-7179-ac8ee8bd8ca9",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "namespace": "root"}, nil)
	answer(w, http.StatusOK, fmt.Sprintf(`{"request_id":"d0a6c2e1-55ab-ad6c-4a2b-0a8a3a4ba4a5","lease_id":"","renewable":false,"lease_duration":0,`+
		`"data":{"client_id":"billing-client","token":%q,"ttl":3600},"wrap_info":null,"warnings":null,"auth":null}`+"\n", token))
}
