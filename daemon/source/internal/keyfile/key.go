// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package keyfile

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/go-jose/go-jose/v4"

	"github.com/renewd/renewd/daemon"
)

// Key signs as one algorithm and is proved to. The secret part sits in closures, where fmt cannot walk to it. It is
// immutable and safe for concurrent use.
type Key struct {
	algorithm string
	id        string
	notice    string
	public    crypto.PublicKey // nil for HMAC
	sign      func(signingString string) ([]byte, error)
	verify    func(signingString string, signature []byte) error
}

// newKey proves the key: a pair whose halves do not belong together would sign what nobody can verify.
func newKey(a algorithm, keyID string, c candidate) (*Key, error) {
	k := &Key{algorithm: a.method.Alg(), notice: c.notice}
	check := c.key
	if pair, ok := c.key.(crypto.Signer); ok {
		k.public = pair.Public()
		check = k.public
	}
	k.sign = func(s string) ([]byte, error) { return a.method.Sign(s, c.key) }
	k.verify = func(s string, signature []byte) error { return a.method.Verify(s, signature, check) }

	const proof = "renewd proves its key"
	signature, err := k.sign(proof)
	if err != nil || k.verify(proof, signature) != nil {
		return nil, errors.New("is a key whose parts do not belong together")
	}
	k.id, err = identifier(keyID, c.kid, k.public)
	return k, err
}

// identifier gives HMAC secrets none: a thumbprint helps to guess the secret (RFC 7638 §7).
func identifier(keyID, own string, public crypto.PublicKey) (string, error) {
	switch {
	case keyID == None, keyID == Auto && public == nil:
		return "", nil
	case keyID != Auto:
		return keyID, nil
	case own != "":
		return own, nil
	}
	thumbprint, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", errors.New("is a key without an RFC 7638 thumbprint")
	}
	return base64.RawURLEncoding.EncodeToString(thumbprint), nil
}

// ID returns what the header member kid has to be; empty: no such member.
func (k *Key) ID() string { return k.id }

// Notices returns what was noticed while the key was read.
func (k *Key) Notices() []string {
	if k.notice == "" {
		return nil
	}
	return []string{k.notice}
}

// Sign returns the compact serialization of a JWS (RFC 7515 §3.1) over exactly these bytes. The error is a
// *daemon.Failure of ClassConfig.
func (k *Key) Sign(header, payload []byte) (string, error) {
	input := make([]byte, 0, 1024)
	input = base64.RawURLEncoding.AppendEncode(input, header)
	input = append(input, '.')
	input = base64.RawURLEncoding.AppendEncode(input, payload)
	signature, err := k.sign(string(input))
	if err != nil {
		// The key has proved itself, so that this is out of the ordinary; the cause may quote the key.
		return "", &daemon.Failure{Class: daemon.ClassConfig, Err: errors.New("the key did not sign")}
	}
	input = append(input, '.')
	return string(base64.RawURLEncoding.AppendEncode(input, signature)), nil
}

// Verify returns nil if signature is this key's over signingString, the first two parts of a compact JWS.
func (k *Key) Verify(signingString string, signature []byte) error {
	if k.verify(signingString, signature) != nil {
		return errors.New("the signature is not by this key")
	}
	return nil
}

func (k *Key) publicJWK() ([]json.RawMessage, error) {
	jwk := jose.JSONWebKey{Key: k.public, KeyID: k.id, Algorithm: k.algorithm, Use: "sig"}
	data, err := jwk.MarshalJSON()
	if err != nil {
		return nil, errors.New("write the public key as a JWK")
	}
	return []json.RawMessage{bytes.TrimSpace(data)}, nil
}
