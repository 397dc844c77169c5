// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package keyfile turns a key file into a key that is proved to sign: PEM (PKCS #8, PKCS #1, SEC 1), JWK, JWK Set, a
// Google service-account key file, or the raw bytes of an HMAC secret. Kind, strength and purpose of the key are checked
// here, because golang-jwt, which computes the signatures, signs with whatever it is given. It keeps no key between two
// reads and knows nothing of claims.
package keyfile

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/input"
)

// The values of File.KeyID that are not a literal.
const (
	Auto = "auto" // the key's own identifier, else its RFC 7638 thumbprint; nothing for HMAC
	None = "none" // no identifier
)

// File says where a key is and what it is for. It holds no key and is safe for concurrent use.
type File struct {
	Path      string
	Algorithm string // one that CheckAlgorithm accepts
	KeyID     string // Auto, None, or a literal, which also picks the key out of a JWK Set
}

// Load reads the file anew, parses it whole and proves the key by signing and verifying once.
//
// Errors are a *daemon.Failure with path and remedy and without any part of the key: ClassUnavailable for a file that is
// being written, else ClassConfig.
func (f File) Load() (*Key, error) {
	a, ok := algorithmNamed(f.Algorithm)
	if !ok {
		return nil, f.refuse("", "unknown algorithm %q", cut(f.Algorithm))
	}
	data, err := input.Read("key file", f.Path)
	if err != nil {
		return nil, err
	}
	return f.parse(a, data)
}

// PublicKeys returns the public key as a list of one JWK (RFC 7517), with kid, alg and use: sig; of an HMAC secret it
// returns nil. Errors are those of Load.
func (f File) PublicKeys() ([]json.RawMessage, error) {
	key, err := f.Load()
	if err != nil || key.public == nil {
		return nil, err
	}
	return key.publicJWK()
}

func (f File) parse(a algorithm, data []byte) (*Key, error) {
	found, err := f.candidates(a, data)
	if err != nil {
		return nil, err
	}
	c, err := f.choose(a, found)
	if err != nil {
		return nil, err
	}
	key, err := newKey(a, f.KeyID, c)
	if err != nil {
		return nil, f.refuse("make it anew: "+a.make, "%w", err)
	}
	return key, nil
}

// candidate is one key of a file, or what stands in its place.
type candidate struct {
	key     any    // []byte, *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey, or another that cannot sign
	kid     string // the file's own name for it
	problem string // why it cannot be used, as the rest of a sentence that begins with the key; key is nil then
	hint    string // remedy of problem
	notice  string
}

func (f File) candidates(a algorithm, data []byte) ([]candidate, error) {
	switch {
	case looksLikeJSON(data):
		return f.fromJSON(data)
	case bytes.Contains(data, []byte("-----BEGIN ")):
		if a.secret > 0 {
			return nil, f.refuse("make a secret: "+a.make, "is PEM; %s", a.needs())
		}
		return f.fromPEM(data), nil
	case a.secret > 0 && isHalfOfPair(data):
		return nil, f.refuse("make a secret: "+a.make, "is a public key, or the private key to one; %s", a.needs())
	case a.secret > 0:
		return []candidate{rawSecret(data)}, nil
	case data[0] == 0x30 && !utf8.Valid(data): // the SEQUENCE that every DER key begins with; in a text it is a zero
		return nil, f.refuse(fmt.Sprintf("convert it: openssl pkey -inform DER -in %q -out KEY", f.Path), "is DER, not PEM")
	}
	return nil, f.refuse("make a key: "+a.make, "is neither PEM nor JSON; %s", a.needs())
}

// looksLikeJSON tells a JSON object from the random bytes of a secret that happen to begin like one.
func looksLikeJSON(data []byte) bool {
	inner, ok := bytes.CutPrefix(bytes.TrimSpace(data), []byte("{"))
	inner = bytes.TrimSpace(inner)
	return ok && len(inner) > 0 && (inner[0] == '"' || inner[0] == '}') && utf8.Valid(data)
}

// isHalfOfPair reports whether data is a key of another kind, in DER or as OpenSSH writes public ones. A public key taken
// for a secret is the classic forgery, because everybody has it (RFC 8725 §2.1). No random bytes read as one.
func isHalfOfPair(data []byte) bool {
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-"} {
		if bytes.HasPrefix(data, []byte(prefix)) {
			return true
		}
	}
	_, public := x509.ParsePKIXPublicKey(data)
	_, private := x509.ParsePKCS8PrivateKey(data)
	_, certificate := x509.ParseCertificate(data)
	return public == nil || private == nil || certificate == nil
}

// rawSecret takes the bytes as they are, but for the line end that an editor put behind a printable secret.
func rawSecret(data []byte) candidate {
	line, ok := bytes.CutSuffix(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	printable := utf8.Valid(line) && !bytes.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) })
	if !ok || !printable {
		return candidate{key: data}
	}
	return candidate{key: line, notice: "the line end behind the secret in the key file is not part of it"}
}

// choose returns the first key that fits. There is at least one candidate.
func (f File) choose(a algorithm, found []candidate) (candidate, error) {
	for _, c := range found {
		if problem, _ := c.unfit(a); problem == "" {
			return c, nil
		}
	}
	problem, hint := found[0].unfit(a)
	if len(found) > 1 {
		problem = fmt.Sprintf("has %d keys and none that fits; the first %s", len(found), problem)
	}
	return candidate{}, f.refuse(hint, "%s", problem)
}

// unfit says why c cannot sign as a, and the remedy; nothing if it can.
func (c candidate) unfit(a algorithm) (problem, hint string) {
	switch {
	case c.key == nil:
		return c.problem, c.hint
	case a.fits(c.key):
		return "", ""
	}
	return fmt.Sprintf("is %s; %s", describe(c.key), a.needs()), "correct algorithm, or make a key: " + a.make
}

// refuse returns the Failure for a key file that is there and is of no use.
func (f File) refuse(hint, format string, args ...any) error {
	err := fmt.Errorf("key file %q: "+format, append([]any{f.Path}, args...)...)
	return &daemon.Failure{Class: daemon.ClassConfig, Err: err, Hint: hint}
}

// cut shortens text from outside to what an error may quote.
func cut(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
