// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/input"
)

// Client says how the servers of one source are asked. It holds no connection and no file, and is safe for concurrent
// use.
type Client struct {
	HTTP     HTTP
	Version  string // of renewd, for User-Agent; may be empty
	Endpoint string // of every Failure: what HostOf returns of the configured URL
}

// Attempt is a Client with its files as they are now. It serves the requests of one attempt.
type Attempt struct {
	client Client
	tls    *tls.Config
	pair   *tls.Certificate // of the client; empty: none
}

// Open reads CA and client certificate anew and proves them usable, before anything is sent. Errors are a
// *daemon.Failure of ClassConfig, or ClassUnavailable for a file that is being written.
func (c Client) Open() (*Attempt, error) {
	a := &Attempt{
		client: c, pair: &tls.Certificate{},
		tls: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.HTTP.ServerName},
	}
	if c.HTTP.CAFile != "" {
		pool, err := readPool(c.HTTP.CAFile)
		if err != nil {
			return nil, err
		}
		a.tls.RootCAs = pool
	}
	if c.HTTP.CertFile == "" {
		return a, nil
	}
	pair, err := c.HTTP.readPair(time.Now())
	if err != nil {
		return nil, err
	}
	a.pair = pair
	return a, nil
}

// Thumbprint returns the x5t#S256 of the client certificate (RFC 8705 §3.1), or "" without one.
func (a *Attempt) Thumbprint() string {
	if !a.hasCertificate() {
		return ""
	}
	sum := sha256.Sum256(a.pair.Leaf.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (a *Attempt) hasCertificate() bool { return a.pair != nil && a.pair.Leaf != nil }

// readPool takes the file whole or not at all: with fewer authorities than meant, the reason of a refusal would be hard
// to see.
func readPool(path string) (*x509.CertPool, error) {
	data, err := input.Read("CA file", path)
	if err != nil {
		return nil, err
	}
	fail := func(problem string) (*x509.CertPool, error) {
		return nil, unusable(fmt.Errorf("CA file %q: %s", path, problem), "see what it is: openssl x509 -noout -text -in FILE")
	}
	pool, count := x509.NewCertPool(), 0
	block, rest := pem.Decode(data)
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fail("has a damaged certificate")
		}
		pool.AddCert(certificate)
		count++
	}
	switch {
	case bytes.Contains(rest, []byte("-----BEGIN")):
		return fail("has a damaged PEM block")
	case count == 0:
		return fail("has no certificate in PEM")
	}
	return pool, nil
}

// readPair reads certificate and key, which are replaced one after the other when they are rotated.
func (h HTTP) readPair(now time.Time) (*tls.Certificate, error) {
	certificate, err := input.Read("certificate file", h.CertFile)
	if err != nil {
		return nil, err
	}
	key, err := input.Read("key file", h.KeyFile)
	if err != nil {
		return nil, err
	}
	fail := func(hint, format string, args ...any) (*tls.Certificate, error) {
		files := fmt.Sprintf("certificate file %q and key file %q: ", h.CertFile, h.KeyFile)
		return nil, unusable(fmt.Errorf(files+format, args...), hint)
	}
	// The error may tell numbers read from the key.
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return fail("both must be PEM, unencrypted and of one pair; a change of either triggers an attempt", "are not a pair")
	}
	leaf := pair.Leaf
	if now.After(leaf.NotAfter) {
		return fail("renew the certificate", "the certificate expired at %s, and the clock says %s", stamp(leaf.NotAfter), stamp(now))
	}
	if now.Before(leaf.NotBefore) {
		return fail("look at the clocks", "the certificate is not valid before %s, and the clock says %s", stamp(leaf.NotBefore), stamp(now))
	}
	return &pair, nil
}

func unusable(err error, hint string) error {
	return &daemon.Failure{Class: daemon.ClassConfig, Err: err, Hint: hint}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
