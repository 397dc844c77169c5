// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package keyfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/renewd/renewd/daemon/claims"
)

// object is a JSON object whose members have exact names and appear once, which encoding/json does not promise.
type object map[string]json.RawMessage

// readObject returns an error that holds no value.
func readObject(data []byte) (object, error) {
	members, err := claims.Members(data)
	if err != nil {
		return nil, err
	}
	o := object{}
	for _, m := range members {
		o[m.Name] = m.Value
	}
	return o, nil
}

// text returns a string member, and "" if it is absent or not a string.
func (o object) text(name string) string {
	var s string
	if json.Unmarshal(o[name], &s) != nil {
		return ""
	}
	return s
}

// fromJSON reads a JWK, a JWK Set or a service-account key file.
func (f File) fromJSON(data []byte) ([]candidate, error) {
	const help = "use PEM, a JWK (RFC 7517) or a service-account key file"
	o, err := readObject(data)
	if err != nil {
		return nil, f.refuse(help, "%w", err)
	}
	switch {
	case o["keys"] != nil:
		return f.fromSet(o["keys"])
	case o["kty"] != nil:
		return []candidate{fromJWK(o, f.Algorithm)}, nil
	case o["private_key"] != nil:
		found := f.fromPEM([]byte(o.text("private_key")))
		for i := range found {
			found[i].kid = o.text("private_key_id") // Google looks the key up by it
		}
		return found, nil
	}
	return nil, f.refuse(help, "is JSON without kty, keys or private_key")
}

// fromSet reads the keys of a JWK Set (RFC 7517 §5); with a literal KeyID only those of that name.
func (f File) fromSet(keys json.RawMessage) ([]candidate, error) {
	var list []json.RawMessage
	if json.Unmarshal(keys, &list) != nil || len(list) == 0 {
		return nil, f.refuse("", "is a JWK Set without keys")
	}
	literal := f.KeyID != Auto && f.KeyID != None
	var found []candidate
	var others []string
	for _, data := range list {
		o, err := readObject(data)
		switch {
		case err != nil:
			return nil, f.refuse("", "JWK Set: a key: %w", err)
		case literal && o.text("kid") != f.KeyID:
			others = append(others, cut(o.text("kid")))
		default:
			found = append(found, fromJWK(o, f.Algorithm))
		}
	}
	if len(found) == 0 {
		return nil, f.refuse("correct keyID", "is a JWK Set without the kid %q; it has %q", cut(f.KeyID), others[:min(len(others), 8)])
	}
	return found, nil
}

// fromJWK reads one key and the limits that its owner put on it (RFC 7517 §4.2-4.4).
func fromJWK(o object, algorithm string) candidate {
	c := candidate{kid: o.text("kid")}
	var operations []string
	use, alg := o.text("use"), o.text("alg")
	if alg == "Ed25519" { // RFC 9864's name for the one that golang-jwt knows
		alg = "EdDSA"
	}
	switch {
	case o["kid"] != nil && c.kid == "":
		c.problem, c.hint = "is a JWK whose kid is not a text", "give it a kid, or leave the member out"
	case o["use"] != nil && use != "sig":
		c.problem, c.hint = fmt.Sprintf("is a JWK with use %q; signing needs sig", cut(use)), "take a key meant for signing"
	case o["key_ops"] != nil && (json.Unmarshal(o["key_ops"], &operations) != nil || !slices.Contains(operations, "sign")):
		c.problem, c.hint = "is a JWK whose key_ops do not have sign", "take a key meant for signing"
	case o["alg"] != nil && alg != algorithm:
		c.problem, c.hint = fmt.Sprintf("is a JWK for alg %q only; algorithm is %s", cut(alg), algorithm), "correct algorithm, or take another key"
	default:
		c.key, c.problem = material(o)
		c.hint = "make the JWK anew, or use PEM"
	}
	return c
}

// material hands go-jose only the members that make up the key, so that its errors cannot be about others.
func material(o object) (key any, problem string) {
	private := "d" // RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2; of oct it is k (§6.4.1)
	switch kty, crv := o.text("kty"), o.text("crv"); {
	case kty == "oct":
		private = "k"
	case kty == "RSA", kty == "OKP" && crv == "Ed25519", kty == "EC" && slices.Contains([]string{"P-256", "P-384", "P-521"}, crv):
	default:
		return nil, fmt.Sprintf("is a JWK of kty %q, crv %q, which no algorithm here can use", cut(kty), cut(crv))
	}
	if o[private] == nil {
		return nil, "is a public key; signing needs the private one"
	}
	parts := object{}
	for _, name := range []string{"kty", "crv", "k", "x", "y", "n", "e", "d", "p", "q", "dp", "dq", "qi"} {
		if o[name] != nil {
			parts[name] = o[name]
		}
	}
	data, err := json.Marshal(parts)
	if err != nil {
		return nil, "is not a JWK"
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(data); err != nil {
		return nil, "is a JWK that cannot be used: " + reason(err)
	}
	return k.Key, ""
}

// reason passes on what go-jose itself found wrong. The errors of its JSON and base64 decoders may quote the text.
func reason(err error) string {
	own, ok := strings.CutPrefix(err.Error(), "go-jose/go-jose: ")
	if !ok || errors.Is(err, jose.ErrUnsupportedKeyType) {
		return "its members are not base64url or do not belong together"
	}
	return own
}
