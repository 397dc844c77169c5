// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon/claims"
)

// Check is what a token must satisfy before it may replace the published one. The zero value checks what is always
// checked: printable, no control character or space, alive, of a type that a file can carry.
type Check struct {
	Issuer   string   // a JWT must have exactly this iss; empty: any
	Audience []string // a JWT must name every one of these in aud
	Visible  bool     // allow every visible ASCII character; false: the b64token characters of RFC 6750 §2.1
	MaxBytes int      // of the token; 0: 16384
}

const (
	defaultMaxBytes = 16384
	largeBytes      = 8192        // many HTTP servers refuse longer headers
	skew            = time.Minute // how far nbf may lie ahead: verifiers allow clocks to differ by about as much
)

// b64token is the set of characters of RFC 6750 §2.1.
const b64token = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="

// Verify returns what is to be noticed about t, or a Failure of ClassMalformed that says why it must not be published.
func (c Check) Verify(t Token, now time.Time) ([]string, error) {
	if err := c.text(t); err != nil {
		return nil, malformed("%w", err)
	}
	if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(now) {
		return nil, malformed("the token expired at %s, and the clock says %s", stamp(t.ExpiresAt), stamp(now))
	}
	var notices []string
	if len(t.Value.Reveal()) > largeBytes {
		notices = append(notices, "the token is longer than 8192 bytes, which many HTTP servers refuse in a header")
	}
	jwt, err := claims.Parse(t.Value.Reveal())
	switch {
	case errors.Is(err, claims.ErrOpaque):
		if c.Issuer != "" || len(c.Audience) > 0 {
			return nil, malformed("the token is not a JWT, so its issuer and audience cannot be checked as configured")
		}
		return notices, nil
	case err != nil:
		return nil, malformed("%w", err)
	}
	if err := c.claims(jwt); err != nil {
		return nil, malformed("%w", err)
	}
	if !jwt.ExpiresAt.IsZero() && !jwt.ExpiresAt.After(now) {
		return nil, malformed("the token's exp passed at %s, and the clock says %s", stamp(jwt.ExpiresAt), stamp(now))
	}
	if ahead := jwt.NotBefore.Sub(now); ahead > skew {
		return nil, malformed("the token is not valid before %s, and the clock says %s", stamp(jwt.NotBefore), stamp(now))
	} else if ahead > 0 {
		notices = append(notices, "the token's nbf lies ahead by less than a minute")
	}
	return notices, nil
}

func (c Check) text(t Token) error {
	value, most := t.Value.Reveal(), c.MaxBytes
	if most == 0 {
		most = defaultMaxBytes
	}
	switch {
	case value == "":
		return errors.New("the token is empty")
	case len(value) > most:
		return fmt.Errorf("the token has %d bytes, more than expect.maxBytes (%d)", len(value), most)
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the token holds a space, a control character or a character outside ASCII")
	case !c.Visible && strings.Trim(value, b64token) != "":
		return errors.New("the token holds a character outside RFC 6750's b64token; `expect: {characters: visible}` allows it")
	case !strings.EqualFold(t.Type, "Bearer") && t.Type != "N_A":
		return fmt.Errorf("the token type is %s: a sender-constrained token cannot be used from a file", known(t.Type))
	}
	return nil
}

func (c Check) claims(jwt claims.Claims) error {
	if c.Issuer != "" && jwt.Issuer != c.Issuer {
		return fmt.Errorf("the token's iss is not %.200q%s", c.Issuer, nearly(jwt.Issuer, c.Issuer))
	}
	for _, want := range c.Audience {
		if !slices.Contains(jwt.Audience, want) {
			return fmt.Errorf("the token's aud does not name %.200q", want)
		}
	}
	return nil
}

// nearly says how got differs from want, where people err. It does not show got: a hostile issuer may have written what it
// was sent, a secret, into the token.
func nearly(got, want string) string {
	switch {
	case got == "":
		return ": it has none"
	case strings.TrimSuffix(got, "/") == strings.TrimSuffix(want, "/"):
		return ": they differ by the final slash"
	case strings.EqualFold(got, want):
		return ": they differ by upper and lower case"
	case "https://"+strings.TrimPrefix(got, "http://") == want:
		if strings.HasPrefix(got, "http://") {
			return ": it begins with http://"
		}
		return ": it does not begin with https://"
	}
	return fmt.Sprintf(": it has %d bytes, which are not shown", len(got))
}

// known returns a type as it is said to people: like iss, one that nobody has registered may hold anything.
func known(typ string) string {
	for _, name := range []string{"DPoP", "PoP", "mac", "N_A"} {
		if strings.EqualFold(typ, name) {
			return name
		}
	}
	return "not Bearer"
}

// provenExpiry returns when a token that was read from the disk expires: what its record says, but not later than its own
// exp, which its issuer has signed and nobody can write into a file.
func provenExpiry(t Token, now time.Time) time.Time {
	jwt, err := claims.Parse(t.Value.Reveal())
	if err != nil {
		return t.ExpiresAt
	}
	exp, _ := jwt.Expiry(now)
	if exp.IsZero() || !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(exp) {
		return t.ExpiresAt
	}
	return exp
}

func malformed(format string, args ...any) *Failure {
	return &Failure{Class: ClassMalformed, Err: fmt.Errorf(format, args...)}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
