// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package claims_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon/claims"
)

func jwt(header, payload string) string {
	b := base64.RawURLEncoding
	return b.EncodeToString([]byte(header)) + "." + b.EncodeToString([]byte(payload)) + "." + b.EncodeToString([]byte("signature"))
}

const es256 = `{"alg":"ES256","typ":"JWT","kid":"k1"}`

func TestParse(t *testing.T) {
	c, err := claims.Parse(jwt(es256, `{"iss":"me","sub":"you","aud":["a","b"],"exp":1700000000,"nbf":"1600000000","iat":1.5e9,"x":{"exp":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Algorithm != "ES256" || c.Type != "JWT" || c.KeyID != "k1" || c.Issuer != "me" || c.Subject != "you" || !slices.Equal(c.Audience, []string{"a", "b"}) {
		t.Errorf("got %+v", c)
	}
	if c.ExpiresAt.Unix() != 1700000000 || c.NotBefore.Unix() != 1600000000 || c.IssuedAt.Unix() != 1500000000 {
		t.Errorf("times: %v %v %v", c.ExpiresAt, c.NotBefore, c.IssuedAt)
	}
	if c, _ := claims.Parse(jwt(es256, `{"aud":"one"}`)); !slices.Equal(c.Audience, []string{"one"}) {
		t.Errorf("a single audience: %q", c.Audience)
	}
}

func TestOpaqueTokensAreNotRead(t *testing.T) {
	for _, token := range []string{
		"", "opaque", "a.b.c", "..", "eyJhbGciOiJub25lIn0", "eyJ.eyJ.eyJ", "v2.local.xyz",
		jwt(`{"typ":"JWT"}`, `{}`), jwt(`["alg"]`, `{}`), jwt(es256, `[1]`), jwt(es256, `{} {}`), jwt(es256, `{}`) + ".x.y",
		jwt(es256, `{"a":`), jwt(es256, "{}") + "\n", jwt(es256, "{\"a\":\"\xff\"}"), jwt(`{"alg":1}`, `{}`),
	} {
		if _, err := claims.Parse(token); !errors.Is(err, claims.ErrOpaque) {
			t.Errorf("%q: %v, want ErrOpaque", token, err)
		}
	}
}

func TestRepeatedMemberIsRefused(t *testing.T) {
	for _, token := range []string{
		jwt(es256, `{"exp":1,"exp":2}`),
		jwt(`{"alg":"HS256","alg":"none"}`, `{}`),
		jwt(es256, `{"exp":1,"\u0065xp":2}`),
	} {
		_, err := claims.Parse(token)
		if err == nil || errors.Is(err, claims.ErrOpaque) {
			t.Errorf("%q: %v, want an error that is not ErrOpaque", token, err)
		}
	}
}

func TestNumericDate(t *testing.T) {
	for value, want := range map[string]int64{
		"0": 0, "1700000000": 1700000000, "1700000000.9": 1700000000, "1.7e9": 1700000000, `"1700000000"`: 1700000000,
		"-1e19": 0, "1e20": 253402300799, "1e400": 253402300799, "9223372036854775807": 253402300799,
	} {
		if got, ok := claims.NumericDate([]byte(value)); !ok || got.Unix() != want {
			t.Errorf("%s: %v %v, want %d", value, got, ok, want)
		}
	}
	for _, value := range []string{`"1h"`, `""`, `true`, `null`, `{}`, `[1]`, `"-5"`, `"1.5"`} {
		if got, ok := claims.NumericDate([]byte(value)); ok {
			t.Errorf("%s: read as %v", value, got)
		}
	}
}

func TestNonsenseIsNoticed(t *testing.T) {
	c, err := claims.Parse(jwt(es256, `{"exp":true,"nbf":null}`))
	if err != nil || !c.ExpiresAt.IsZero() || len(c.Notices) != 1 || !strings.HasPrefix(c.Notices[0], "exp") {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestExpiryFarAheadIsNoBound(t *testing.T) {
	now := time.Unix(1700000000, 0)
	far := claims.Claims{ExpiresAt: now.AddDate(10, 0, 1)}
	if at, notice := far.Expiry(now); !at.IsZero() || notice == "" {
		t.Errorf("ten years and a day: %v %q", at, notice)
	}
	near := claims.Claims{ExpiresAt: now.AddDate(9, 0, 0)}
	if at, notice := near.Expiry(now); !at.Equal(near.ExpiresAt) || notice != "" {
		t.Errorf("nine years: %v %q", at, notice)
	}
}

func TestMembersKeepTheirPlace(t *testing.T) {
	text := `{ "a" : 1 , "exp":  12345678901234567890, "<&>": "x" }`
	members, err := claims.Members([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range members {
		got = append(got, m.Name+"="+text[m.Start:m.End])
	}
	if want := []string{"a=1", "exp=12345678901234567890", `<&>="x"`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMembersAreBounded(t *testing.T) {
	object := func(n int) []byte {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, `,"%d":0`, i)
		}
		return []byte("{" + text.String()[1:] + "}")
	}
	if members, err := claims.Members(object(4096)); err != nil || len(members) != 4096 {
		t.Errorf("%d members, %v", len(members), err)
	}
	if _, err := claims.Members(object(4097)); err == nil || !strings.Contains(err.Error(), "more than 4096 members") {
		t.Errorf("one more: %v", err)
	}
	if _, err := claims.Parse(jwt(es256, string(object(4097)))); err == nil || errors.Is(err, claims.ErrOpaque) {
		t.Errorf("in a token: %v, want an error that is not ErrOpaque", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(jwt(es256, `{"exp":1,"aud":["a"]}`))
	f.Add(jwt(es256, `{"exp":"1","nbf":1e400,"iat":-0.5}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := claims.Parse(token)
		if err != nil {
			return
		}
		for _, at := range []time.Time{c.ExpiresAt, c.NotBefore, c.IssuedAt} {
			if !at.IsZero() && (at.Year() < 1970 || at.Year() > 9999) {
				t.Errorf("a time outside its bounds: %v", at)
			}
		}
	})
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"a": [1, {"b": null}], "c": "d"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := claims.Members(data)
		if err != nil {
			return
		}
		for _, m := range members {
			if string(data[m.Start:m.End]) != string(m.Value) {
				t.Errorf("%q is not at %d:%d", m.Value, m.Start, m.End)
			}
		}
	})
}
