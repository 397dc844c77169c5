// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package reissue

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon/claims"
)

// token is a compact JWS, taken apart.
type token struct {
	header, payload, signature []byte
	signingString              string
	members                    []claims.Member // of payload
}

// trim takes off the ASCII white space around a token.
func trim(s string) string { return strings.Trim(s, " \t\r\n\v\f") }

// parse takes a JWT apart. Nothing of it is trusted yet but that its bytes can be read in one way only.
func parse(text, algorithm string) (token, error) {
	c, err := claims.Parse(text)
	if errors.Is(err, claims.ErrOpaque) {
		return token{}, &refusal{err, "it must be a signed JWT: three base64url parts of which the first two are JSON objects"}
	}
	if err != nil {
		return token{}, err
	}
	if c.Algorithm != algorithm {
		return token{}, &refusal{fmt.Errorf("its alg is %q, and only %s is accepted", cut(c.Algorithm), algorithm), "correct algorithm if the key is for it"}
	}
	parts := strings.Split(text, ".")
	t := token{signingString: parts[0] + "." + parts[1]}
	// Parse has read the parts already, but hands out only what the claims say.
	for i, part := range []*[]byte{&t.header, &t.payload, &t.signature} {
		if *part, err = base64.RawURLEncoding.Strict().DecodeString(parts[i]); err != nil {
			return token{}, claims.ErrOpaque
		}
	}
	header, err := claims.Members(t.header)
	if err != nil {
		return token{}, err
	}
	// Whoever does not understand crit's members must refuse (RFC 7515 §4.1.11), and we understand none.
	if slices.ContainsFunc(header, func(m claims.Member) bool { return m.Name == "crit" }) {
		return token{}, errors.New("its header has crit, which asks for more than is understood here")
	}
	t.members, err = claims.Members(t.payload)
	return t, err
}

// date returns a claim as an instant; false if it is absent.
func (t token) date(name string) (time.Time, bool, error) {
	m, ok := t.member(name)
	if !ok {
		return time.Time{}, false, nil
	}
	at, ok := claims.NumericDate(m.Value)
	if !ok {
		return time.Time{}, false, fmt.Errorf("its %s is not a number", name)
	}
	return at, true, nil
}

func (t token) member(name string) (claims.Member, bool) {
	i := slices.IndexFunc(t.members, func(m claims.Member) bool { return m.Name == name })
	if i < 0 {
		return claims.Member{}, false
	}
	return t.members[i], true
}

// withExpiry returns the payload with another exp and every other byte as it was.
func (t token) withExpiry(expires time.Time) []byte {
	exp, _ := t.member("exp")
	out := slices.Clone(t.payload[:exp.Start])
	out = strconv.AppendInt(out, expires.Unix(), 10)
	return append(out, t.payload[exp.End:]...)
}

// usable returns the exp of a verified token that may be issued again at now.
func (s *Source) usable(t token, now time.Time) (time.Time, error) {
	expires, ok, err := t.date("exp")
	if err != nil {
		return time.Time{}, err
	}
	if !ok {
		return time.Time{}, errors.New("it has no exp")
	}
	begin, _, err := t.date("nbf")
	switch grace := s.config.Grace; {
	case err != nil:
		return time.Time{}, err
	case begin.After(now):
		return time.Time{}, fmt.Errorf("its nbf is %v ahead", begin.Sub(now).Round(time.Second))
	// Such a date cannot be meant, and a later one might not be a date any more (RFC 3339 ends with the year 9999).
	case expires.After(now.Add(maxSpan)):
		return time.Time{}, errors.New("its exp is more than ten years ahead")
	case !expires.Add(grace).After(now):
		problem := fmt.Errorf("it expired %v ago, and grace is %v", now.Sub(expires).Round(time.Second), grace)
		return time.Time{}, &refusal{problem, "put a token there that is alive"}
	}
	return expires, nil
}

// extend returns the new exp of a verified token, in whole seconds: extend behind the later of now and the old exp, but
// not behind maxLife.
func (s *Source) extend(t token, now time.Time) (time.Time, error) {
	old, err := s.usable(t, now)
	if err != nil {
		return time.Time{}, err
	}
	later := old // within grace, old + extend could be over already
	if now.After(old) {
		later = now
	}
	expires := later.Add(s.config.Extend)
	if s.config.MaxLife > 0 {
		if expires, err = s.limit(t, expires); err != nil {
			return time.Time{}, err
		}
	}
	expires = time.Unix(expires.Unix(), 0).UTC()
	if !expires.After(old) || !expires.After(now) {
		return time.Time{}, &refusal{fmt.Errorf("it has reached maxLife, %v after its iat", s.config.MaxLife), "put a new token there"}
	}
	return expires, nil
}

// limit cuts expires to maxLife after iat.
func (s *Source) limit(t token, expires time.Time) (time.Time, error) {
	issued, ok, err := t.date("iat")
	if err != nil {
		return time.Time{}, err
	}
	if !ok {
		return time.Time{}, &refusal{errors.New("it has no iat, and maxLife counts from it"), "set maxLife to 0s, or put a token with iat there"}
	}
	if end := issued.Add(s.config.MaxLife); end.Before(expires) {
		return end, nil
	}
	return expires, nil
}

func cut(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
