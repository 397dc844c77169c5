// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	canary    = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLW9mLXRoZS1jYW5hcnk"
	shapeless = "canary-f3a9c1d7b2e8" // protected by its type alone
)

// secret has the methods and the closure of daemon.Secret.
type secret struct{ raw func() string }

func (secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(redacted)) }
func (secret) String() string               { return redacted }
func (secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (secret) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("x", redacted)
	return nil
}

type holder struct {
	Name  string
	Inner *secret
	bare  secret
	Token string
}

type saying string

func (s saying) String() string { return "says " + string(s) }

type objecting struct{ text string }

func (o objecting) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("plain", o.text)
	e.AddByteString("bytes", []byte(o.text))
	e.AddBinary("binary", []byte(o.text))
	return e.AddReflected("map", map[string]any{"deep": []any{map[string]string{"x": o.text}}})
}

// Planted tokens are in no output, whichever way they went in.
func TestNoCanaryInAnyOutput(t *testing.T) {
	r := newRig(t).run()
	changed := r.Follow("p.yaml", false)
	policy := "level: DEBUG\nformats: {glued: {pattern: '%(name)s%(message)s'}, j: {style: json, severity: none}}\nhandlers:\n" +
		"  a: {type: stream}\n  b: {type: stream, stream: stdout, format: json}\n  c: {type: file, path: DIR, name: c.log}\n  d: {type: file, path: DIR, name: d.log, format: glued}\n"
	if err := changed(r.text(policy), nil); err != nil {
		t.Fatal(err)
	}
	own := secret{func() string { return shapeless }}
	log := r.Logger().Named("token")
	for _, s := range []string{canary, "Bearer " + shapeless, "https://user:" + shapeless + "@issuer/x", "https://" + shapeless + "@issuer/x", "https://user:p[w/" + canary + "@h",
		"-----BEGIN PRIVATE KEY-----\n" + shapeless + "\n-----END PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n" + shapeless, "x\"bearer\t" + shapeless + "\"",
		"Bearer " + strconv.Quote(shapeless), strconv.Quote("Bearer " + strconv.Quote(shapeless))} {
		log.Info("message " + s)
		log.With(zap.String("with", s), zap.Any("any", map[string]string{"k": s}), zap.Object("o", objecting{s})).Info("with")
		log.Info("fields", zap.String("f", s), zap.Strings("list", []string{"a", s}), zap.ByteString("bs", []byte(s)), zap.Binary("bin", []byte(s)), zap.Any("struct", struct{ B []byte }{[]byte(s)}),
			zap.Error(fmt.Errorf("outer: %w", errors.New(s))), zap.Stringer("stringer", saying(s)), zap.Any("nested", map[string]any{"a": map[string]any{"b": []string{s}}}),
			zap.Object("object", objecting{s}), zap.Any(s, 1), zap.String("verb", fmt.Sprintf("%v %+v %q", holder{Token: s}, &holder{Token: s}, s)),
			zap.Any("raw", json.RawMessage(`{"t":"\u0065`+canary[1:]+`"}`)), zap.Inline(objecting{s}))
		r.Recovered("token", "panic with "+s)
		r.Failed("token", "failed with "+s, errors.New(s))
		func(arg string) { logCritical(log, "stack argument", zap.String("s", arg)) }(s)
		_ = changed([]byte("version: 1\nlevel: \""+strings.NewReplacer("\n", `\n`, "\"", `\"`).Replace(s)+"\"\n"), nil)
		_ = changed(nil, errors.New(s))
	}
	log.Info("split", zap.String("a", canary[:30]), zap.String("b", canary[30:]))
	log.Named(canary[:10]).Info(canary[10:])
	log.Info("url", zap.String("u", "https://issuer/cb?"+url.Values{"id_token_hint": {canary}}.Encode()))
	log.Info("header", zap.Any("h", http.Header{"Authorization": {"Basic " + shapeless}, "X-Token": {canary}, "Set-Cookie": {canary}}))
	for _, key := range []string{"authorization", "Cookie", "PASSWORD", "secret", "client_secret", "clientSecret", "access_token", "refresh-token", "id_token", "assertion", "private_key"} {
		log.Info("keys", zap.String(key, shapeless), zap.Any("deep", map[string]any{"x": []any{map[string]any{key: map[string]string{"y": shapeless}}}}), zap.Int("n", 1))
		log.With(zap.Any(key, []string{shapeless}), zap.Namespace("ns"), zap.String(key, shapeless)).Info("keys", zap.String(key, shapeless))
	}
	log.Info("typed", zap.Any("s", own), zap.Object("o", own), zap.Stringer("st", own), zap.Any("h", holder{Inner: &own, bare: own}), zap.String("v", fmt.Sprintf("%v %+v %#v %s", own, holder{bare: own}, holder{bare: own, Inner: &own}, own)))
	r.flush()
	state, _ := json.Marshal(r.State())
	explained, _ := r.Explain("")
	_, unknown := r.Explain(canary)
	answers := fmt.Sprint(unknown, r.SetLevel(canary, "DEBUG", time.Minute), r.SetLevel("token", canary, time.Minute))
	for name, out := range map[string]string{"stderr": r.err.String(), "stdout": r.out.String(), "file": r.read("c.log"), "glued": r.read("d.log"), "state": string(state), "explain": fmt.Sprint(explained), "answers": answers} {
		lacks(t, out, canary, shapeless, "eyJhbGciOiJFUzI1NiJ9", base64.StdEncoding.EncodeToString([]byte(canary))[:40])
		if len(out) == 0 {
			t.Error("nothing in", name)
		}
	}
	for line := range strings.Lines(r.out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	contains(t, r.out.String(), "Bearer [redacted]", "https://[redacted]@issuer/x", `"n":1`, `"msg":"split"`)
	for _, rule := range []string{"jwt", "bearer", "pem", "url", "field"} {
		if r.counter("redactions_total", "rule "+rule) == 0 {
			t.Errorf("no hit of %s was counted", rule)
		}
	}
}

// With fields and the panic value are redacted too.
func TestThePanicOfALoggerHidesSecrets(t *testing.T) {
	r := newRig(t).run()
	for name, log := range map[string]func(string, ...zap.Field){"panic": r.Logger().Panic, "fatal": r.Logger().Fatal} {
		func() {
			defer func() {
				if v := fmt.Sprint(recover()); strings.Contains(v, canary) || !strings.Contains(v, "boom [redacted]") {
					t.Errorf("%s: %s", name, v)
				}
			}()
			log("boom " + canary)
		}()
	}
	contains(t, r.err.String(), "boom [redacted]")
}

func TestThePolicyAddsKeysAndPatterns(t *testing.T) {
	text, raw := lines(t, jsonAndText+"redact: {keys: [Customer-ID], patterns: ['\\b[0-9]{16}\\b', '\"n\":']}", func(log *zap.Logger) {
		log.Info("card 1234567812345678 ok", zap.Any("m", map[string]string{"customer_id": "c-17"}))
		log.Info("structure", zap.Int("n", 5)) // the pattern eats JSON itself
	})
	lacks(t, text+raw, "1234567812345678", "c-17")
	contains(t, text, "card [redacted] ok")
	if strings.Count(raw, "\n") != 2 {
		t.Error(raw)
	}
}

// longWorded is an error that has more to say, which zap adds as a field of its own.
type longWorded string

func (e longWorded) Error() string                 { return string(e) }
func (e longWorded) Format(f fmt.State, verb rune) { _, _ = fmt.Fprintf(f, "at length: %s", string(e)) }

func TestASecretFieldIsKnownHoweverItsNameIsWritten(t *testing.T) {
	for _, f := range []zap.Field{
		zap.Any("body", json.RawMessage(`{"access\u005ftoken":"`+shapeless+`"}`)),
		zap.Any("body", map[string]any{"deep": json.RawMessage(`[{"\u0070assword":"` + shapeless + `"}]`)}),
		zap.NamedError("password", longWorded(shapeless)),
		zap.String(`say "friend"`, shapeless), zap.String(`SAY"FRIEND"`, "public"),
		zap.String("SCHLÜSSEL_WORT", shapeless), zap.String("schlüssel-wort", shapeless), zap.String("Ärger", shapeless),
	} {
		text, raw := lines(t, jsonAndText+`redact: {keys: ['say "friend"', Schlüsselwort, ärger]}`, func(log *zap.Logger) {
			log.Info("at the call", f)
			log.With(f).Info("at With")
		})
		lacks(t, text+raw, shapeless)
		if n := strings.Count(text+raw, redacted); n < 4 && f.String != "public" {
			t.Errorf("%s: %d of 4 were hidden:\n%s%s", f.Key, n, text, raw)
		}
	}
}

// A line is searched as a whole too: what is harmless in its parts may not be when they stand together.
func TestAPatternCannotGlueASecretTogether(t *testing.T) {
	text, _ := lines(t, "formats: {text: {pattern: '%(name)s%(message)s'}}", func(log *zap.Logger) {
		log.Named("ey").Warn("JhbGciOiJub25lIn0.c2lnbmF0dXJl")
	})
	if text != redacted+"\n" {
		t.Errorf("%q", text)
	}
}

// What the bytes that are looked at more closely find is what the expressions find in every text.
func TestTheFastSearchMissesNothing(t *testing.T) {
	pieces := []string{"e", "y", "J", "eyJ", "hbGciOi", "b", "E", "A", "Bearer", " ", "BEARER", "bEaReR", "-----", "B", "GIN ", "-----BEGIN ", "-----END ", "X-----",
		":", "/", "://", "@", "user", "\n", "\t", "\\", "\"", "\xff", "é", "%20", "=", "abcdefgh", "[", "\u2028"}
	r, random := newRedactor(redaction{}, func(string) {}), rand.New(rand.NewPCG(1, 2))
	hidden := 0
	for range 50_000 {
		var text strings.Builder
		for range 1 + random.IntN(9) {
			text.WriteString(pieces[random.IntN(len(pieces))])
		}
		want := r.apply(shapes, text.String())
		if got := r.text(text.String()); got != want {
			t.Fatalf("%q: %q, want %q", text.String(), got, want)
		}
		if want != text.String() {
			hidden++
		}
	}
	if hidden < 1000 {
		t.Errorf("only %d texts had a secret", hidden)
	}
}

func TestHarmlessTextStays(t *testing.T) {
	text, raw := lines(t, jsonAndText, func(log *zap.Logger) {
		log.Info("token refresh failed", zap.String("token", "db"), zap.String("url", "https://issuer.example/token?x=1"), zap.String("hint", "eyJ is how a JWT begins"), zap.String("b64", "aGVsbG8gd29ybGQsIGhlbGxv"))
		log.Info("x", zap.String("issuer", "https://issuer.example"), zap.String("user", "a@b")) // no URL reaches from one field into the next
	})
	lacks(t, text+raw, redacted)
}
