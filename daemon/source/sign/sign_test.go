// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package sign_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
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
	"github.com/renewd/renewd/daemon/source/sign"
)

const secret32 = "0123456789abcdefghijklmnopqrstuv"

// constant stands in for randomness where a golden token must come out.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

func save(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pkcs8(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// fixedEd25519 makes golden tokens possible: EdDSA signatures do not draw at random.
func fixedEd25519() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte("an Ed25519 seed for golden files"))
}

// configured returns a configuration for a key file with text.
func configured(t testing.TB, algorithm, text string, claims map[string]any) sign.Config {
	t.Helper()
	c := sign.Default()
	c.Algorithm, c.KeyFile, c.Claims = algorithm, save(t, "key", text), claims
	return c
}

func source(t testing.TB, c sign.Config) *sign.Source {
	t.Helper()
	s, err := sign.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Rand = constant(0xab)
	return s
}

func token(t testing.TB, s *sign.Source) daemon.Token {
	t.Helper()
	got, err := s.Token(t.Context())
	if err != nil {
		t.Fatalf("%v (%s)", err, daemon.HintOf(err))
	}
	return got
}

// parts returns header and payload as they are written.
func parts(t testing.TB, token daemon.Token) (header, payload string) {
	t.Helper()
	texts := strings.Split(token.Value.Reveal(), ".")
	if len(texts) != 3 {
		t.Fatalf("%d parts", len(texts))
	}
	var decoded [2]string
	for i := range decoded {
		data, err := base64.RawURLEncoding.Strict().DecodeString(texts[i])
		if err != nil {
			t.Fatal(err)
		}
		decoded[i] = string(data)
	}
	return decoded[0], decoded[1]
}

// In a bubble it is 2000-01-01 00:00 UTC, 946684800. The signatures and the kid are those that OpenSSL and Python give.
func TestGoldenTokens(t *testing.T) {
	claims := map[string]any{"sub": "orders", "iss": "orders", "aud": []any{"billing"}}
	for name, c := range map[string]struct {
		algorithm, key, header, payload, signature string
	}{
		"HS256": {
			"HS256", secret32,
			`{"alg":"HS256","typ":"JWT"}`,
			`{"aud":"billing","iss":"orders","sub":"orders","iat":946684740,"nbf":946684740,"exp":946686600,"jti":"q6urq6urq6urq6urq6urqw"}`,
			"2MuCeIcV03GTp8kfK-1Gl9Q0PJLm2-4yDAu6Im9Rblk",
		},
		"EdDSA": {
			"EdDSA", pkcs8(t, fixedEd25519()),
			`{"alg":"EdDSA","typ":"JWT","kid":"SG4C-L2gQEfYI-7g9rSYXDSoomBGBdqRrZgRPk7yykc"}`,
			`{"aud":"billing","iss":"orders","sub":"orders","iat":946684740,"nbf":946684740,"exp":946686600,"jti":"q6urq6urq6urq6urq6urqw"}`,
			"gpCTmUi2AuGm9teEf1BEGVgtSIXJnX7Nr9R96loz7GGoCt9xP0UhMjiKwwtsPohmW1cYmgek5TLw9QJIIiahAw",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := source(t, configured(t, c.algorithm, c.key, claims))
			synctest.Test(t, func(t *testing.T) {
				got := token(t, s)
				if header, payload := parts(t, got); header != c.header || payload != c.payload {
					t.Errorf("got  %s %s\nwant %s %s", header, payload, c.header, c.payload)
				}
				if signature := got.Value.Reveal()[strings.LastIndexByte(got.Value.Reveal(), '.')+1:]; signature != c.signature {
					t.Errorf("signature %s, want %s", signature, c.signature)
				}
				if got.Type != "Bearer" || !got.IssuedAt.Equal(time.Now()) || !got.ExpiresAt.Equal(time.Now().Add(30*time.Minute)) {
					t.Errorf("type %s, issued %v, expires %v", got.Type, got.IssuedAt, got.ExpiresAt)
				}
			})
		})
	}
}

func TestClaimsKeepTypeAndBytes(t *testing.T) {
	claims := map[string]any{
		"text": `<&>"é` + "\u2028", "yes": true, "nothing": nil, "float": 1.5, "int": int64(9007199254740993),
		"big": json.Number("123456789012345678901234567890"), "list": []any{int64(1), "a", nil},
		"map": map[string]any{"z": json.Number("9223372036854775808"), "a": map[string]any{"<": "&"}},
		"aud": []any{"b", "a"}, "jti": nil, "nbf": nil,
	}
	s := source(t, configured(t, "HS256", secret32, claims))
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1500 * time.Millisecond) // times between two seconds are rounded down
		got := token(t, s)
		_, payload := parts(t, got)
		want := `{"aud":["b","a"],"big":123456789012345678901234567890,"float":1.5,"int":9007199254740993,"list":[1,"a",null],` +
			`"map":{"a":{"<":"&"},"z":9223372036854775808},"nothing":null,"text":"<&>\"é\u2028","yes":true,"iat":946684741,"exp":946686601}`
		if payload != want {
			t.Errorf("got  %s\nwant %s", payload, want)
		}
		if got.ExpiresAt.Unix() != 946686601 || got.ExpiresAt.Nanosecond() != 0 {
			t.Errorf("expires %v, which is not the exp written", got.ExpiresAt)
		}
	})
}

func TestEveryTokenHasItsOwnID(t *testing.T) {
	s := source(t, configured(t, "HS256", secret32, nil))
	s.Rand = nil
	seen := map[string]bool{}
	for range 100 {
		_, payload := parts(t, token(t, s))
		var claims struct{ JTI string }
		if err := json.Unmarshal([]byte(payload), &claims); err != nil || len(claims.JTI) != 22 || seen[claims.JTI] {
			t.Fatalf("%s: %v", payload, err)
		}
		seen[claims.JTI] = true
	}
	s.Rand = strings.NewReader("short")
	if got, err := s.Token(t.Context()); err == nil || daemon.ClassOf(err) != daemon.ClassConfig {
		t.Errorf("without random bytes: %v, %v", got, err)
	}
}

func TestHeader(t *testing.T) {
	ec := p256(t)
	thumbprint, err := (&jose.JSONWebKey{Key: ec.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	for keyID, member := range map[string]string{
		"auto": `,"kid":"` + base64.RawURLEncoding.EncodeToString(thumbprint) + `"`, "none": "", "<a&b>": `,"kid":"<a&b>"`,
	} {
		c := configured(t, "ES256", pkcs8(t, ec), nil)
		c.KeyID, c.Type = keyID, "dpop+jwt"
		if header, _ := parts(t, token(t, source(t, c))); header != `{"alg":"ES256","typ":"dpop+jwt"`+member+`}` {
			t.Errorf("keyID %s: %s", keyID, header)
		}
	}
}

func certificate(t *testing.T, key crypto.Signer, notAfter time.Time) (text, thumbprint string) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestTokenDoesNotOutliveItsCertificate(t *testing.T) {
	key := p256(t)
	end := time.Date(2000, 1, 1, 0, 10, 0, 0, time.UTC)
	text, thumbprint := certificate(t, key, end)
	c := configured(t, "ES256", pkcs8(t, key), nil)
	c.CertFile, c.KeyID = save(t, "cert", text), "none"
	s := source(t, c)
	synctest.Test(t, func(t *testing.T) {
		got := token(t, s)
		header, payload := parts(t, got)
		if want := `{"alg":"ES256","typ":"JWT","x5t#S256":"` + thumbprint + `"}`; header != want {
			t.Errorf("header %s, want %s", header, want)
		}
		if !got.ExpiresAt.Equal(end) || !strings.Contains(payload, `"exp":946685400,`) {
			t.Errorf("expires %v, %s", got.ExpiresAt, payload)
		}
		for _, wait := range []time.Duration{time.Until(end), time.Second} {
			time.Sleep(wait)
			if got, err := s.Token(t.Context()); err == nil || daemon.ClassOf(err) != daemon.ClassConfig || !strings.Contains(err.Error(), "2000-01-01T00:10:00Z") {
				t.Errorf("at %v: %v, %v", time.Now(), got, err)
			}
		}
	})
}

func TestCheckReadsKeyAndCertificate(t *testing.T) {
	key := p256(t)
	c := configured(t, "ES256", pkcs8(t, key), nil)
	text, _ := certificate(t, key, time.Now().Add(time.Hour))
	c.CertFile = save(t, "cert", text)
	if err := source(t, c).Check(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*sign.Config){
		func(c *sign.Config) { c.KeyFile += ".absent" }, func(c *sign.Config) { c.CertFile += ".absent" },
	} {
		wrong := c
		change(&wrong)
		if err := source(t, wrong).Check(); daemon.ClassOf(err) != daemon.ClassConfig {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

// What others make of our tokens, knowing only the published key.
func TestOthersVerifyTokens(t *testing.T) {
	s := source(t, configured(t, "ES256", pkcs8(t, p256(t)), map[string]any{"iss": "me", "aud": []any{"you"}}))
	keys, err := s.PublicKeys()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(`{"keys":[`+string(keys[0])+`]}`), &set); err != nil {
		t.Fatal(err)
	}
	text := token(t, s).Value.Reveal()
	_, err = jwt.Parse(text, func(t *jwt.Token) (any, error) { return set.Key(t.Header["kid"].(string))[0].Key, nil },
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithAudience("you"), jwt.WithIssuer("me"), jwt.WithValidMethods([]string{"ES256"}))
	if err != nil {
		t.Errorf("golang-jwt: %v", err)
	}
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Verify(&set); err != nil {
		t.Errorf("go-jose: %v", err)
	}
}

func TestRotatedKeyIsUsedAtOnce(t *testing.T) {
	s := source(t, configured(t, "ES256", pkcs8(t, p256(t)), nil))
	before, _ := parts(t, token(t, s))
	if err := os.WriteFile(s.Inputs()[0], []byte(pkcs8(t, p256(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	if after, _ := parts(t, token(t, s)); after == before {
		t.Error("the kid is still that of the old key")
	}
}

func TestContract(t *testing.T) {
	key := p256(t)
	text := pkcs8(t, key)
	good := configured(t, "ES256", text, nil)
	cert, _ := certificate(t, key, time.Now().Add(time.Hour))
	good.CertFile = save(t, "cert", cert)
	failing := map[string]contract.Failing{}
	fails := func(name string, class daemon.Class, c sign.Config) {
		failing[name] = contract.Failing{Source: source(t, c), Class: class}
	}
	fails("wrong kind", daemon.ClassConfig, configured(t, "RS256", text, nil))
	fails("short secret", daemon.ClassConfig, configured(t, "HS256", secret32[1:], nil))
	fails("cut off", daemon.ClassConfig, configured(t, "ES256", text[:120], nil))
	foreign := configured(t, "ES256", pkcs8(t, p256(t)), nil)
	foreign.CertFile = good.CertFile
	fails("certificate of another", daemon.ClassConfig, foreign)
	absent := good
	absent.KeyFile += ".absent"
	fails("no key file", daemon.ClassConfig, absent)
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d := new(big.Int).SetBytes(scalar)
	secrets := append(strings.Split(text, "\n")[1:3], secret32[1:], d.String(), d.Text(16))
	contract.Test(t, contract.Case{Source: source(t, good), Inputs: []string{good.KeyFile, good.CertFile}, Failing: failing, Secrets: secrets})
	hmac := configured(t, "HS256", secret32+"\n", nil) // with a notice
	contract.Test(t, contract.Case{Source: source(t, hmac), Inputs: []string{hmac.KeyFile}, Secrets: []string{secret32}})
}
