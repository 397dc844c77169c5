// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon/source/internal/keyfile"
)

// Signing is measured against the same signature by the standard library over a hash (for Ed25519, a text) that is there
// already: x/bare is what claims, JSON, base64 and golang-jwt cost. The two alternate, so that a busy machine slows both.
func benchmark(b *testing.B, algorithm string, signer crypto.Signer, bare func(digest []byte) error) {
	s, key := prepared(b, algorithm, signer)
	digest := make([]byte, 32)
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := s.sign(key, keyfile.Certificate{}, start); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if err := bare(digest); err != nil {
			b.Fatal(err)
		}
		ours += middle.Sub(start)
		theirs += time.Since(middle)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ns/token")
	b.ReportMetric(float64(ours)/float64(theirs), "x/bare")
}

func prepared(b *testing.B, algorithm string, signer crypto.Signer) (*Source, *keyfile.Key) {
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		b.Fatal(err)
	}
	c := Default()
	c.Algorithm, c.KeyFile = algorithm, filepath.Join(b.TempDir(), "key")
	c.Claims = map[string]any{"iss": "orders", "sub": "orders", "aud": []any{"billing"}}
	if err := os.WriteFile(c.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		b.Fatal(err)
	}
	s, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	key, err := s.key.Load()
	if err != nil {
		b.Fatal(err)
	}
	return s, key
}

func newES256(b *testing.B) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func newRS256(b *testing.B) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func newEdDSA(b *testing.B) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func BenchmarkSignES256(b *testing.B) {
	key := newES256(b)
	benchmark(b, "ES256", key, func(digest []byte) error {
		_, err := ecdsa.SignASN1(rand.Reader, key, digest)
		return err
	})
}

func BenchmarkSignEdDSA(b *testing.B) {
	key := newEdDSA(b)
	benchmark(b, "EdDSA", key, func(text []byte) error {
		_, err := key.Sign(nil, text, crypto.Hash(0))
		return err
	})
}

func BenchmarkSignRS256(b *testing.B) {
	key := newRS256(b)
	benchmark(b, "RS256", key, func(digest []byte) error {
		_, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest)
		return err
	})
}

// BenchmarkToken is a whole attempt: read the file, parse and prove the key, sign.
func BenchmarkToken(b *testing.B) {
	for algorithm, key := range map[string]crypto.Signer{"ES256": newES256(b), "EdDSA": newEdDSA(b), "RS256": newRS256(b)} {
		b.Run(algorithm, func(b *testing.B) {
			s, _ := prepared(b, algorithm, key)
			for b.Loop() {
				if _, err := s.Token(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
