// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
)

func TestCheck(t *testing.T) {
	now := time.Unix(1700000000, 0)
	good := func() daemon.Token { return token("opaque-token", now, time.Hour) }
	jwt := func(payload string, args ...any) daemon.Token {
		b := base64.RawURLEncoding
		return token(b.EncodeToString([]byte(`{"alg":"ES256"}`))+"."+b.EncodeToString(fmt.Appendf(nil, payload, args...))+".c2ln", now, time.Hour)
	}
	with := func(change func(*daemon.Token)) daemon.Token {
		token := good()
		change(&token)
		return token
	}
	value := func(s string) daemon.Token { return with(func(t *daemon.Token) { t.Value = daemon.NewSecret(s) }) }
	iss := daemon.Check{Issuer: "https://me", Audience: []string{"a", "b"}}
	for name, c := range map[string]struct {
		check  daemon.Check
		token  daemon.Token
		want   string // a part of the error; empty: good
		notice string
	}{
		"opaque":                     {token: good()},
		"without expiry":             {token: with(func(t *daemon.Token) { t.ExpiresAt = time.Time{} })},
		"empty":                      {token: value(""), want: "empty"},
		"a line end":                 {token: value("token\n"), want: "space, a control character"},
		"a CRLF inside":              {token: value("to\r\nken"), want: "control character"},
		"NUL":                        {token: value("to\x00ken"), want: "control character"},
		"a space":                    {token: value("to ken"), want: "space"},
		"outside ASCII":              {token: value("tök"), want: "outside ASCII"},
		"Salesforce":                 {token: value("00D!AQ"), want: "characters: visible"},
		"Salesforce, allowed":        {check: daemon.Check{Visible: true}, token: value("00D!AQ")},
		"as long as allowed":         {token: value(strings.Repeat("x", 16384)), notice: "longer than 8192"},
		"longer":                     {token: value(strings.Repeat("x", 16385)), want: "16385 bytes"},
		"longer than configured":     {check: daemon.Check{MaxBytes: 5}, token: good(), want: "maxBytes (5)"},
		"expired":                    {token: with(func(t *daemon.Token) { t.ExpiresAt = now }), want: "expired at 2023-11-14T22:13:20Z"},
		"DPoP":                       {token: with(func(t *daemon.Token) { t.Type = "DPoP" }), want: "sender-constrained"},
		"bearer in lower case":       {token: with(func(t *daemon.Token) { t.Type = "bearer" })},
		"not valid yet":              {token: jwt(`{"nbf":%d}`, now.Unix()+61), want: "not valid before"},
		"valid in a moment":          {token: jwt(`{"nbf":%d}`, now.Unix()+59), notice: "nbf"},
		"a JWT whose exp has passed": {token: jwt(`{"exp":%d}`, now.Unix()), want: "exp passed"},
		"a member twice":             {token: jwt(`{"exp":1,"exp":2}`), want: `"exp" appears twice`},
		"issuer and audience":        {check: iss, token: jwt(`{"iss":"https://me","aud":["b","a","c"]}`)},
		"another issuer":             {check: iss, token: jwt(`{"iss":"https://me/","aud":["a","b"]}`), want: `iss is not "https://me": they differ by the final slash`},
		"no issuer":                  {check: iss, token: jwt(`{"aud":["a","b"]}`), want: "it has none"},
		"an issuer of http":          {check: iss, token: jwt(`{"iss":"http://me"}`), want: "http://"},
		"an issuer without scheme":   {check: iss, token: jwt(`{"iss":"me"}`), want: "it does not begin with https://"},
		"an issuer in capitals":      {check: iss, token: jwt(`{"iss":"HTTPS://ME"}`), want: "upper and lower case"},
		"an issuer that tells":       {check: iss, token: jwt(`{"iss":"s3cret"}`), want: "it has 6 bytes, which are not shown"},
		"a type that tells":          {token: with(func(t *daemon.Token) { t.Type = "s3cret" }), want: "the token type is not Bearer"},
		"a member that tells, twice": {token: jwt(`{"s3cret":1,"s3cret":2}`), want: "a member appears twice"},
		"an audience missing":        {check: iss, token: jwt(`{"iss":"https://me","aud":"a"}`), want: `does not name "b"`},
		"expectations, but opaque":   {check: iss, token: good(), want: "not a JWT"},
	} {
		notices, err := c.check.Verify(c.token, now)
		switch {
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s: the error tells: %v", name, err)
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || daemon.ClassOf(err) != daemon.ClassMalformed):
			t.Errorf("%s: %v (%s), want %q", name, err, daemon.ClassOf(err), c.want)
		case c.notice != "" && (len(notices) != 1 || !strings.Contains(notices[0], c.notice)):
			t.Errorf("%s: notices %q", name, notices)
		}
	}
}
