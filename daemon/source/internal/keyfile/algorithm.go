// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package keyfile

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/renewd/renewd/daemon"
)

// minRSA is the smallest modulus in bits (RFC 7518 §3.3, §3.5).
const minRSA = 2048

// algorithm is a row of RFC 7518 §3.1 or RFC 8037 §3.1 that signs.
type algorithm struct {
	method jwt.SigningMethod
	secret int            // HMAC: the shortest key in bytes (RFC 7518 §3.2)
	curve  elliptic.Curve // ECDSA: the only curve (§3.4)
	make   string         // the command that makes such a key
}

// algorithms is the table that everything else asks. It is made anew each time, so that nothing can change it.
func algorithms() []algorithm {
	hmac := func(m *jwt.SigningMethodHMAC) algorithm {
		return algorithm{method: m, secret: m.Hash.Size(), make: fmt.Sprintf("openssl rand -out KEY %d", m.Hash.Size())}
	}
	ec := func(m jwt.SigningMethod, c elliptic.Curve) algorithm {
		return algorithm{method: m, curve: c, make: "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:" + c.Params().Name + " -out KEY"}
	}
	rsa := func(m jwt.SigningMethod) algorithm {
		return algorithm{method: m, make: "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out KEY"}
	}
	return []algorithm{
		hmac(jwt.SigningMethodHS256), hmac(jwt.SigningMethodHS384), hmac(jwt.SigningMethodHS512),
		rsa(jwt.SigningMethodRS256), rsa(jwt.SigningMethodRS384), rsa(jwt.SigningMethodRS512),
		rsa(jwt.SigningMethodPS256), rsa(jwt.SigningMethodPS384), rsa(jwt.SigningMethodPS512),
		ec(jwt.SigningMethodES256, elliptic.P256()), ec(jwt.SigningMethodES384, elliptic.P384()), ec(jwt.SigningMethodES512, elliptic.P521()),
		{method: jwt.SigningMethodEdDSA, make: "openssl genpkey -algorithm ed25519 -out KEY"},
	}
}

func algorithmNamed(name string) (algorithm, bool) {
	all := algorithms()
	i := slices.IndexFunc(all, func(a algorithm) bool { return a.method.Alg() == name })
	if i < 0 {
		return algorithm{}, false
	}
	return all[i], true
}

// CheckAlgorithm returns nil if name is an algorithm that a File can sign with, else a *daemon.FieldError for field with
// what may have been meant.
func CheckAlgorithm(field, name string) error {
	if _, ok := algorithmNamed(name); ok {
		return nil
	}
	var names []string
	for _, a := range algorithms() {
		known := a.method.Alg()
		if strings.EqualFold(name, known) || known == "EdDSA" && strings.EqualFold(name, "Ed25519") {
			// Ed25519 is what RFC 9864 calls the EdDSA of RFC 8037.
			return unknown(field, name, fmt.Sprintf("did you mean %q?", known))
		}
		names = append(names, known)
	}
	return unknown(field, name, "one of "+strings.Join(names, ", "))
}

func unknown(field, name, help string) error {
	return &daemon.FieldError{Field: field, Problem: fmt.Sprintf("unknown algorithm %q", cut(name)), Help: help}
}

// fits reports whether key is of the kind and strength that a demands.
func (a algorithm) fits(key any) bool {
	switch k := key.(type) {
	case []byte:
		return a.secret > 0 && len(k) >= a.secret
	case *ecdsa.PrivateKey:
		return a.curve != nil && k.Curve == a.curve
	case *rsa.PrivateKey:
		return a.isRSA() && k.N.BitLen() >= minRSA
	case ed25519.PrivateKey:
		return a.method == jwt.SigningMethodEdDSA
	}
	return false
}

// isRSA covers both paddings, PKCS #1 v1.5 and PSS, which take the same keys.
func (a algorithm) isRSA() bool {
	switch a.method.(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		return true
	}
	return false
}

// needs says what key the algorithm wants: "ES256 needs an EC key on P-256".
func (a algorithm) needs() string {
	var key string
	switch {
	case a.secret > 0:
		key = fmt.Sprintf("a secret of %d bytes or more", a.secret)
	case a.curve != nil:
		key = "an EC key on " + a.curve.Params().Name
	case a.isRSA():
		key = fmt.Sprintf("an RSA key of %d bits or more", minRSA)
	default:
		key = "an Ed25519 key"
	}
	return a.method.Alg() + " needs " + key
}

// describe names a key by kind and size, never by content.
func describe(key any) string {
	switch k := key.(type) {
	case []byte:
		return fmt.Sprintf("a secret of %d bytes", len(k))
	case *rsa.PrivateKey:
		return fmt.Sprintf("an RSA-%d private key", k.N.BitLen())
	case *ecdsa.PrivateKey:
		return "an EC private key on " + k.Params().Name
	case ed25519.PrivateKey:
		return "an Ed25519 private key"
	case *ecdh.PrivateKey:
		return "an X25519 private key, which cannot sign"
	}
	return "a private key of another kind"
}
