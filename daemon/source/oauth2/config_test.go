// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2_test

import (
	"slices"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon/source/internal/contract"
	"github.com/renewd/renewd/daemon/source/oauth2"
)

func TestMistakesAreFoundWithoutFiles(t *testing.T) {
	type c = oauth2.Config
	grant := func(grant string, more func(*c)) func(*c) {
		return func(o *c) {
			if o.Grant = grant; more != nil {
				more(o)
			}
		}
	}
	exchange := func(more func(*c)) func(*c) {
		return grant("token-exchange", func(o *c) {
			o.Subject = oauth2.Input{File: "/s", Type: "jwt"}
			more(o)
		})
	}
	for name, r := range map[string]struct {
		change func(*c)
		want   []string
	}{
		"nothing":                   {func(*c) {}, nil},
		"no server":                 {func(o *c) { o.TokenURL = "" }, []string{""}},
		"both servers":              {func(o *c) { o.Issuer = "anything" }, nil},
		"plain HTTP":                {func(o *c) { o.TokenURL = "http://idp.test/t" }, []string{"tokenURL"}},
		"plain HTTP to loopback":    {func(o *c) { o.TokenURL = "http://127.0.0.1:1/t" }, nil},
		"plain HTTP, allowed":       {func(o *c) { o.TokenURL, o.HTTP.AllowPlainHTTP = "http://idp.test/t", true }, nil},
		"another scheme":            {func(o *c) { o.TokenURL = "ftp://idp.test/t" }, []string{"tokenURL"}},
		"no host":                   {func(o *c) { o.TokenURL = "https:///t" }, []string{"tokenURL"}},
		"userinfo":                  {func(o *c) { o.TokenURL = "https://u:p@idp.test/t" }, []string{"tokenURL"}},
		"fragment":                  {func(o *c) { o.TokenURL = "https://idp.test/t#" }, []string{"tokenURL"}},
		"a credential in the query": {func(o *c) { o.TokenURL = "https://idp.test/t?client_secret=x" }, []string{"tokenURL"}},
		"an ordinary query":         {func(o *c) { o.TokenURL = "https://idp.test/t?api-version=2" }, nil},
		"issuer with a query":       {func(o *c) { o.TokenURL, o.Issuer = "", "https://idp.test/?a=b" }, []string{"issuer"}},
		"hosts with tokenURL":       {func(o *c) { o.AllowedHosts = []string{"a"} }, []string{"allowedHosts"}},
		"hosts": {func(o *c) {
			o.TokenURL, o.Issuer, o.AllowedHosts = "", "https://idp.test", []string{"a:1", "https://a", ""}
		}, []string{"allowedHosts[1]", "allowedHosts[2]"}},
		"unknown grant":         {grant("password", nil), []string{"grant"}},
		"unknown clientAuth":    {func(o *c) { o.ClientAuth = "digest" }, []string{"clientAuth"}},
		"no client":             {func(o *c) { o.ClientSecretFile = "" }, []string{"clientAuth"}},
		"none said":             {func(o *c) { o.ClientSecretFile, o.ClientAuth = "", "none" }, nil},
		"none, and a secret":    {func(o *c) { o.ClientAuth = "none" }, []string{"clientSecretFile"}},
		"no id":                 {func(o *c) { o.ClientID = "" }, []string{"clientID"}},
		"two mechanisms":        {func(o *c) { o.AssertionFile = "/a" }, []string{"assertionFile"}},
		"three mechanisms":      {func(o *c) { o.AssertionFile, o.Assertion.KeyFile = "/a", "/k" }, []string{"assertion.keyFile", "assertionFile"}},
		"post without a secret": {func(o *c) { o.ClientAuth, o.ClientSecretFile = "post", "" }, []string{"clientSecretFile"}},
		"key":                   {func(o *c) { o.ClientSecretFile, o.Assertion.KeyFile, o.Issuer = "", "/k", "i" }, nil},
		"key without an issuer": {func(o *c) { o.ClientSecretFile, o.Assertion.KeyFile = "", "/k" }, []string{"assertion.audience"}},
		"key with everything wrong": {func(o *c) {
			o.ClientSecretFile, o.Assertion = "", oauth2.Assertion{KeyFile: "/k", Algorithm: "none", TTL: time.Second}
		}, []string{"assertion.algorithm", "assertion.audience", "assertion.keyID", "assertion.ttl", "assertion.type"}},
		"key with HS256": {func(o *c) {
			o.ClientSecretFile, o.Issuer, o.Assertion.KeyFile, o.Assertion.Algorithm = "", "i", "/k", "HS256"
		}, []string{"assertion.algorithm"}},
		"secret JWT with a cert":     {func(o *c) { o.ClientAuth, o.Issuer, o.Assertion.CertFile = "client_secret_jwt", "i", "/c" }, []string{"assertion.certFile"}},
		"file without its type":      {func(o *c) { o.ClientSecretFile, o.AssertionFile, o.AssertionType = "", "/a", "" }, []string{"assertionType"}},
		"TLS without a certificate":  {func(o *c) { o.ClientSecretFile, o.ClientAuth = "", "tls_client_auth" }, []string{"http.certFile"}},
		"half a pair":                {func(o *c) { o.HTTP.CertFile = "/c" }, []string{"http.keyFile"}},
		"the other half":             {func(o *c) { o.HTTP.KeyFile = "/c" }, []string{"http.certFile"}},
		"a certificate and a secret": {func(o *c) { o.HTTP.CertFile, o.HTTP.KeyFile = "/c", "/k" }, nil},
		"proxy":                      {func(o *c) { o.HTTP.Proxy = "http://proxy:3128" }, nil},
		"proxy with a password":      {func(o *c) { o.HTTP.Proxy = "http://u:p@proxy:3128" }, []string{"http.proxy"}},
		"proxy with a path":          {func(o *c) { o.HTTP.Proxy = "http://proxy:3128/x" }, []string{"http.proxy"}},
		"proxy of no kind":           {func(o *c) { o.HTTP.Proxy = "socks5://proxy" }, []string{"http.proxy"}},
		"https proxy, serverName":    {func(o *c) { o.HTTP.Proxy, o.HTTP.ServerName = "https://proxy", "x" }, []string{"http.serverName"}},
		"refresh":                    {grant("refresh_token", nil), []string{"refreshTokenFile", "stateFile"}},
		"refresh, one file":          {grant("refresh_token", func(o *c) { o.RefreshTokenFile, o.StateFile = "/a", "/a" }), []string{"stateFile"}},
		"files of another grant":     {func(o *c) { o.RefreshTokenFile, o.RequestedType = "/a", "jwt" }, []string{"refreshTokenFile", "requestedType"}},
		"bearer":                     {grant("jwt-bearer", nil), []string{"grantAssertion"}},
		"bearer with a file":         {grant("jwt-bearer", func(o *c) { o.GrantAssertion.File = "/a" }), nil},
		"bearer with both":           {grant("jwt-bearer", func(o *c) { o.GrantAssertion.File, o.GrantAssertion.KeyFile = "/a", "/k" }), []string{"grantAssertion"}},
		"bearer without an issuer":   {grant("jwt-bearer", func(o *c) { o.GrantAssertion.KeyFile, o.ClientID, o.ClientSecretFile = "/k", "", "" }), []string{"grantAssertion.audience", "grantAssertion.iss"}},
		"bearer's claims": {grant("jwt-bearer", func(o *c) {
			o.Issuer, o.GrantAssertion.KeyFile = "i", "/k"
			o.GrantAssertion.Claims = map[string]any{"exp": 1, "sub": "x", "jti": nil, "ok": 1, "bad": func() {}}
		}), []string{"grantAssertion.claims.bad", "grantAssertion.claims.exp", "grantAssertion.claims.sub"}},
		"exchange":                {grant("token-exchange", nil), []string{"subject.file", "subject.type"}},
		"exchange, half an actor": {exchange(func(o *c) { o.Actor.File = "/a" }), []string{"actor"}},
		"exchange, unknown types": {exchange(func(o *c) { o.Subject.Type, o.RequestedType = "JWT", "x" }), []string{"requestedType", "subject.type"}},
		"scopes":                  {func(o *c) { o.Scopes = []string{"a", "b c", ""} }, []string{"scopes[1]", "scopes[2]"}},
		"resource":                {func(o *c) { o.Resource = []string{"/a", "https://a#b", "urn:x"} }, []string{"resource[0]", "resource[1]"}},
		"audience":                {func(o *c) { o.Audience = []string{"//iam", ""} }, []string{"audience[1]"}},
		"parameters": {func(o *c) {
			o.Parameters = map[string]string{"scope": "a", "client_secret": "b", "connector_id": "c", "": "d"}
		}, []string{"parameters", "parameters.client_secret", "parameters.scope"}},
	} {
		o := oauth2.Default()
		o.TokenURL, o.ClientID, o.ClientSecretFile = "https://idp.test/t", "x", "/secret"
		r.change(&o)
		_, err := oauth2.New(o)
		if got := contract.Fields(t, err); !slices.Equal(got, r.want) {
			t.Errorf("%s: %q, want %q (%v)", name, got, r.want, err)
		}
	}
}
