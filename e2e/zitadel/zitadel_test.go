// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package zitadel

import (
	"crypto"
	"errors"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/renewd/renewd/e2e/internal/program"
	"github.com/renewd/renewd/e2e/internal/trial"
)

// renewd is the path of the binary, which TestMain builds once.
var renewd string

func TestMain(m *testing.M) {
	os.Exit(trial.Build(func(binary string) int {
		renewd = binary
		return m.Run()
	}))
}

// service authenticates the client that asks for tokens of its own, exchange the other one, and bearer signs assertions.
const (
	service  = `clientID: "svc:a/b c", clientAuth: basic, clientSecretFile: DIR/secret`
	exchange = `clientID: exchanger, clientAuth: basic, clientSecretFile: DIR/secret, grant: token-exchange, ` +
		`subject: {file: DIR/subject, type: access_token}`
	bearer = `grant: jwt-bearer, scopes: [openid], grantAssertion: {keyFile: DIR/signing.pem, keyID: key, iss: robot, `
)

// stage is a server with a trial whose files are those that the fields above name.
type stage struct {
	*Server
	key []byte // PEM
}

func begin(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	made, err := program.NewKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(made.Path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwt.ParseECPrivateKeyFromPEM(pem)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(map[string]crypto.PublicKey{"key": key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return &stage{s, pem}
}

// try is a trial with the fields of oauth2, where ISSUER stands for the issuer, and more fields of the token.
func (s *stage) try(t *testing.T, fields, more string) *trial.Trial {
	t.Helper()
	r := trial.New(t, renewd, strings.ReplaceAll(`{oauth2: {issuer: "ISSUER", `+fields+`}}`, "ISSUER", s.Issuer), more)
	secret := serviceSecret
	if strings.Contains(fields, exchangerID) {
		secret = exchangerSecret
	}
	r.Write("secret", secret)
	r.Write("signing.pem", string(s.key))
	r.Secrets = []string{serviceSecret, exchangerSecret}
	return r
}

func (s *stage) judge(t *testing.T) func(token string) error {
	t.Helper()
	good, err := trial.JWT(http.DefaultClient, s.Issuer+"keys")
	if err != nil {
		t.Fatal(err)
	}
	return good
}

// about300 is a life of 300 s that the server has rounded down.
func about300(d time.Duration) bool { return d > 297*time.Second && d <= 300*time.Second }

func TestBasic(t *testing.T) {
	s := begin(t)
	r := s.try(t, service, "")
	r.Do(0, "check", "--fetch")
	r.Do(0, "once")
	if err := s.judge(t)(r.Token()); err != nil {
		t.Error(err)
	}
	if l := r.Life(); !about300(l) {
		t.Errorf("a token of 300 s is taken to live %v", l)
	}
	r.Write("secret", "wrong")
	if said := r.Do(77, "check", "--fetch"); !strings.Contains(said, "invalid_client") {
		t.Errorf("it is not said what the server answered:\n%s", said)
	}
	// Its metadata lists private_key_jwt, which it does not take for this grant.
	r = s.try(t, `clientID: robot, assertion: {keyFile: DIR/signing.pem, keyID: key}`, "")
	r.Do(77, "check", "--fetch")
}

// TestDay keeps tokens of twenty seconds fresh, by client credentials and by signed assertions.
func TestDay(t *testing.T) {
	t.Parallel()
	opaque := func(token string) error {
		if token == "" || strings.Count(token, ".") == 2 {
			return errors.New("no opaque token")
		}
		return nil
	}
	for name, fields := range map[string]string{"client credentials": service, "jwt-bearer": bearer + `audience: issuer}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t)
			s.Life = 20 * time.Second
			good := opaque
			if name == "client credentials" {
				good = s.judge(t)
			}
			http.DefaultClient.CloseIdleConnections() // that the judge's keys came by
			s.try(t, fields, trial.Blink).Day(s, good)
		})
	}
}

// TestJWTBearer exchanges assertions that renewd signs, and some that somebody else signed.
func TestJWTBearer(t *testing.T) {
	s := begin(t)
	key, err := jwt.ParseECPrivateKeyFromPEM(s.key)
	if err != nil {
		t.Fatal(err)
	}
	noSlash := strings.TrimSuffix(s.Issuer, "/")
	for name, c := range map[string]struct {
		audience string
		code     int
	}{
		"the issuer with its slash": {"issuer", 0},
		"the token endpoint":        {"tokenURL", 77},
		"no slash":                  {noSlash, 77},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.try(t, bearer+`audience: "`+c.audience+`"}`, "")
			said := r.Do(c.code, "once")
			if c.code != 0 {
				if !strings.Contains(said, "aud") {
					t.Errorf("the audience is not named:\n%s", said)
				}
				return
			}
			if jws := strings.Count(r.Token(), ".") == 2; jws || !about300(r.Life()) {
				t.Errorf("no JWS but a token of 300 s was expected, this lives %v, and is a JWS: %v", r.Life(), jws)
			}
		})
	}
	now := time.Now().Unix()
	for name, c := range map[string]struct {
		change jwt.MapClaims
		code   int
		asked  int
	}{
		"good":          {nil, 0, 1},
		"iat ahead":     {jwt.MapClaims{"iat": now + 60}, 77, 1},
		"iat 2 h old":   {jwt.MapClaims{"iat": now - 7200}, 77, 1},
		"other subject": {jwt.MapClaims{"iss": "nobody", "sub": "nobody"}, 77, 1},
		"expired":       {jwt.MapClaims{"exp": now - 60}, 69, 0}, // is not even sent
	} {
		t.Run(name, func(t *testing.T) {
			claims := jwt.MapClaims{"iss": jwtUser, "sub": jwtUser, "aud": s.Issuer, "iat": now - 10, "exp": now + 60}
			maps.Copy(claims, c.change)
			signed := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
			signed.Header["kid"] = "key"
			assertion, err := signed.SignedString(key)
			if err != nil {
				t.Fatal(err)
			}
			r := s.try(t, `grant: jwt-bearer, scopes: [openid], grantAssertion: {file: DIR/assertion}`, "")
			r.Write("assertion", assertion)
			r.Secrets = append(r.Secrets, assertion)
			before := s.Tokens()
			if said := r.Do(c.code, "check", "--fetch"); c.code != 0 && !strings.Contains(said, r.Path("assertion")) {
				t.Errorf("the file is not named:\n%s", said)
			}
			if asked := s.Tokens() - before; asked != c.asked {
				t.Errorf("the token endpoint was asked %d times, want %d", asked, c.asked)
			}
		})
	}
}

// TestTokenExchange exchanges a token that another renewd keeps fresh, and follows it.
func TestTokenExchange(t *testing.T) {
	s := begin(t)
	subject := s.try(t, service, "")
	subject.Do(0, "once")
	r := s.try(t, exchange+`, requestedType: access_token`, "")
	r.Write("subject", subject.Token())
	reader := r.Read(s.judge(t))
	run := r.Run()
	r.Await("a first token", func() bool { return reader.Seen() == 1 })
	if !about300(r.Life()) || r.Token() == subject.Token() {
		t.Errorf("a token of its own that lives 300 s was expected, this lives %v", r.Life())
	}
	subject.Do(0, "once", "--force")
	r.Write("subject", subject.Token())
	reader.Next(1) // though the token of before has minutes to live
	r.Must(run.Stop())

	before := r.Token()
	r.Write("subject", "no.such.token")
	if said := r.Do(77, "once", "--force"); !strings.Contains(said, r.Path("subject")) {
		t.Errorf("the subject's file is not named:\n%s", said)
	}
	if r.Token() != before {
		t.Error("a refusal changed the published token")
	}
	other := s.try(t, exchange+`, requestedType: jwt`, "")
	other.Write("subject", subject.Token())
	if said := other.Do(77, "check", "--fetch"); !strings.Contains(said, "invalid_request") {
		t.Errorf("it is not said what the server answered:\n%s", said)
	}
}

// TestExchangeOfIDTokens asks for an id_token, which is no token for a Bearer header and says so, and exchanges that in the
// name of an actor.
func TestExchangeOfIDTokens(t *testing.T) {
	s := begin(t)
	access := s.try(t, service, "")
	access.Do(0, "once")
	id := s.try(t, exchange+`, requestedType: id_token, scopes: [openid]`, "")
	id.Write("subject", access.Token())
	id.Do(0, "once")
	if err := s.judge(t)(id.Token()); err != nil {
		t.Error(err)
	}
	if typ := id.Record().Type; typ != "N_A" {
		t.Errorf("an id_token has the type %q", typ)
	}

	ofID := `clientID: exchanger, clientAuth: basic, clientSecretFile: DIR/secret, grant: token-exchange, requestedType: access_token, ` +
		`subject: {file: DIR/subject, type: id_token}`
	r := s.try(t, ofID+`, actor: {file: DIR/actor, type: access_token}`, "")
	r.Write("subject", id.Token())
	r.Write("actor", access.Token())
	r.Do(0, "once")
	if err := s.judge(t)(r.Token()); err != nil || !about300(r.Life()) {
		t.Errorf("it lives %v: %v", r.Life(), err)
	}
	r.Write("actor", "no.such.token")
	if said := r.Do(77, "check", "--fetch"); !strings.Contains(said, "invalid_request") || !strings.Contains(said, r.Path("actor")) {
		t.Errorf("the actor's file is not named:\n%s", said)
	}
	r.Write("actor", access.Token())
	r.Write("subject", "no.such.token")
	if said := r.Do(77, "check", "--fetch"); !strings.Contains(said, "invalid_request") || !strings.Contains(said, r.Path("subject")) {
		t.Errorf("the subject's file is not named:\n%s", said)
	}
}
