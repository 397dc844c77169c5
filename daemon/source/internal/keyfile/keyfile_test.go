// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package keyfile

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/renewd/renewd/daemon"
)

func TestKeysThatFit(t *testing.T) {
	k := keys()
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	named := jwk(k["P-256"], map[string]any{"kid": "one", "use": "sig", "key_ops": []string{"sign"}, "alg": "ES256"})
	octets := jwk([]byte(secret32), map[string]any{"kid": "h"})
	for name, c := range map[string]struct {
		text, algorithm, keyID, id string
	}{
		"PKCS #8 EC":                    {pkcs8("P-256"), "ES256", Auto, thumbprint("P-256")},
		"PKCS #8 P-384":                 {pkcs8("P-384"), "ES384", Auto, thumbprint("P-384")},
		"PKCS #8 P-521":                 {pkcs8("P-521"), "ES512", Auto, thumbprint("P-521")},
		"PKCS #8 Ed25519":               {pkcs8("Ed25519"), "EdDSA", Auto, thumbprint("Ed25519")},
		"PKCS #8 RSA":                   {pkcs8("RSA"), "PS384", Auto, thumbprint("RSA")},
		"PKCS #1":                       {pkcs1("RSA"), "RS256", "mine", "mine"},
		"SEC 1":                         {sec1("P-256"), "ES256", None, ""},
		"openssl ecparam -genkey":       {ecParameters + sec1("P-256"), "ES256", None, ""},
		"openssl ecparam, broken lines": {strings.ReplaceAll(ecParameters+sec1("P-256"), "\n", `\n`), "ES256", None, ""},
		"text before PEM, CRLF":         {"Bag Attributes\r\n" + strings.ReplaceAll(pkcs8("P-256"), "\n", "\r\n"), "ES256", None, ""},
		"certificate first":             {block("CERTIFICATE", []byte("x")) + pkcs8("P-256"), "ES256", None, ""},
		"public half beside it":         {public("P-256") + pkcs8("P-256"), "ES256", None, ""},
		"second block fits":             {pkcs8("RSA") + pkcs8("P-256"), "ES256", None, ""},
		"JWK with kid":                  {named, "ES256", Auto, "one"},
		"JWK without kid":               {" \n" + jwk(k["P-256"], nil) + "\n", "ES256", Auto, thumbprint("P-256")},
		"JWK, another kid":              {named, "ES256", "two", "two"},
		"JWK RSA":                       {jwk(k["RSA"], nil), "RS512", Auto, thumbprint("RSA")},
		"JWK RSA without dp, dq, qi":    {jwk(k["RSA"], map[string]any{"dp": nil, "dq": nil, "qi": nil}), "PS256", None, ""},
		"JWK Ed25519":                   {jwk(k["Ed25519"], map[string]any{"alg": "Ed25519"}), "EdDSA", Auto, thumbprint("Ed25519")},
		"JWK oct":                       {octets, "HS256", Auto, ""},
		"JWK oct, literal":              {octets, "HS256", "h", "h"},
		"JWK Set, first that fits":      {set(jwk(k["RSA"], nil), jwk(k["P-256"].Public(), map[string]any{"kid": "p"}), named), "ES256", Auto, "one"},
		"JWK Set, unknown kty":          {set(`{"kty":"AKP","kid":"q"}`, named), "ES256", Auto, "one"},
		"JWK Set by kid":                {set(jwk(k["P-384"], nil), jwk(k["P-256"], map[string]any{"kid": "two"}), named), "ES256", "one", "one"},
		"JWK Set of secrets":            {set(named, octets), "HS256", None, ""},
		"Google":                        {google("RSA"), "RS256", Auto, "g1"},
		"HMAC, exact":                   {secret32, "HS256", Auto, ""},
		"HMAC, line end":                {secret32 + "\r\n", "HS256", Auto, ""},
		"HMAC, random bytes":            {"{\"\xff" + secret32 + "\n", "HS256", Auto, ""},
		"HMAC, looks like DER":          {"0" + secret32, "HS256", Auto, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := File{Path: save(t, c.text), Algorithm: c.algorithm, KeyID: c.keyID}
			key, err := f.Load()
			if err != nil {
				t.Fatalf("%v (%s)", err, daemon.HintOf(err))
			}
			if key.ID() != c.id {
				t.Errorf("kid %q, want %q", key.ID(), c.id)
			}
			signed, err := key.Sign([]byte(`{"alg":"`+c.algorithm+`"}`), []byte(`{"sub":"a"}`))
			if err != nil {
				t.Fatal(err)
			}
			verifies(t, f, signed)
			input, signature, _ := cutLast(signed)
			if err := key.Verify(input, signature); err != nil {
				t.Error(err)
			}
			if err := key.Verify(input+"A", signature); err == nil {
				t.Error("another text verifies")
			}
		})
	}
}

func cutLast(signed string) (input string, signature []byte, err error) {
	i := strings.LastIndexByte(signed, '.')
	signature, err = base64.RawURLEncoding.DecodeString(signed[i+1:])
	return signed[:i], signature, err
}

// verifies checks a signature with go-jose and golang-jwt and the published key alone.
func verifies(t *testing.T, f File, signed string) {
	t.Helper()
	published, err := f.PublicKeys()
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(f.Algorithm, "HS") {
		if published != nil {
			t.Fatalf("a secret is published: %s", published)
		}
		return // what the secret is differs from case to case: TestRawSecret compares it
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(published[0]); err != nil || len(published) != 1 {
		t.Fatalf("%d keys, %v", len(published), err)
	}
	if !k.IsPublic() || !k.Valid() || k.Algorithm != f.Algorithm || k.Use != "sig" {
		t.Errorf("published %s", published[0])
	}
	parsed, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(f.Algorithm)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.Verify(k.Key); err != nil {
		t.Errorf("go-jose: %v", err)
	}
	if _, err := jwt.Parse(signed, func(*jwt.Token) (any, error) { return k.Key, nil }, jwt.WithValidMethods([]string{f.Algorithm})); err != nil {
		t.Errorf("golang-jwt: %v", err)
	}
}

func TestRawSecret(t *testing.T) {
	for name, c := range map[string]struct {
		text, secret string
		notice       bool
	}{
		"no line end":          {secret32, secret32, false},
		"line feed":            {secret32 + "\n", secret32, true},
		"CRLF":                 {secret32 + "\r\n", secret32, true},
		"two line feeds":       {secret32 + "\n\n", secret32 + "\n\n", false},
		"lone carriage return": {secret32 + "\r", secret32 + "\r", false},
		"accents":              {secret32 + "é\n", secret32 + "é", true},
		"random bytes":         {secret32 + "\x00\n", secret32 + "\x00\n", false},
		"not UTF-8":            {secret32 + "\xff\n", secret32 + "\xff\n", false},
	} {
		key, err := File{Path: save(t, c.text), Algorithm: "HS256", KeyID: Auto}.Load()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		signed := must(key.Sign([]byte(`{"alg":"HS256"}`), []byte("{}")))
		input, signature, _ := cutLast(signed)
		if err := jwt.SigningMethodHS256.Verify(input, signature, []byte(c.secret)); err != nil {
			t.Errorf("%s: signed with another secret than %q", name, c.secret)
		}
		if got := len(key.Notices()) == 1; got != c.notice {
			t.Errorf("%s: notices %q", name, key.Notices())
		}
	}
}

func TestWrongKeys(t *testing.T) {
	k := keys()
	ec, er, ed := k["P-256"].(*ecdsa.PrivateKey), k["RSA"].(*rsa.PrivateKey), k["Ed25519"].(ed25519.PrivateKey)
	shortD := base64.RawURLEncoding.EncodeToString(make([]byte, 31))
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	otherD := base64.RawURLEncoding.EncodeToString(must(other.Bytes()))
	curve := must(ecdh.X25519().GenerateKey(rand.Reader))
	twoKeys := `{"keys":[` + jwk(er, map[string]any{"kid": "r"}) + `,` + jwk(ed, map[string]any{"kid": "e"}) + `]}`
	for name, c := range map[string]struct {
		text, algorithm, problem, hint string
	}{
		"empty":                    {"", "ES256", "is empty", ""},
		"RSA for ES256":            {pkcs8("RSA"), "ES256", "is an RSA-2048 private key; ES256 needs an EC key on P-256", "ec_paramgen_curve:P-256"},
		"EC for RS256":             {pkcs8("P-256"), "RS256", "is an EC private key on P-256; RS256 needs an RSA key of 2048 bits or more", "-algorithm RSA"},
		"EC for EdDSA":             {sec1("P-256"), "EdDSA", "is an EC private key on P-256; EdDSA needs an Ed25519 key", "ed25519"},
		"Ed25519 for PS256":        {pkcs8("Ed25519"), "PS256", "is an Ed25519 private key; PS256 needs an RSA key of 2048 bits or more", "RSA"},
		"P-384 for ES256":          {pkcs8("P-384"), "ES256", "is an EC private key on P-384; ES256 needs an EC key on P-256", "P-256"},
		"P-224":                    {pkcs8("P-224"), "ES256", "is an EC private key on P-224; ES256 needs an EC key on P-256", "P-256"},
		"X25519":                   {block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(curve))), "EdDSA", "is an X25519 private key, which cannot sign; EdDSA needs an Ed25519 key", "ed25519"},
		"RSA-1024":                 {pkcs1("RSA-1024"), "RS256", "is an RSA-1024 private key; RS256 needs an RSA key of 2048 bits or more", "3072"},
		"RSA-1024 PS":              {pkcs8("RSA-1024"), "PS512", "is an RSA-1024 private key; PS512 needs an RSA key of 2048 bits or more", "3072"},
		"public key":               {public("P-256"), "ES256", "is a public key; signing needs the private one", "private key's file"},
		"RSA public key":           {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&er.PublicKey)), "RS256", "is a public key; signing needs the private one", "private"},
		"certificate only":         {block("CERTIFICATE", []byte("x")), "ES256", "has no private key in its PEM text", "certificate"},
		"parameters only":          {ecParameters, "ES256", "has no private key in its PEM text", "END line"},
		"cut off":                  {pkcs8("RSA")[:900], "RS256", "has no private key in its PEM text", "END line"},
		"encrypted":                {block("ENCRYPTED PRIVATE KEY", []byte("x")), "ES256", "is encrypted", "decrypt it: openssl pkey -in "},
		"encrypted, old":           {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "RS256", "is encrypted", "openssl pkey"},
		"OpenSSH":                  {block("OPENSSH PRIVATE KEY", []byte("x")), "EdDSA", "is in OpenSSH's own format", "ssh-keygen -p -N '' -m PKCS8"},
		"damaged":                  {block("PRIVATE KEY", []byte("x")), "ES256", `has a PEM block "PRIVATE KEY" that is damaged, or of a kind or curve that JWTs do not use`, "openssl pkey -in"},
		"another block":            {block("DH PARAMETERS", []byte("x")), "ES256", `has a PEM block "DH PARAMETERS", which is no private key`, ""},
		"two keys":                 {pkcs8("RSA") + pkcs8("Ed25519"), "ES256", "has 2 keys and none that fits; the first is an RSA-2048 private key; ES256 needs an EC key on P-256", "P-256"},
		"DER":                      {string(must(x509.MarshalPKCS8PrivateKey(ec))), "ES256", "is DER, not PEM", "-inform DER"},
		"neither":                  {"hello", "ES256", "is neither PEM nor JSON; ES256 needs an EC key on P-256", "openssl"},
		"a number":                 {"0123", "ES256", "is neither PEM nor JSON; ES256 needs an EC key on P-256", "openssl"},
		"secret of 31 bytes":       {secret32[1:], "HS256", "is a secret of 31 bytes; HS256 needs a secret of 32 bytes or more", "openssl rand -out KEY 32"},
		"line end is no strength":  {secret32[1:] + "\n", "HS256", "is a secret of 31 bytes; HS256 needs a secret of 32 bytes or more", "rand"},
		"secret of 47 bytes":       {secret32 + secret32[:15], "HS384", "is a secret of 47 bytes; HS384 needs a secret of 48 bytes or more", "48"},
		"secret of 63 bytes":       {secret32 + secret32[1:], "HS512", "is a secret of 63 bytes; HS512 needs a secret of 64 bytes or more", "64"},
		"public key as secret":     {public("RSA"), "HS256", "is PEM; HS256 needs a secret of 32 bytes or more", "openssl rand"},
		"private DER as secret":    {string(must(x509.MarshalPKCS8PrivateKey(ec))), "HS256", "is a public key, or the private key to one; HS256 needs a secret of 32 bytes or more", "openssl rand"},
		"public DER as secret":     {string(must(x509.MarshalPKIXPublicKey(er.Public()))), "HS256", "is a public key, or the private key to one; HS256 needs a secret of 32 bytes or more", "openssl rand"},
		"OpenSSH public as secret": {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG me@here\n", "HS256", "is a public key, or the private key to one; HS256 needs a secret of 32 bytes or more", "openssl rand"},
		"public JWK as secret":     {jwk(er.Public(), nil), "HS256", "is a public key; signing needs the private one", ""},
		"cut JWK as secret":        {jwk([]byte(secret32), nil)[:50], "HS256", "not a JSON object", "JWK"},
		"Google for HMAC":          {google("RSA"), "HS256", "is an RSA-2048 private key; HS256 needs a secret of 32 bytes or more", "rand"},
		"Google without key":       {`{"type":"service_account","private_key":7}`, "RS256", "has no private key in its PEM text", ""},
		"other JSON":               {`{"type":"external_account"}`, "RS256", "is JSON without kty, keys or private_key", "JWK"},
		"two objects":              {jwk(ec, nil) + "{}", "ES256", "text after the JSON object", "PEM"},
		"member twice":             {`{"kty":"EC","kty":"EC"}`, "ES256", `the member "kty" appears twice`, "PEM"},
		"JWK public":               {jwk(ec.Public(), nil), "ES256", "is a public key; signing needs the private one", "PEM"},
		"JWK use enc":              {jwk(ec, map[string]any{"use": "enc"}), "ES256", `is a JWK with use "enc"; signing needs sig`, "signing"},
		"JWK key_ops":              {jwk(ec, map[string]any{"key_ops": []string{"verify"}}), "ES256", "is a JWK whose key_ops do not have sign", "signing"},
		"JWK key_ops a text":       {jwk(ec, map[string]any{"key_ops": "sign"}), "ES256", "is a JWK whose key_ops do not have sign", "signing"},
		"JWK alg":                  {jwk(er, map[string]any{"alg": "PS256"}), "RS256", `is a JWK for alg "PS256" only; algorithm is RS256`, "algorithm"},
		"JWK kid a number":         {jwk(ec, map[string]any{"kid": 7}), "ES256", "is a JWK whose kid is not a text", "kid"},
		"JWK other kind":           {jwk(ed, nil), "ES256", "is an Ed25519 private key; ES256 needs an EC key on P-256", "P-256"},
		"JWK secp256k1":            {jwk(ec, map[string]any{"crv": "secp256k1"}), "ES256", `is a JWK of kty "EC", crv "secp256k1", which no algorithm here can use`, ""},
		"JWK Ed448":                {jwk(ed, map[string]any{"crv": "Ed448"}), "EdDSA", `is a JWK of kty "OKP", crv "Ed448", which no algorithm here can use`, ""},
		"JWK kty missing":          {`{"kty":null,"d":"x"}`, "ES256", `is a JWK of kty "", crv "", which no algorithm here can use`, ""},
		"JWK not base64url":        {jwk(ec, map[string]any{"d": "%%"}), "ES256", "is a JWK that cannot be used: its members are not base64url or do not belong together", "anew"},
		"JWK d a number":           {jwk(ec, map[string]any{"d": 4711}), "ES256", "is a JWK that cannot be used: its members are not base64url or do not belong together", "anew"},
		"JWK short d":              {jwk(ec, map[string]any{"d": shortD}), "ES256", "is a JWK that cannot be used: invalid EC private key, wrong length for d", "anew"},
		"JWK foreign d":            {jwk(ec, map[string]any{"d": otherD}), "ES256", "is a key whose parts do not belong together", "openssl"},
		"JWK RSA without CRT":      {jwk(er, map[string]any{"p": nil, "q": nil, "dp": nil, "dq": nil, "qi": nil}), "RS256", "is a JWK that cannot be used: invalid RSA private key, missing P, Q value(s)", "anew"},
		"JWK RSA foreign d":        {jwk(er, map[string]any{"d": otherD}), "RS256", "is a JWK that cannot be used: its members are not base64url or do not belong together", "anew"},
		"JWK Ed25519 foreign x":    {jwk(ed, map[string]any{"x": otherD}), "EdDSA", "is a JWK that cannot be used: invalid Ed25519 private key, x does not match d", "anew"},
		"JWK Set empty":            {`{"keys":[]}`, "ES256", "is a JWK Set without keys", ""},
		"JWK Set no list":          {`{"keys":{}}`, "ES256", "is a JWK Set without keys", ""},
		"JWK Set, member twice":    {`{"keys":[{"kid":"a","kid":"b"}]}`, "ES256", `JWK Set: a key: the member "kid" appears twice`, ""},
		"JWK Set, none fits":       {twoKeys, "ES256", "has 2 keys and none that fits; the first is an RSA-2048 private key; ES256 needs an EC key on P-256", "P-256"},
		"JWK Set, no such kid":     {twoKeys, "RS256:x", `is a JWK Set without the kid "x"; it has ["r" "e"]`, "keyID"},
		"JWK Set, kid of another":  {twoKeys, "RS256:e", "is an Ed25519 private key; RS256 needs an RSA key of 2048 bits or more", "RSA"},
		"algorithm that is not":    {pkcs8("RSA"), "none", `unknown algorithm "none"`, ""},
		"JWK oct too short":        {jwk([]byte(secret32[1:]), nil), "HS256", "is a secret of 31 bytes; HS256 needs a secret of 32 bytes or more", "rand"},
		"JWK oct without a secret": {`{"kty":"oct"}`, "HS256", "is a public key; signing needs the private one", ""},
	} {
		t.Run(name, func(t *testing.T) {
			algorithm, keyID, literal := strings.Cut(c.algorithm, ":")
			if !literal {
				keyID = Auto
			}
			f := File{Path: save(t, c.text), Algorithm: algorithm, KeyID: keyID}
			key, err := f.Load()
			if key != nil || err == nil {
				t.Fatalf("loaded %v, %v", key, err)
			}
			if want := fmt.Sprintf("key file %q: %s", f.Path, c.problem); err.Error() != want {
				t.Errorf("error %s\n want %s", err, want)
			}
			failure, ok := errors.AsType[*daemon.Failure](err)
			if !ok || failure.Class != daemon.ClassConfig || !strings.Contains(failure.Hint, c.hint) {
				t.Errorf("failure %#v, want a hint with %q", failure, c.hint)
			}
			if _, err := f.PublicKeys(); err == nil {
				t.Error("it has public keys")
			}
			hides(t, c.text, fmt.Sprintf("%v %+v %#v", err, failure, failure.Hint))
		})
	}
}

// hides looks for any sixteen characters in a row of a key's text.
func hides(t *testing.T, text, printed string) {
	t.Helper()
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("\n\\\"{}:, ", r) }) {
		for i := 0; i+16 <= len(line) && !strings.HasPrefix(line, "-----"); i++ {
			if strings.Contains(printed, line[i:i+16]) {
				t.Errorf("%q of the key is in %q", line[i:i+16], printed)
				return
			}
		}
	}
}

func TestKeysArePrintedWithoutSecrets(t *testing.T) {
	ec, er, ed := keys()["P-256"].(*ecdsa.PrivateKey), keys()["RSA"].(*rsa.PrivateKey), keys()["Ed25519"].(ed25519.PrivateKey)
	for algorithm, c := range map[string]struct {
		text    string
		secrets []any
	}{
		"HS256": {secret32, []any{secret32, []byte(secret32)}},
		"ES256": {pkcs8("P-256"), []any{new(big.Int).SetBytes(must(ec.Bytes())), must(ec.Bytes())}},
		"RS256": {pkcs8("RSA"), []any{er.D, er.Primes[0], er.Primes[1]}},
		"EdDSA": {pkcs8("Ed25519"), []any{ed.Seed()}},
	} {
		f := File{Path: save(t, c.text), Algorithm: algorithm, KeyID: Auto}
		key := must(f.Load())
		printed := []string{string(must(json.Marshal(key)))}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			printed = append(printed, fmt.Sprintf(verb, key), fmt.Sprintf(verb, *key), fmt.Sprintf(verb, struct{ inner *Key }{key}))
		}
		text := strings.Join(printed, "\n")
		for _, secret := range c.secrets {
			for _, verb := range []string{"%v", "%x", "%d", "%q", "%#v"} {
				if strings.Contains(text, strings.Trim(fmt.Sprintf(verb, secret), "[]")) {
					t.Errorf("%s: %s of the secret is printed", algorithm, verb)
				}
			}
		}
	}
}

func TestCheckAlgorithm(t *testing.T) {
	for _, a := range algorithms() {
		if err := CheckAlgorithm("algorithm", a.method.Alg()); err != nil {
			t.Error(err)
		}
		if jwt.GetSigningMethod(a.method.Alg()) != a.method {
			t.Errorf("%s is another in golang-jwt", a.method.Alg())
		}
	}
	for name, help := range map[string]string{"es256": `did you mean "ES256"?`, "Ed25519": `did you mean "EdDSA"?`, "none": "one of HS256, HS384", "": "one of"} {
		err := CheckAlgorithm("alg", name)
		field, ok := errors.AsType[*daemon.FieldError](err)
		if !ok || field.Field != "alg" || !strings.HasPrefix(field.Help, help) {
			t.Errorf("%q: %#v", name, err)
		}
	}
}
