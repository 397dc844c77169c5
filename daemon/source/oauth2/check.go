// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
	"github.com/renewd/renewd/daemon/source/internal/keyfile"
)

// checker collects the mistakes that the text of a Config alone shows.
type checker struct {
	Config
	errs []error
}

func (c *checker) wrong(field, problem, help string) {
	c.errs = append(c.errs, &daemon.FieldError{Field: field, Problem: problem, Help: help})
}

// check returns every mistake.
func (c Config) check() error {
	k := &checker{Config: c, errs: c.HTTP.Check("http")}
	k.servers()
	k.clientAuth()
	k.grant()
	k.parameters()
	return errors.Join(k.errs...)
}

func (c *checker) servers() {
	if c.Issuer == "" && c.TokenURL == "" {
		c.wrong("", "names no server", "give issuer, whose metadata names the token endpoint, or tokenURL")
	}
	// As an audience alone an issuer may be any text.
	if c.Issuer != "" && c.TokenURL == "" {
		c.errs = append(c.errs, c.HTTP.CheckURL("issuer", c.Issuer))
		if strings.Contains(c.Issuer, "?") {
			c.wrong("issuer", "holds a query", "an issuer has none (RFC 8414 §2)")
		}
	}
	if c.TokenURL != "" {
		c.errs = append(c.errs, c.HTTP.CheckURL("tokenURL", c.TokenURL))
	}
	if len(c.AllowedHosts) > 0 && c.TokenURL != "" {
		c.wrong("allowedHosts", "is of no use with tokenURL", "remove it")
	}
	for i, host := range c.AllowedHosts {
		if u, err := url.Parse("https://" + host); err != nil || u.Host != host || u.Hostname() == "" {
			c.wrong(fmt.Sprintf("allowedHosts[%d]", i), "is no host", "for example login.example.com or login.example.com:8443")
		}
	}
}

// method returns the mechanism that auto stands for; with a secret it is basic until the metadata says otherwise.
func (c Config) method() string {
	switch {
	case c.ClientAuth != authAuto:
		return c.ClientAuth
	case c.ClientSecretFile != "":
		return authBasic
	case c.Assertion.KeyFile != "":
		return authKey
	case c.AssertionFile != "":
		return authFile
	case c.HTTP.CertFile != "" && c.ClientID != "":
		return authTLS
	}
	return authNone
}

// clientAuth demands what the one mechanism needs and refuses what belongs to another: two of them are an error at many
// servers (RFC 6749 §2.3).
func (c *checker) clientAuth() {
	all := []string{authAuto, authBasic, authBasicRaw, authPost, authKey, authSecretJWT, authFile, authTLS, authNone}
	if !slices.Contains(all, c.ClientAuth) {
		c.wrong("clientAuth", "is unknown", "one of "+strings.Join(all, ", "))
		return
	}
	method := c.method()
	if method == authNone && c.ClientAuth == authAuto && c.Grant == clientCredentials {
		c.wrong("clientAuth", "finds nothing to prove who the client is", "give clientSecretFile, assertion.keyFile, assertionFile or http.certFile, or write clientAuth: none")
	}
	secret := slices.Contains([]string{authBasic, authBasicRaw, authPost, authSecretJWT}, method)
	if c.ClientID == "" && method != authFile && method != authNone {
		c.wrong("clientID", "is missing", method+" needs it")
	}
	for _, f := range []struct {
		field, value string
		needed       bool
	}{
		{"clientSecretFile", c.ClientSecretFile, secret},
		{"assertion.keyFile", c.Assertion.KeyFile, method == authKey},
		{"assertionFile", c.AssertionFile, method == authFile},
	} {
		if f.needed && f.value == "" {
			c.wrong(f.field, "is missing", "clientAuth: "+method+" needs it")
		} else if !f.needed && f.value != "" {
			c.wrong(f.field, "is of no use with clientAuth: "+method, "a client proves itself in one way: remove it, or choose another clientAuth")
		}
	}
	if method == authTLS && c.HTTP.CertFile == "" {
		c.wrong("http.certFile", "is missing", "clientAuth: tls_client_auth needs it")
	}
	if method == authFile && c.AssertionType == "" {
		c.wrong("assertionType", "is empty", jwtBearerAssertion)
	}
	if method == authKey || method == authSecretJWT {
		c.assertion(method)
	}
}

func (c *checker) assertion(method string) {
	a := c.Assertion
	c.signed("assertion.", signed{algorithm: a.Algorithm, keyID: a.KeyID, typ: a.Type, audience: a.Audience, ttl: a.TTL})
	if method == authKey && strings.HasPrefix(a.Algorithm, "HS") {
		c.wrong("assertion.algorithm", "takes a shared secret", "with clientAuth: client_secret_jwt the secret is that of clientSecretFile")
	}
	if method == authSecretJWT && a.CertFile != "" {
		c.wrong("assertion.certFile", "is of no use with clientAuth: "+method, "remove it")
	}
}

// signed checks the fields that both kinds of assertions have.
func (c *checker) signed(prefix string, s signed) {
	if err := keyfile.CheckAlgorithm(prefix+"algorithm", s.algorithm); err != nil {
		c.errs = append(c.errs, err)
	}
	for _, f := range []struct{ field, value, help string }{
		{"keyID", s.keyID, "auto, none or a literal"}, {"type", s.typ, "for example JWT"}, {"audience", s.audience, "issuer, tokenURL or a literal"},
	} {
		if f.value == "" {
			c.wrong(prefix+f.field, "is empty", f.help)
		}
	}
	if s.audience == audienceIssuer && c.Issuer == "" {
		c.wrong(prefix+"audience", "is the issuer, and none is configured", "give issuer, or audience: tokenURL, or the audience itself")
	}
	if s.ttl < 10*time.Second || s.ttl > time.Hour {
		c.wrong(prefix+"ttl", fmt.Sprintf("is %v", s.ttl), "10s to 1h")
	}
}

// grant demands what the grant needs and refuses what belongs to another.
func (c *checker) grant() {
	grants := []string{clientCredentials, refreshToken, jwtBearer, tokenExchange}
	if !slices.Contains(grants, c.Grant) {
		c.wrong("grant", "is unknown", "one of "+strings.Join(grants, ", "))
		return
	}
	g := c.GrantAssertion
	for _, f := range []struct{ field, grant, value string }{
		{"refreshTokenFile", refreshToken, c.RefreshTokenFile}, {"stateFile", refreshToken, c.StateFile},
		{"grantAssertion.file", jwtBearer, g.File}, {"grantAssertion.keyFile", jwtBearer, g.KeyFile},
		{"subject.file", tokenExchange, c.Subject.File}, {"subject.type", tokenExchange, c.Subject.Type},
		{"actor.file", tokenExchange, c.Actor.File}, {"actor.type", tokenExchange, c.Actor.Type},
		{"requestedType", tokenExchange, c.RequestedType},
	} {
		if f.value != "" && c.Grant != f.grant {
			c.wrong(f.field, "is of no use with grant: "+c.Grant, "remove it, or write grant: "+f.grant)
		}
	}
	switch c.Grant {
	case refreshToken:
		c.need("refreshTokenFile", c.RefreshTokenFile)
		c.need("stateFile", c.StateFile)
		if c.StateFile != "" && c.StateFile == c.RefreshTokenFile {
			c.wrong("stateFile", "is refreshTokenFile", "renewd writes the state file; the other is yours")
		}
	case jwtBearer:
		c.grantAssertion(g)
	case tokenExchange:
		c.exchange()
	}
}

func (c *checker) exchange() {
	c.need("subject.file", c.Subject.File)
	c.need("subject.type", c.Subject.Type)
	if (c.Actor.File == "") != (c.Actor.Type == "") {
		c.wrong("actor", "has only one of file and type", "give both or neither (RFC 8693 §2.1)")
	}
	for _, f := range [][2]string{{"subject.type", c.Subject.Type}, {"actor.type", c.Actor.Type}, {"requestedType", c.RequestedType}} {
		if f[1] != "" && tokenType(f[1]) == "" {
			c.wrong(f[0], "is unknown", "access_token, refresh_token, id_token, saml1, saml2, jwt, or a URN")
		}
	}
}

func (c *checker) need(field, value string) {
	if value == "" {
		c.wrong(field, "is missing", "grant: "+c.Grant+" needs it")
	}
}

func (c *checker) grantAssertion(g GrantAssertion) {
	if (g.File == "") == (g.KeyFile == "") {
		c.wrong("grantAssertion", "needs exactly one of file and keyFile", "file is an assertion that somebody else keeps fresh; with keyFile renewd signs one")
		return
	}
	if g.File != "" {
		c.given(g)
		return
	}
	c.signed("grantAssertion.", signed{algorithm: g.Algorithm, keyID: g.KeyID, typ: g.Type, audience: g.Audience, ttl: g.TTL})
	if cmp.Or(g.Issuer, c.ClientID) == "" {
		c.wrong("grantAssertion.iss", "is missing", "give it, or clientID")
	}
	for _, name := range slices.Sorted(maps.Keys(g.Claims)) {
		removed := g.Claims[name] == nil && (name == "sub" || name == "jti")
		if slices.Contains([]string{"iss", "sub", "aud", "iat", "exp", "jti"}, name) && !removed {
			c.wrong("grantAssertion.claims."+name, "is written by renewd", "iss, sub, audience and ttl say what; null leaves out sub or jti")
		} else if _, err := encode(g.Claims[name]); err != nil {
			c.wrong("grantAssertion.claims."+name, "cannot be written as JSON", "use texts, numbers, true, false, null, lists and mappings")
		}
	}
}

// given refuses what would have to be written into an assertion that somebody else has signed.
func (c *checker) given(g GrantAssertion) {
	for _, f := range []struct {
		field string
		set   bool
	}{{"iss", g.Issuer != ""}, {"sub", g.Subject != ""}, {"certFile", g.CertFile != ""}, {"claims", len(g.Claims) > 0}} {
		if f.set {
			c.wrong("grantAssertion."+f.field, "is of no use with file", "remove it: who signs the assertion in the file says what is in it")
		}
	}
}

// parameters checks what goes into the form beside the grant.
func (c *checker) parameters() {
	for i, scope := range c.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			c.wrong(fmt.Sprintf("scopes[%d]", i), "is no scope", "one list element for each scope, without spaces (RFC 6749 §3.3)")
		}
	}
	for i, resource := range c.Resource {
		if u, err := url.Parse(resource); err != nil || !u.IsAbs() || strings.Contains(resource, "#") {
			c.wrong(fmt.Sprintf("resource[%d]", i), "is no absolute URI without a fragment", "for example https://api.example.com (RFC 8707 §2)")
		}
	}
	for i, audience := range c.Audience {
		if audience == "" {
			c.wrong(fmt.Sprintf("audience[%d]", i), "is empty", "name an audience, or leave the element out")
		}
	}
	own := []string{"grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "resource", "audience",
		"refresh_token", "assertion", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type"}
	for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
		if slices.Contains(own, name) {
			c.wrong("parameters."+name, "is sent by renewd", "a parameter may be sent once (RFC 6749 §3.2); it has a field of its own")
		} else if name == "" {
			c.wrong("parameters", "has an empty name", "for example connector_id: ldap")
		}
	}
}

// tokenType returns the URN of a type of RFC 8693 §3, and "" for what is neither a short name nor a URI.
func tokenType(name string) string {
	switch {
	case slices.Contains([]string{"access_token", "refresh_token", "id_token", "saml1", "saml2", "jwt"}, name):
		return "urn:ietf:params:oauth:token-type:" + name
	case strings.Contains(name, ":"):
		return name
	}
	return ""
}

// endpointOf returns what the source's Failures and its Endpoint method name.
func (c Config) endpointOf() string { return endpoint.HostOf(cmp.Or(c.TokenURL, c.Issuer)) }
