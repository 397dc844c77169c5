// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package sign_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/contract"
	"github.com/renewd/renewd/daemon/source/sign"
)

func TestMistakesAreFoundWithoutFiles(t *testing.T) {
	with := func(claims map[string]any) func(*sign.Config) { return func(c *sign.Config) { c.Claims = claims } }
	accessToken := func(claims map[string]any) func(*sign.Config) {
		return func(c *sign.Config) { c.Type, c.Claims = "AT+JWT", claims }
	}
	for name, c := range map[string]struct {
		change func(*sign.Config)
		want   []string
	}{
		"nothing":                {func(*sign.Config) {}, nil},
		"algorithm":              {func(c *sign.Config) { c.Algorithm = "es256" }, []string{"algorithm"}},
		"everything":             {func(c *sign.Config) { *c = sign.Config{Backdate: -1} }, []string{"algorithm", "backdate", "keyFile", "keyID", "ttl", "type"}},
		"ttl negative":           {func(c *sign.Config) { c.TTL = -time.Hour }, []string{"ttl"}},
		"ttl below a second":     {func(c *sign.Config) { c.TTL = time.Second - 1 }, []string{"ttl"}},
		"ttl shortest":           {func(c *sign.Config) { c.TTL = time.Second }, nil},
		"ttl ten years":          {func(c *sign.Config) { c.TTL = 87600 * time.Hour }, nil},
		"ttl above":              {func(c *sign.Config) { c.TTL = 87600*time.Hour + 1 }, []string{"ttl"}},
		"backdate longest":       {func(c *sign.Config) { c.Backdate = time.Hour }, nil},
		"backdate above":         {func(c *sign.Config) { c.Backdate = time.Hour + 1 }, []string{"backdate"}},
		"certFile and HMAC":      {func(c *sign.Config) { c.Algorithm, c.CertFile = "HS384", "/cert" }, []string{"certFile"}},
		"exp":                    {with(map[string]any{"exp": int64(1)}), []string{"claims.exp"}},
		"exp null":               {with(map[string]any{"exp": nil}), []string{"claims.exp"}},
		"iat, nbf, jti":          {with(map[string]any{"iat": int64(1), "nbf": "", "jti": "x"}), []string{"claims.iat", "claims.jti", "claims.nbf"}},
		"iat, nbf, jti null":     {with(map[string]any{"iat": nil, "nbf": nil, "jti": nil}), nil},
		"iss, sub":               {with(map[string]any{"iss": int64(1), "sub": ""}), []string{"claims.iss", "claims.sub"}},
		"iss null":               {with(map[string]any{"iss": nil}), []string{"claims.iss"}},
		"aud text":               {with(map[string]any{"aud": "a"}), nil},
		"aud list":               {with(map[string]any{"aud": []any{"a", "b"}}), nil},
		"aud empty":              {with(map[string]any{"aud": ""}), []string{"claims.aud"}},
		"aud empty list":         {with(map[string]any{"aud": []any{}}), []string{"claims.aud"}},
		"aud null":               {with(map[string]any{"aud": nil}), []string{"claims.aud"}},
		"aud number":             {with(map[string]any{"aud": []any{"a", int64(1)}}), []string{"claims.aud"}},
		"aud list in a list":     {with(map[string]any{"aud": []any{[]any{"a"}}}), []string{"claims.aud"}},
		"not JSON":               {with(map[string]any{"x": math.NaN(), "y": []any{math.Inf(1)}, "z": json.Number("1.")}), []string{"claims.x", "claims.y", "claims.z"}},
		"access token":           {accessToken(map[string]any{"iss": "i", "sub": "s", "aud": "a", "client_id": "c", "nbf": nil}), nil},
		"access token, bare":     {accessToken(nil), []string{"claims.aud", "claims.client_id", "claims.iss", "claims.sub"}},
		"access token, null":     {accessToken(map[string]any{"iss": "i", "sub": "s", "aud": "a", "client_id": nil, "iat": nil, "jti": nil}), []string{"claims.client_id", "claims.iat", "claims.jti"}},
		"access token, long typ": {func(c *sign.Config) { c.Type = "application/at+jwt" }, []string{"claims.aud", "claims.client_id", "claims.iss", "claims.sub"}},
	} {
		config := sign.Default()
		config.KeyFile = "/nowhere/key"
		c.change(&config)
		s, err := sign.New(config)
		if got := contract.Fields(t, err); !slices.Equal(got, c.want) || (s == nil) == (c.want == nil) {
			t.Errorf("%s: source %v, %v; want %q", name, s != nil, err, c.want)
		}
	}
}

func TestEnumIsWhatNewAccepts(t *testing.T) {
	field, _ := reflect.TypeFor[sign.Config]().FieldByName("Algorithm")
	names := strings.Split(field.Tag.Get("enum"), ",")
	for _, name := range names {
		c := sign.Default()
		c.KeyFile, c.Algorithm = "/key", name
		if _, err := sign.New(c); err != nil {
			t.Error(err)
		}
	}
	_, err := sign.New(sign.Config{})
	if f, ok := errors.AsType[*daemon.FieldError](err); !ok || f.Help != "one of "+strings.Join(names, ", ") {
		t.Errorf("%v: the enum is not the list that New knows", f)
	}
}

func TestLifetimeIsTheConfiguredOne(t *testing.T) {
	c := sign.Default()
	c.KeyFile, c.TTL = "/key", 7*time.Minute
	s, err := sign.New(c)
	if err != nil || s.Lifetime() != 7*time.Minute {
		t.Errorf("%v, %v", s.Lifetime(), err)
	}
}
