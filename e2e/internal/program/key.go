// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package program

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"

	"github.com/golang-jwt/jwt/v5"
)

// Key is a throw-away ES256 key on disk.
type Key struct {
	Path   string
	public *ecdsa.PublicKey
}

// NewKey writes a key to dir/signing.pem, readable by everybody: it guards nothing.
func NewKey(dir string) (Key, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Key{}, err
	}
	k := Key{Path: filepath.Join(dir, "signing.pem"), public: &key.PublicKey}
	return k, os.WriteFile(k.Path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o644)
}

// Verify checks the signature of a token and returns its claims. Times are not checked.
func (k Key) Verify(token string) (jwt.RegisteredClaims, error) {
	var claims jwt.RegisteredClaims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return k.public, nil })
	return claims, err
}
