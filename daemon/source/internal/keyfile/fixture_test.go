// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package keyfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// keys are made once for all tests, because RSA takes its time.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	made := map[string]crypto.Signer{}
	add := func(name string, key crypto.Signer, err error) {
		if err != nil {
			panic(err)
		}
		made[name] = key
	}
	for name, curve := range map[string]elliptic.Curve{"P-224": elliptic.P224(), "P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		add(name, key, err)
	}
	for name, bits := range map[string]int{"RSA": 2048, "RSA-1024": 1024} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		add(name, key, err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	add("Ed25519", key, err)
	return made
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(name string) string {
	return block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(keys()[name])))
}

func sec1(name string) string {
	return block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(keys()[name].(*ecdsa.PrivateKey))))
}

func pkcs1(name string) string {
	return block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(keys()[name].(*rsa.PrivateKey)))
}

func public(name string) string {
	return block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(keys()[name].Public())))
}

// jwk writes a key as a JWK with members changed: nil takes one out.
func jwk(key any, change map[string]any) string {
	members := map[string]any{}
	data := must(jose.JSONWebKey{Key: key}.MarshalJSON())
	if err := json.Unmarshal(data, &members); err != nil {
		panic(err)
	}
	for name, value := range change {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	return string(must(json.Marshal(members)))
}

func google(name string) string {
	return string(must(json.Marshal(map[string]string{"type": "service_account", "private_key_id": "g1", "private_key": pkcs8(name), "client_email": "a@b"})))
}

func save(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func thumbprint(name string) string {
	return base64.RawURLEncoding.EncodeToString(must((&jose.JSONWebKey{Key: keys()[name].Public()}).Thumbprint(crypto.SHA256)))
}

const (
	ecParameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	secret32     = "0123456789abcdefghijklmnopqrstuv"
)
