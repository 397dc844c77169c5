// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package fakes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/golang-jwt/jwt/v5"
)

// Key signs what a fake hands out, and what it takes.
type Key struct{ private *ecdsa.PrivateKey }

// NewKey makes a key.
func NewKey() (Key, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return Key{key}, err
}

// Sign returns a JWT by ES256, with a new jti. change, if not nil, alters its header.
func (k Key) Sign(claims jwt.MapClaims, change func(header map[string]any)) string {
	claims["jti"] = rand.Text()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	if change != nil {
		change(token.Header)
	}
	text, err := token.SignedString(k.private)
	if err != nil {
		panic(err) // an ECDSA key with its own method
	}
	return text
}

// Good says whether a token is by this key and alive.
func (k Key) Good(token string) error {
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithExpirationRequired()).Parse(token, k.public)
	return err
}

func (k Key) public(*jwt.Token) (any, error) { return k.private.Public(), nil }
