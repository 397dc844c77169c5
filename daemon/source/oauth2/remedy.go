// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"github.com/renewd/renewd/daemon"
)

// explain adds the remedy that follows from what was configured.
func (a *attempt) explain(err error) error {
	f, ok := errors.AsType[*daemon.Failure](err)
	if ok && f.Hint == "" {
		f.Hint = a.remedy(f)
	}
	return err
}

func (a *attempt) remedy(f *daemon.Failure) string {
	c := a.config
	if f.Class != daemon.ClassRefused {
		return ""
	}
	about := f.Code == "invalid_grant" || f.Code == "invalid_request" || f.Code == "access_denied" || f.Code == "" && f.Status == http.StatusUnauthorized
	switch {
	case f.Code == "invalid_client", f.Code == "" && f.Status == http.StatusUnauthorized && c.method() != authNone:
		return a.clientRemedy()
	case about && c.Grant == tokenExchange && c.Actor.File != "":
		return fmt.Sprintf("look at the subject token in %q and the actor token in %q: expiry, audience and type", c.Subject.File, c.Actor.File)
	case about && c.Grant == tokenExchange:
		return fmt.Sprintf("look at the subject token in %q: its expiry, audience and type", c.Subject.File)
	case f.Code == "invalid_grant" && c.Grant == jwtBearer:
		return fmt.Sprintf("look at the assertion of %q: clock, aud, iss, kid and algorithm", cmp.Or(c.GrantAssertion.File, c.GrantAssertion.KeyFile))
	case f.Code == "invalid_grant" && c.Grant == refreshToken:
		return "put a new refresh token into refreshTokenFile: this one has expired, was revoked, or was used by another process, which must not share it"
	case f.Code == "invalid_grant" && c.Grant == clientCredentials:
		return "the client is probably registered for DPoP, whose tokens a file cannot carry: turn it off for this client"
	case f.Code == "invalid_request" && a.method() == authBasicRaw && a.files.awkward(c.ClientID):
		return "clientID or secret hold characters that basic encodes and basic_raw does not: try basic"
	}
	known := map[string]string{
		"unauthorized_client":    "allow this client the grant " + c.Grant + " at the issuer",
		"unsupported_grant_type": "the issuer does not know the grant " + c.Grant,
		"invalid_scope":          "compare scopes with what the issuer allows this client",
		"invalid_target":         "compare resource and audience with what the issuer knows; some take only one",
	}[f.Code]
	switch absent := f.Code == "" && (f.Status == http.StatusNotFound || f.Status == http.StatusMethodNotAllowed); {
	case absent && c.TokenURL == "":
		return "the issuer's metadata names this URL: correct it there, or write tokenURL"
	case absent:
		return "see whether this URL is the issuer's token endpoint: correct tokenURL, or write issuer, whose metadata names it"
	}
	return cmp.Or(known, "compare grant, clientAuth and what is sent besides with what the issuer's documents ask of this client")
}

// clientRemedy lists what issuers answer alike.
func (a *attempt) clientRemedy() string {
	switch method := a.method(); method {
	case authKey, authSecretJWT:
		return "issuers answer alike to all that is wrong with an assertion: compare clock, aud, kid, algorithm and the registered key or secret"
	case authFile:
		return fmt.Sprintf("compare iss, sub and aud of the assertion in %q with what the issuer expects", a.config.AssertionFile)
	case authTLS:
		return "register the certificate of http.certFile for this client"
	case authBasic:
		if a.files.awkward(a.config.ClientID) {
			return "compare clientID and secret; some servers do not decode what basic encodes (RFC 6749 §2.3.1): then basic_raw or post"
		}
	case authBasicRaw:
		if a.files.awkward(a.config.ClientID) {
			return "compare clientID and secret; they hold characters that basic encodes and basic_raw does not"
		}
	}
	return "compare clientID, secret and clientAuth with the registration of the client"
}
