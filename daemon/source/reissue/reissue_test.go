// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package reissue

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/contract"
)

const (
	secret32 = "0123456789abcdefghijklmnopqrstuv"
	header   = `{"typ": "JWT", "kid":"k/1", "alg" :"HS256"}`
	start    = 946684800 // of a bubble
)

// signed writes a JWS of exactly these bytes.
func signed(t testing.TB, method jwt.SigningMethod, key any, header, payload string) string {
	t.Helper()
	b := base64.RawURLEncoding
	input := b.EncodeToString([]byte(header)) + "." + b.EncodeToString([]byte(payload))
	signature, err := method.Sign(input, key)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b.EncodeToString(signature)
}

func hs256(t testing.TB, header, payload string) string {
	return signed(t, jwt.SigningMethodHS256, []byte(secret32), header, payload)
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configured returns a configuration whose key file is there and whose token file is not.
func configured(t testing.TB) Config {
	t.Helper()
	dir := t.TempDir()
	c := Default()
	c.KeyFile, c.TokenFile = filepath.Join(dir, "key"), filepath.Join(dir, "token")
	put(t, c.KeyFile, secret32)
	return c
}

func source(t testing.TB, c Config) *Source {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func payload(t testing.TB, token daemon.Token) string {
	t.Helper()
	data, err := base64.RawURLEncoding.Strict().DecodeString(strings.Split(token.Value.Reveal(), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// In a bubble it is 2000-01-01 00:00 UTC, 946684800.
func TestNewExpiry(t *testing.T) {
	with := func(extend, grace, maxLife time.Duration) func(*Config) {
		return func(c *Config) { c.Extend, c.Grace, c.MaxLife = extend, grace, maxLife }
	}
	for name, c := range map[string]struct {
		payload string
		config  func(*Config)
		want    string
	}{
		"alive":                       {`{"exp":946685000}`, with(30*time.Minute, 0, 0), `{"exp":946686800}`},
		"last second":                 {`{"exp":946684801}`, with(time.Minute, 0, 0), `{"exp":946684861}`},
		"expired within grace":        {`{"exp":946684741}`, with(time.Minute, time.Minute, 0), `{"exp":946684860}`},
		"a fraction is rounded down":  {`{"exp":946685000.9}`, with(time.Minute, 0, 0), `{"exp":946685060}`},
		"another spelling":            {`{"exp":9.46685e8}`, with(time.Minute, 0, 0), `{"exp":946685060}`},
		"digits in a text":            {`{"exp":"946685000"}`, with(time.Minute, 0, 0), `{"exp":946685060}`},
		"nbf reached":                 {`{"nbf":946684800,"exp":946685000}`, with(time.Minute, 0, 0), `{"nbf":946684800,"exp":946685060}`},
		"extend rounded down":         {`{"exp":946685000}`, with(1999*time.Millisecond, 0, 0), `{"exp":946685001}`},
		"maxLife far":                 {`{"iat":946684000,"exp":946685000}`, with(time.Minute, 0, time.Hour), `{"iat":946684000,"exp":946685060}`},
		"maxLife cuts":                {`{"iat":946684700,"exp":946685000}`, with(time.Hour, 0, 10*time.Minute), `{"iat":946684700,"exp":946685300}`},
		"maxLife, one second of room": {`{"iat":946684401,"exp":946685000}`, with(time.Hour, 0, 10*time.Minute), `{"iat":946684401,"exp":946685001}`},
		"white space and order stay":  {"{ \"b\" : 1 ,\n\t\"exp\" : 946685000 , \"a\":{\"exp\":1} }", with(time.Minute, 0, 0), "{ \"b\" : 1 ,\n\t\"exp\" : 946685060 , \"a\":{\"exp\":1} }"},
		"numbers and escapes stay":    {`{"n":9007199254740993123,"f":1.10,"s":"\u003c<\/é","exp":946685000}`, with(time.Minute, 0, 0), `{"n":9007199254740993123,"f":1.10,"s":"\u003c<\/é","exp":946685060}`},
		"an escaped name":             {`{"\u0065xp":946685000}`, with(time.Minute, 0, 0), `{"\u0065xp":946685060}`},
	} {
		t.Run(name, func(t *testing.T) {
			config := configured(t)
			c.config(&config)
			s := source(t, config)
			old := hs256(t, header, c.payload)
			put(t, config.TokenFile, " \r\n"+old+"\n")
			synctest.Test(t, func(t *testing.T) {
				got, err := s.Token(t.Context())
				if err != nil {
					t.Fatalf("%v (%s)", err, daemon.HintOf(err))
				}
				if payload(t, got) != c.want {
					t.Errorf("got  %s\nwant %s", payload(t, got), c.want)
				}
				if got.Value.Reveal() != hs256(t, header, c.want) {
					t.Errorf("header or signature: %s", got.Value.Reveal())
				}
				if !strings.Contains(c.want, fmt.Sprintf("xp\":%d", got.ExpiresAt.Unix())) && !strings.Contains(c.want, fmt.Sprintf("xp\" : %d", got.ExpiresAt.Unix())) {
					t.Errorf("expires %v, which is not what is written", got.ExpiresAt)
				}
				if !got.IssuedAt.Equal(time.Now()) || got.Type != "Bearer" {
					t.Errorf("issued %v, type %s", got.IssuedAt, got.Type)
				}
			})
		})
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	alive := fmt.Sprintf(`{"exp":%d,"sub":"canary-subject"}`, start+100)
	good := hs256(t, header, alive)
	dots := strings.Split(good, ".")
	rsaKey := []byte("another secret, that is long enough")
	for name, c := range map[string]struct {
		token, problem, hint string
		config               func(*Config)
	}{
		"opaque":              {"canary-opaque", "not a JWT", "three base64url parts", nil},
		"two tokens":          {good + "\n" + good, "not a JWT", "", nil},
		"space inside":        {dots[0] + ". " + dots[1] + "." + dots[2], "not a JWT", "", nil},
		"line end inside":     {dots[0] + ".\n" + dots[1] + "." + dots[2], "not a JWT", "", nil},
		"Bearer in front":     {"Bearer " + good, "not a JWT", "", nil},
		"padding":             {dots[0] + "." + dots[1] + "." + dots[2] + "=", "not a JWT", "", nil},
		"four parts":          {good + ".e30", "not a JWT", "", nil},
		"another alg":         {signed(t, jwt.SigningMethodHS512, []byte(secret32), `{"alg":"HS512"}`, alive), `its alg is "HS512", and only HS256 is accepted`, "correct algorithm", nil},
		"alg none":            {hs256(t, `{"alg":"none"}`, alive), `its alg is "none", and only HS256 is accepted`, "", nil},
		"alg in lower case":   {hs256(t, `{"alg":"hs256"}`, alive), `its alg is "hs256", and only HS256 is accepted`, "", nil},
		"crit":                {hs256(t, `{"alg":"HS256","crit":["b64"],"b64":false}`, alive), "its header has crit", "", nil},
		"crit null":           {hs256(t, `{"alg":"HS256","crit":null}`, alive), "its header has crit", "", nil},
		"another key":         {signed(t, jwt.SigningMethodHS256, rsaKey, header, alive), "the signature is not by this key", "keyFile", nil},
		"no signature":        {dots[0] + "." + dots[1] + ".", "the signature is not by this key", "", nil},
		"signature cut":       {good[:len(good)-3], "the signature is not by this key", "", nil},
		"claims changed":      {dots[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":946699999}`)) + "." + dots[2], "the signature is not by this key", "", nil},
		"exp twice":           {hs256(t, header, `{"exp":946685000,"exp":946685001}`), `JWT payload: the member "exp" appears twice`, "", nil},
		"alg twice":           {hs256(t, `{"alg":"HS256","alg":"none"}`, alive), `JWT header: the member "alg" appears twice`, "", nil},
		"no exp":              {hs256(t, header, `{"sub":"a","Exp":946685000}`), "it has no exp", "", nil},
		"exp null":            {hs256(t, header, `{"exp":null}`), "its exp is not a number", "", nil},
		"exp an hour":         {hs256(t, header, `{"exp":"1h"}`), "its exp is not a number", "", nil},
		"exp far ahead":       {hs256(t, header, `{"exp":1e400}`), "its exp is more than ten years ahead", "", nil},
		"nbf ahead":           {hs256(t, header, `{"exp":946685000,"nbf":946684830}`), "its nbf is 30s ahead", "", nil},
		"nbf no number":       {hs256(t, header, `{"exp":946685000,"nbf":true}`), "its nbf is not a number", "", nil},
		"expired":             {hs256(t, header, `{"exp":946684800}`), "it expired 0s ago, and grace is 0s", "alive", nil},
		"expired an hour ago": {hs256(t, header, `{"exp":946681200}`), "it expired 1h0m0s ago, and grace is 0s", "alive", nil},
		"exp zero":            {hs256(t, header, `{"exp":0}`), "it expired 262968h0m0s ago, and grace is 0s", "", nil},
		"grace over":          {hs256(t, header, `{"exp":946684740}`), "it expired 1m0s ago, and grace is 1m0s", "alive", func(c *Config) { c.Grace = time.Minute }},
		"maxLife without iat": {hs256(t, header, alive), "it has no iat, and maxLife counts from it", "maxLife", func(c *Config) { c.MaxLife = time.Hour }},
		"maxLife, bad iat":    {hs256(t, header, `{"exp":946685000,"iat":[]}`), "its iat is not a number", "", func(c *Config) { c.MaxLife = time.Hour }},
		"maxLife reached":     {hs256(t, header, `{"exp":946685000,"iat":946681400}`), "it has reached maxLife, 1h0m0s after its iat", "new token", func(c *Config) { c.MaxLife = time.Hour }},
		"maxLife passed":      {hs256(t, header, `{"exp":946684795,"iat":946681198}`), "it has reached maxLife, 1h0m0s after its iat", "new token", func(c *Config) { c.MaxLife, c.Grace = time.Hour, time.Minute }},
	} {
		t.Run(name, func(t *testing.T) {
			config := configured(t)
			if c.config != nil {
				c.config(&config)
			}
			s := source(t, config)
			put(t, config.TokenFile, c.token)
			synctest.Test(t, func(t *testing.T) {
				got, err := s.Token(t.Context())
				if err == nil {
					t.Fatalf("issued %s", payload(t, got))
				}
				failure, ok := errors.AsType[*daemon.Failure](err)
				if want := fmt.Sprintf("reissue: token file %q: %s", config.TokenFile, c.problem); !ok || !strings.HasPrefix(err.Error(), want) {
					t.Fatalf("error %v\n want %s", err, want)
				}
				if failure.Class != daemon.ClassRefused || !strings.Contains(failure.Hint, c.hint) {
					t.Errorf("class %s, hint %q", failure.Class, failure.Hint)
				}
				if printed := fmt.Sprintf("%v %+v %#v", err, failure, failure.Hint); strings.Contains(printed, "canary") || strings.Contains(printed, "eyJ") {
					t.Errorf("a part of the token is printed: %s", printed)
				}
			})
		})
	}
}

func TestSeedIsReadWhileThereIsNoToken(t *testing.T) {
	c := configured(t)
	c.SeedFile = filepath.Join(t.TempDir(), "seed")
	s := source(t, c)
	now := time.Now().Unix()
	fails := func(where string, class daemon.Class, problem string) {
		t.Helper()
		if _, err := s.Token(t.Context()); err == nil || daemon.ClassOf(err) != class || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v, class %s", where, err, daemon.ClassOf(err))
		}
	}
	fails("neither", daemon.ClassUnavailable, fmt.Sprintf("seed file %q: no such file", c.SeedFile))
	put(t, c.SeedFile, hs256(t, header, fmt.Sprintf(`{"sub":"seed","exp":%d}`, now+60)))
	if got, err := s.Token(t.Context()); err != nil || !strings.HasPrefix(payload(t, got), `{"sub":"seed",`) {
		t.Errorf("from the seed: %v", err)
	}
	put(t, c.TokenFile, hs256(t, header, fmt.Sprintf(`{"sub":"token","exp":%d}`, now+60)))
	if got, err := s.Token(t.Context()); err != nil || !strings.HasPrefix(payload(t, got), `{"sub":"token",`) {
		t.Errorf("from the token: %v", err)
	}
	put(t, c.TokenFile, "")
	fails("empty token file", daemon.ClassUnavailable, "is empty")
	put(t, c.TokenFile, "garbage")
	fails("bad token file", daemon.ClassRefused, "not a JWT")
	if err := os.Remove(c.TokenFile); err != nil {
		t.Fatal(err)
	}
	put(t, c.SeedFile, "garbage")
	fails("bad seed", daemon.ClassRefused, fmt.Sprintf("seed file %q: not a JWT", c.SeedFile))
}

// A day of one file that feeds itself: whatever was published last is issued again, and others can read all of it.
func TestTokenFileThatFeedsItself(t *testing.T) {
	c := configured(t)
	s := source(t, c)
	put(t, c.TokenFile, hs256(t, header, `{"sub":"orders","n":9007199254740993,"exp":946684860}`))
	synctest.Test(t, func(t *testing.T) {
		for range 60 {
			got, err := s.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			put(t, c.TokenFile, got.Value.Reveal())
			life := got.ExpiresAt.Sub(got.IssuedAt)
			if life < 30*time.Minute || life > 42*time.Minute {
				t.Fatalf("a life of %v", life)
			}
			time.Sleep(life * 3 / 4)
		}
		text, err := os.ReadFile(c.TokenFile)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jwt.Parse(string(text), func(*jwt.Token) (any, error) { return []byte(secret32), nil }, jwt.WithExpirationRequired()); err != nil {
			t.Errorf("golang-jwt: %v", err)
		}
		parsed, err := jose.ParseSignedCompact(string(text), []jose.SignatureAlgorithm{jose.HS256})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify([]byte(secret32)); err != nil {
			t.Errorf("go-jose: %v", err)
		}
	})
}

func TestKeyPair(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := configured(t)
	c.Algorithm = "ES256"
	put(t, c.KeyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	put(t, c.TokenFile, signed(t, jwt.SigningMethodES256, key, `{"alg":"ES256"}`, fmt.Sprintf(`{"exp":%d}`, time.Now().Unix()+60)))
	got, err := source(t, c).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwt.Parse(got.Value.Reveal(), func(*jwt.Token) (any, error) { return key.Public(), nil }); err != nil {
		t.Error(err)
	}
}

func TestContract(t *testing.T) {
	c := configured(t)
	c.SeedFile = filepath.Join(t.TempDir(), "seed")
	text := hs256(t, header, fmt.Sprintf(`{"sub":"canary-subject","exp":%d}`, time.Now().Unix()+600))
	put(t, c.TokenFile, text)
	failing := map[string]contract.Failing{}
	fails := func(name string, class daemon.Class, change func(*Config)) {
		broken := configured(t)
		change(&broken)
		failing[name] = contract.Failing{Source: source(t, broken), Class: class}
	}
	fails("no token file", daemon.ClassUnavailable, func(*Config) {})
	fails("empty token file", daemon.ClassUnavailable, func(c *Config) { put(t, c.TokenFile, "") })
	fails("token file a directory", daemon.ClassConfig, func(c *Config) { c.TokenFile = t.TempDir() })
	fails("white space", daemon.ClassUnavailable, func(c *Config) { put(t, c.TokenFile, " \n") })
	fails("no key file", daemon.ClassConfig, func(c *Config) { put(t, c.TokenFile, text); c.KeyFile += ".absent" })
	fails("public key", daemon.ClassConfig, func(c *Config) { put(t, c.KeyFile, "-----BEGIN PUBLIC KEY-----\n"+secret32) })
	fails("wrong key", daemon.ClassRefused, func(c *Config) { put(t, c.TokenFile, text); put(t, c.KeyFile, secret32+"!") })
	parts := strings.Split(text, ".")
	contract.Test(t, contract.Case{
		Source:  source(t, c),
		Inputs:  []string{c.KeyFile, c.SeedFile, c.TokenFile},
		Failing: failing,
		Secrets: []string{secret32, "canary", parts[1], parts[2]},
	})
}
