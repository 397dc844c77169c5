// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package sign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/keyfile"
)

// Config is the mapping below sign. Start from Default.
type Config struct {
	Algorithm string         `yaml:"algorithm" enum:"HS256,HS384,HS512,RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA" doc:"The signature algorithm (RFC 7518 §3.1, RFC 8037). The key must be of its kind."`
	KeyFile   string         `yaml:"keyFile" required:"true" doc:"Path of the private key: PEM, a JWK, a JWK Set or a Google service-account key file. For the HS algorithms: the secret, as its bare bytes or as a JWK."`
	KeyID     string         `yaml:"keyID" doc:"Header kid: auto, none, or a text of your own, which also picks the key out of a JWK Set. auto takes the key's own id, else its RFC 7638 thumbprint; with the HS algorithms it writes none."`
	Type      string         `yaml:"type" doc:"Header typ. With at+jwt (RFC 9068) the claims iss, sub, aud and client_id are required."`
	Claims    map[string]any `yaml:"claims" doc:"Claims to write, by name. renewd itself writes exp, iat, nbf and jti; null as the value of iat, nbf or jti leaves it out."`
	TTL       time.Duration  `yaml:"ttl" doc:"How long a token lives, counted from when it is signed: 1s to 87600h."`
	Backdate  time.Duration  `yaml:"backdate" doc:"How far iat and nbf lie in the past, for verifiers whose clocks are slow: 0s to 1h. A verifier that limits exp - iat sees ttl + backdate."`
	CertFile  string         `yaml:"certFile" doc:"Path of the key's certificate (PEM). Its thumbprint is written as header x5t#S256, and exp never passes its notAfter. Empty: none."`
}

// Default returns what an empty mapping means. KeyFile has no default.
func Default() Config {
	return Config{Algorithm: "ES256", KeyID: keyfile.Auto, Type: "JWT", TTL: 30 * time.Minute, Backdate: time.Minute}
}

// The bounds of what can be meant: a longer ttl is a unit mistaken, and so is a longer backdate.
const (
	maxTTL      = 3650 * 24 * time.Hour
	maxBackdate = time.Hour
)

// check returns every mistake that the text alone shows.
func (c Config) check() error {
	errs := []error{keyfile.CheckAlgorithm("algorithm", c.Algorithm)}
	wrong := func(field, problem, help string) {
		errs = append(errs, &daemon.FieldError{Field: field, Problem: problem, Help: help})
	}
	if c.KeyFile == "" {
		wrong("keyFile", "is missing", "give the path of the private key")
	}
	if c.KeyID == "" {
		wrong("keyID", "is empty", "auto, none or a literal")
	}
	if c.Type == "" {
		wrong("type", "is empty", "JWT or at+jwt")
	}
	if c.TTL < time.Second || c.TTL > maxTTL {
		wrong("ttl", fmt.Sprintf("is %v", c.TTL), "1s to 87600h, which is ten years")
	}
	if c.Backdate < 0 || c.Backdate > maxBackdate {
		wrong("backdate", fmt.Sprintf("is %v", c.Backdate), "0s to 1h")
	}
	if c.CertFile != "" && strings.HasPrefix(c.Algorithm, "HS") {
		wrong("certFile", "is of no use with "+c.Algorithm+", whose key has no public half", "remove it, or use an algorithm with a key pair")
	}
	return errors.Join(append(errs, c.checkClaims()...)...)
}

// claimError returns the error for a claim. Claims may be personal, so that their values are not repeated.
func claimError(name, problem, help string) error {
	return &daemon.FieldError{Field: "claims." + name, Problem: problem, Help: help}
}

func (c Config) checkClaims() (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(c.Claims)) {
		if err := checkClaim(name, c.Claims[name]); err != nil {
			errs = append(errs, err)
		}
	}
	if isAccessToken(c.Type) {
		errs = append(errs, c.checkAccessToken()...)
	}
	return errs
}

// checkClaim knows the registered claims (RFC 7519 §4.1); of any other it asks only that JSON can hold it.
func checkClaim(name string, value any) error {
	switch name {
	case "exp":
		return claimError(name, "is written by renewd", "remove it; ttl says when a token expires")
	case "iat", "nbf", "jti":
		if value != nil {
			return claimError(name, "is written by renewd", "remove it, or write null to leave it out of the token")
		}
	case "iss", "sub":
		if !isText(value) {
			return claimError(name, "is not a text", "RFC 7519 §4.1 wants a string")
		}
	case "aud":
		if !isAudience(value) {
			return claimError(name, "is neither a text nor a list of texts", "for example [billing]")
		}
	default:
		if _, err := encode(value); err != nil {
			return claimError(name, "cannot be written as JSON", "use texts, numbers, true, false, null, lists and mappings")
		}
	}
	return nil
}

// checkAccessToken asks for the claims of RFC 9068 §2.2.
func (c Config) checkAccessToken() (errs []error) {
	for _, name := range []string{"iss", "sub", "aud", "client_id"} {
		if _, given := c.Claims[name]; !given {
			errs = append(errs, claimError(name, "is missing: type "+c.Type+" requires it", "RFC 9068 §2.2"))
		}
	}
	if value, given := c.Claims["client_id"]; given && !isText(value) {
		errs = append(errs, claimError("client_id", "is not a text", "RFC 8693 §4.3 wants a string"))
	}
	for _, name := range []string{"iat", "jti"} {
		if value, given := c.Claims[name]; given && value == nil {
			errs = append(errs, claimError(name, "cannot be left out: type "+c.Type+" requires it", "RFC 9068 §2.2"))
		}
	}
	return errs
}

// isAccessToken knows both spellings of RFC 9068 §2.1; media types do not depend on case.
func isAccessToken(typ string) bool {
	return strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
}

// isText asks for more than RFC 7519 does: an empty issuer, subject or audience is a mistake.
func isText(value any) bool {
	text, ok := value.(string)
	return ok && text != ""
}

func isAudience(value any) bool {
	list, isList := value.([]any)
	if !isList {
		return isText(value)
	}
	return len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool { return !isText(v) })
}

// encode writes value as JSON that escapes no more than it must: some verifiers compare texts byte by byte.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// members writes the configured claims as JSON members sorted by name, each followed by a comma: what stands before the
// claims that are new in each token. One audience is a text (RFC 7519 §4.1.3).
func (c Config) members() ([]byte, error) {
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(c.Claims)) {
		value := c.Claims[name]
		switch list, isList := value.([]any); {
		case name == "iat", name == "nbf", name == "jti": // null, by checkClaim: left out
			continue
		case name == "aud" && isList && len(list) == 1:
			value = list[0]
		}
		key, err := encode(name)
		if err != nil {
			return nil, err
		}
		text, err := encode(value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(append(out, key...), ':'), text...), ',')
	}
	return out, nil
}
