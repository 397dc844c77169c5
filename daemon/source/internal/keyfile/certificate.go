// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package keyfile

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/input"
)

// Certificate is what a token says of the certificate of its key.
type Certificate struct {
	Thumbprint string    // header member x5t#S256 (RFC 7515 §4.1.8)
	NotAfter   time.Time // the last second in which it is valid
}

// Certificate reads a PEM file anew and returns what is needed of the certificate for k, wherever it stands in a chain.
// Errors are as those of File.Load; one whose time is over at now is an error.
func (k *Key) Certificate(path string, now time.Time) (Certificate, error) {
	const what = "certificate file"
	data, err := input.Read(what, path)
	if err != nil {
		return Certificate{}, err
	}
	fail := func(err error, hint string) (Certificate, error) {
		return Certificate{}, &daemon.Failure{Class: daemon.ClassConfig, Err: fmt.Errorf("%s %q: %w", what, path, err), Hint: hint}
	}
	count := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" { // the key may stand in the same file
			continue
		}
		count++
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fail(errors.New("has a damaged certificate"), fmt.Sprintf("see what it is: openssl x509 -in %q -noout -text", path))
		}
		if !k.belongsTo(c) {
			continue
		}
		if now.After(c.NotAfter) {
			return fail(fmt.Errorf("expired at %s", c.NotAfter.UTC().Format(time.RFC3339)), "renew the certificate")
		}
		sum := sha256.Sum256(c.Raw)
		return Certificate{Thumbprint: base64.RawURLEncoding.EncodeToString(sum[:]), NotAfter: c.NotAfter.UTC()}, nil
	}
	if count == 0 {
		return fail(errors.New("has no certificate in PEM"), "convert it: openssl x509 -inform DER")
	}
	return fail(errors.New("is not for the key in the key file"), "key and certificate must be of one pair; both are read anew when either changes")
}

// belongsTo compares public halves: a token signed by another key would name a certificate that cannot verify it.
func (k *Key) belongsTo(c *x509.Certificate) bool {
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.public != nil && public.Equal(k.public)
}
