// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"time"

	"github.com/renewd/renewd/daemon/source/internal/keyfile"
)

// signed is what the two kinds of assertions have in common.
type signed struct {
	algorithm, keyID, typ, audience, certFile string
	ttl                                       time.Duration
}

// signer makes assertions (RFC 7523 §3).
type signer struct {
	key    *keyfile.Key
	header map[string]any
	claims map[string]any // without those that are new in each
	signed
}

// backdate is how far iat lies in the past: issuers refuse what comes from the future.
const backdate = 10 * time.Second

func (c Config) clientSigner(file keyfile.File, now time.Time) (*signer, error) {
	a := c.Assertion
	return newSigner(file, signed{algorithm: file.Algorithm, typ: a.Type, audience: a.Audience, certFile: a.CertFile, ttl: a.TTL},
		map[string]any{"iss": c.ClientID, "sub": c.ClientID}, now)
}

func (c Config) grantSigner(now time.Time) (*signer, error) {
	g := c.GrantAssertion
	issuer := cmp.Or(g.Issuer, c.ClientID)
	own := map[string]any{"iss": issuer, "sub": cmp.Or(g.Subject, issuer)}
	maps.Copy(own, g.Claims)
	return newSigner(keyfile.File{Path: g.KeyFile, Algorithm: g.Algorithm, KeyID: g.KeyID},
		signed{algorithm: g.Algorithm, typ: g.Type, audience: g.Audience, certFile: g.CertFile, ttl: g.TTL}, own, now)
}

func newSigner(file keyfile.File, s signed, own map[string]any, now time.Time) (*signer, error) {
	key, err := file.Load()
	if err != nil {
		return nil, err
	}
	header := map[string]any{"alg": s.algorithm, "typ": s.typ}
	if key.ID() != "" {
		header["kid"] = key.ID()
	}
	if s.certFile != "" {
		certificate, err := key.Certificate(s.certFile, now)
		if err != nil {
			return nil, err
		}
		header["x5t#S256"] = certificate.Thumbprint
	}
	return &signer{key: key, header: header, claims: own, signed: s}, nil
}

// sign makes an assertion for one request: an issuer takes each jti once.
func (s *signer) sign(audiences map[string]string, now time.Time) (string, error) {
	own := maps.Clone(s.claims)
	own["aud"] = cmp.Or(audiences[s.audience], s.audience)
	own["iat"] = now.Add(-backdate).Unix()
	own["exp"] = now.Add(s.ttl).Unix()
	if _, given := own["jti"]; !given {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails, by its documentation
		own["jti"] = base64.RawURLEncoding.EncodeToString(id[:])
	}
	maps.DeleteFunc(own, func(_ string, value any) bool { return value == nil })
	header, err := encode(s.header)
	if err != nil {
		return "", err
	}
	payload, err := encode(own)
	if err != nil {
		return "", err
	}
	return s.key.Sign(header, payload)
}

// audiences are the values of the words that an audience may be.
func (a *attempt) audiences() map[string]string {
	return map[string]string{audienceIssuer: a.config.Issuer, audienceTokenURL: a.target.url}
}

// encode writes value as JSON that escapes no more than it must: issuers compare texts byte by byte.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
