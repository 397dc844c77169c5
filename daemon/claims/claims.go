// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package claims reads a JWT (RFC 7519) without verifying it: header, times, issuer, subject, audience. It proves nothing about
// who made the token; what must be proved is verified by the part that has the key.
package claims

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ErrOpaque says that a text is not a JWT: it does not have three base64url parts of which the first is a JSON object
// with alg and the second a JSON object. Nothing can be read from an opaque token, and nothing is wrong with it.
var ErrOpaque = errors.New("not a JWT")

// Claims is what a JWT says of itself. A time is zero if its claim is absent or not a NumericDate.
type Claims struct {
	Algorithm string // header alg
	Type      string // header typ
	KeyID     string // header kid
	Issuer    string
	Subject   string
	Audience  []string
	ExpiresAt time.Time
	NotBefore time.Time
	IssuedAt  time.Time
	Notices   []string // claims that are there but make no sense, such as exp: true
}

// Parse reads a JWT. The error is ErrOpaque for anything that is not one, and another error for a JWT that must not be
// trusted to mean one thing: a member that appears twice (RFC 7519 §4 lets parsers choose), or too many of them.
func Parse(token string) (Claims, error) {
	header, payload, err := decode(token)
	if err != nil {
		return Claims{}, err
	}
	var c Claims
	for _, m := range header {
		switch m.Name {
		case "alg":
			c.Algorithm = text(m.Value)
		case "typ":
			c.Type = text(m.Value)
		case "kid":
			c.KeyID = text(m.Value)
		}
	}
	for _, m := range payload {
		switch m.Name {
		case "iss":
			c.Issuer = text(m.Value)
		case "sub":
			c.Subject = text(m.Value)
		case "aud":
			c.Audience = audience(m.Value)
		case "exp":
			c.ExpiresAt = c.date(m)
		case "nbf":
			c.NotBefore = c.date(m)
		case "iat":
			c.IssuedAt = c.date(m)
		}
	}
	return c, nil
}

func decode(token string) (header, payload []Member, err error) {
	parts := strings.Split(token, ".")
	// encoding/base64 skips line ends, so a token with one would otherwise pass.
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || strings.ContainsAny(token, "\r\n") {
		return nil, nil, ErrOpaque
	}
	var decoded [3][]byte
	for i, part := range parts {
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return nil, nil, ErrOpaque
		}
	}
	if header, err = jwtMembers("header", decoded[0]); err != nil {
		return nil, nil, err
	}
	if payload, err = jwtMembers("payload", decoded[1]); err != nil {
		return nil, nil, err
	}
	for _, m := range header {
		if m.Name == "alg" && text(m.Value) != "" {
			return header, payload, nil
		}
	}
	return nil, nil, ErrOpaque
}

// jwtMembers tells a part that is no object, which makes the token opaque, from an object that is not taken.
func jwtMembers(part string, data []byte) ([]Member, error) {
	members, err := Members(data)
	if err == nil {
		return members, nil
	}
	if _, repeated := errors.AsType[*RepeatedError](err); repeated || errors.Is(err, errMembers) {
		return nil, fmt.Errorf("JWT %s: %w", part, err)
	}
	return nil, ErrOpaque
}

// Expiry returns the instant that exp sets, and a notice instead of it when exp is more than ten years after now: that
// cannot be meant, so it is no bound. Both are zero if there is no usable exp.
func (c Claims) Expiry(now time.Time) (time.Time, string) {
	if c.ExpiresAt.After(now.AddDate(10, 0, 0)) {
		return time.Time{}, "exp is more than ten years ahead and is ignored"
	}
	return c.ExpiresAt, ""
}

func (c *Claims) date(m Member) time.Time {
	t, ok := NumericDate(m.Value)
	if !ok && string(m.Value) != "null" {
		c.Notices = append(c.Notices, m.Name+" is not a number and is ignored")
	}
	return t
}

// The years that a NumericDate is held within, so that no arithmetic on it can overflow.
const (
	earliest = 0            // 1970
	latest   = 253402300799 // the end of 9999
)

// NumericDate reads a JSON value as seconds since 1970 (RFC 7519 §2): a number in any spelling, or a string of digits,
// as some issuers write it. Fractions are rounded down, and what lies outside 1970 to 9999 becomes the nearer of the
// two. Anything else is not a date.
func NumericDate(value json.RawMessage) (time.Time, bool) {
	n, ok := Number(value)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(int64(min(max(n, earliest), latest)), 0).UTC(), true
}

// Number reads a JSON number, or a JSON string of digits, rounded down. A number beyond float64 is infinite.
func Number(value json.RawMessage) (float64, bool) {
	s := string(value)
	if strings.HasPrefix(s, `"`) {
		s = text(value)
		if s == "" || strings.Trim(s, "0123456789") != "" {
			return 0, false
		}
	} else if s == "" || !strings.ContainsRune("-0123456789", rune(s[0])) {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return math.Floor(n), true
}

// text returns a JSON string's text, and "" for any other value.
func text(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

// audience reads aud, which is a string or a list of strings (RFC 7519 §4.1.3).
func audience(value json.RawMessage) []string {
	if s := text(value); s != "" {
		return []string{s}
	}
	var list []string
	if json.Unmarshal(value, &list) != nil {
		return nil
	}
	return list
}
