// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package sign is a source that signs a JWT (RFC 7519) with a key on disk. It writes header and claims itself, so that
// their types and order are the configured ones, and asks nobody. It does not look after the key: who verifies must
// know its public half beforehand.
package sign

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/keyfile"
)

var (
	_ daemon.Source = (*Source)(nil)
	_ daemon.Inputs = (*Source)(nil)
)

// Source signs tokens. Get one from New.
type Source struct {
	Rand io.Reader // of jti; nil: crypto/rand.Reader

	config  Config
	key     keyfile.File
	members []byte // the configured claims, as JSON
}

// New checks the text of c and opens nothing. The error joins a *daemon.FieldError for each mistake.
func New(c Config) (*Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	members, err := c.members()
	if err != nil {
		return nil, &daemon.FieldError{Field: "claims", Problem: "cannot be written as JSON", Help: "use texts, numbers, true, false, null, lists and mappings"}
	}
	key := keyfile.File{Path: c.KeyFile, Algorithm: c.Algorithm, KeyID: c.KeyID}
	return &Source{config: c, key: key, members: members}, nil
}

// Inputs returns the key file and, if there is one, the certificate file.
func (s *Source) Inputs() []string {
	if s.config.CertFile == "" {
		return []string{s.config.KeyFile}
	}
	return []string{s.config.KeyFile, s.config.CertFile}
}

// Lifetime returns the configured ttl. A token may live shorter: until its certificate expires.
func (s *Source) Lifetime() time.Duration { return s.config.TTL }

// PublicKeys reads the key file and returns what verifiers need: a list of one JWK (RFC 7517), nil for HMAC. Errors are
// those of Token.
func (s *Source) PublicKeys() ([]json.RawMessage, error) { return s.key.PublicKeys() }

// Check reads what an attempt would read, and signs nothing. Errors are those of Token.
func (s *Source) Check() error {
	_, _, err := s.open(time.Now())
	return err
}

// Token reads key and certificate anew and signs. Errors are a *daemon.Failure: ClassConfig, or ClassUnavailable if ctx
// is over or a file is being written.
func (s *Source) Token(ctx context.Context) (daemon.Token, error) {
	now := time.Now().Round(0)
	if ctx.Err() != nil {
		return daemon.Token{}, &daemon.Failure{Class: daemon.ClassUnavailable, Err: fmt.Errorf("sign: %w", ctx.Err())}
	}
	key, certificate, err := s.open(now)
	if err != nil {
		return daemon.Token{}, err
	}
	return s.sign(key, certificate, now)
}

// open reads key and certificate; without a certFile that is the zero Certificate.
func (s *Source) open(now time.Time) (key *keyfile.Key, certificate keyfile.Certificate, err error) {
	if key, err = s.key.Load(); err == nil && s.config.CertFile != "" {
		certificate, err = key.Certificate(s.config.CertFile, now)
	}
	if err != nil {
		err = fmt.Errorf("sign: %w", err)
	}
	return key, certificate, err
}

// sign is the part of an attempt that follows the reading of the files.
func (s *Source) sign(key *keyfile.Key, certificate keyfile.Certificate, now time.Time) (daemon.Token, error) {
	fail := func(hint string, err error) (daemon.Token, error) {
		return daemon.Token{}, &daemon.Failure{Class: daemon.ClassConfig, Err: fmt.Errorf("sign: %w", err), Hint: hint}
	}
	expires := time.Unix(now.Add(s.config.TTL).Unix(), 0).UTC()
	if certificate.Thumbprint != "" && certificate.NotAfter.Before(expires) {
		expires = certificate.NotAfter
	}
	if !expires.After(now) {
		return fail("renew the certificate", fmt.Errorf("certificate file %q: expires at %s", s.config.CertFile, expires.Format(time.RFC3339)))
	}
	header, err := s.header(key.ID(), certificate.Thumbprint)
	if err != nil {
		return fail("", err)
	}
	payload, err := s.payload(now, expires)
	if err != nil {
		return fail("", err)
	}
	text, err := key.Sign(header, payload)
	if err != nil {
		return daemon.Token{}, fmt.Errorf("sign: %w", err)
	}
	return daemon.Token{
		Value:     daemon.NewSecret(text),
		Type:      "Bearer",
		IssuedAt:  now,
		ExpiresAt: expires,
		Notices:   key.Notices(),
	}, nil
}

func (s *Source) header(keyID, thumbprint string) ([]byte, error) {
	return encode(struct {
		Algorithm  string `json:"alg"`
		Type       string `json:"typ"`
		KeyID      string `json:"kid,omitempty"`
		Thumbprint string `json:"x5t#S256,omitempty"`
	}{s.config.Algorithm, s.config.Type, keyID, thumbprint})
}

// payload appends the claims that are new in each token to the configured ones. NumericDates are integers: gRPC refuses
// fractions.
func (s *Source) payload(now, expires time.Time) ([]byte, error) {
	begin := now.Add(-s.config.Backdate).Unix()
	out := append([]byte{'{'}, s.members...)
	for _, name := range []string{"iat", "nbf"} {
		if s.writes(name) {
			out = append(strconv.AppendInt(append(out, `"`+name+`":`...), begin, 10), ',')
		}
	}
	out = strconv.AppendInt(append(out, `"exp":`...), expires.Unix(), 10)
	if s.writes("jti") {
		random := s.Rand
		if random == nil {
			random = rand.Reader
		}
		var id [16]byte
		if _, err := io.ReadFull(random, id[:]); err != nil {
			return nil, fmt.Errorf("read random bytes for jti: %w", err)
		}
		out = append(base64.RawURLEncoding.AppendEncode(append(out, `,"jti":"`...), id[:]), '"')
	}
	return append(out, '}'), nil
}

// writes reports whether a claim of ours is wanted: New lets only null stand in its place, which says no.
func (s *Source) writes(name string) bool {
	_, given := s.config.Claims[name]
	return !given
}
