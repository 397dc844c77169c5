// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package fakes

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Dex replays dex v2.45 with the client orders, whose secret is DexSecret, and the connector k8s, for token exchange.
type Dex struct {
	counter
	key  Key
	Life time.Duration // of tokens
}

// DexSecret is awkward on purpose.
const DexSecret = "p@ss w0rd:/+%&=?#\"'"

// StartDex starts a server that verifies subject tokens by the key, and signs with it. Stop ends it.
func StartDex(key Key, life time.Duration) *Dex {
	d := &Dex{key: key, Life: life}
	d.serve(d)
	return d
}

// Issuer returns the issuer, which has a path.
func (d *Dex) Issuer() string { return d.server.URL + "/dex" }

// Stop ends the server.
func (d *Dex) Stop() { d.server.Close() }

// ServeHTTP answers as dex does.
func (d *Dex) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	switch q.URL.Path {
	case "/dex/.well-known/openid-configuration":
		answer(w, http.StatusOK, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q,"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"]}`,
			d.Issuer(), d.Issuer()+"/token"))
	case "/dex/token":
		d.count()
		status, body := d.token(q)
		answer(w, status, body)
	default:
		http.NotFound(w, q)
	}
}

func (d *Dex) token(q *http.Request) (status int, body string) {
	refuse := func(status int, code, text string) (int, string) {
		return status, fmt.Sprintf(`{"error":%q,"error_description":%q}`, code, text)
	}
	id, secret, _ := q.BasicAuth()
	id, err := url.QueryUnescape(id)
	if err == nil {
		secret, err = url.QueryUnescape(secret)
	}
	if err != nil || id != "orders" || secret != DexSecret {
		return refuse(http.StatusUnauthorized, "invalid_client", "Invalid client credentials.") // without WWW-Authenticate
	}
	subject, typ := q.PostFormValue("subject_token"), q.PostFormValue("subject_token_type")
	switch {
	case q.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange":
		return refuse(http.StatusBadRequest, "unsupported_grant_type", "")
	case typ != "urn:ietf:params:oauth:token-type:id_token" && typ != "urn:ietf:params:oauth:token-type:access_token":
		return refuse(http.StatusBadRequest, "request_not_supported", "Invalid subject_token_type.")
	case subject == "":
		return refuse(http.StatusBadRequest, "invalid_request", "Missing subject_token")
	case q.PostFormValue("connector_id") != "k8s":
		return refuse(http.StatusBadRequest, "invalid_request", "Requested connector does not exist.")
	}
	if _, err := jwt.NewParser(jwt.WithExpirationRequired()).Parse(subject, d.key.public); err != nil { // whatever its audience
		return refuse(http.StatusUnauthorized, "access_denied", "")
	}
	now := time.Now()
	token := d.key.Sign(jwt.MapClaims{"iss": d.Issuer(), "sub": "Cg", "aud": "orders", "iat": now.Unix(), "exp": now.Add(d.Life).Unix()},
		func(header map[string]any) { delete(header, "typ") })
	return http.StatusOK, fmt.Sprintf(`{"access_token":%q,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"bearer","expires_in":%d}`,
		token, int(d.Life.Seconds())-1)
}
