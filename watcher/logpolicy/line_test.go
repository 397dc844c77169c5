// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const jsonAndText = `
level: DEBUG
exceptions: {trace: 'OFF'}
formats: {text: {pattern: '%(levelname)-8s %(name)s %(message)s'}}
handlers: {j: {type: stream, stream: stdout, format: json}, t: {type: stream}}
`

// lines returns what fn logs as text and, parsed, as JSON.
func lines(t *testing.T, policy string, fn func(*zap.Logger)) (text, raw string) {
	t.Helper()
	r := newRig(t).run()
	r.apply(policy)
	r.flush()
	r.err.reset()
	r.out.reset()
	fn(r.Logger())
	r.flush()
	for line := range strings.Lines(r.out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	return r.err.String(), r.out.String()
}

// point marshals itself, and panics if it is negative.
type point struct{ x, y int }

func (p point) MarshalLogObject(e zapcore.ObjectEncoder) error {
	if e.AddInt("x", p.x); p.x < 0 {
		panic("negative")
	}
	e.AddInt("y", p.y)
	e.AddInt("y", p.y+1)
	return nil
}

func TestFieldsOfEveryTypeInBothForms(t *testing.T) {
	at := time.Date(2026, 11, 23, 18, 0, 0, 5e6, time.UTC)
	text, raw := lines(t, jsonAndText, func(log *zap.Logger) {
		log.Named("token.db").With(zap.String("a", "1"), zap.Object("p", point{1, 2})).Warn("hello there",
			zap.String("msg", "again"), zap.String("a", "two words"), zap.Int("n", -5), zap.Bool("b", true), zap.Duration("d", 90*time.Second), zap.Time("t", at),
			zap.Strings("list", []string{"x", "y z"}), zap.Any("map", map[string]any{"k": []int{1, 2}}), zap.Error(errors.New("outer:\ninner")), zap.Binary("bin", []byte{0xff, 0}),
			zap.Binary("words", []byte("plain")), zap.String("empty", ""), zap.String("key with = \"", `q"\`), zap.Namespace("ns"), zap.Int("in", 1), zap.Int("in", 2))
	})
	wantText := `WARNING  token.db hello there a=1 p="{\"x\":1,\"y\":2,\"y_2\":3}" msg_2=again a_2="two words" n=-5 b=true d=1m30s t=2026-11-23T18:00:00.005Z ` +
		`list="[\"x\",\"y z\"]" map="{\"k\":[1,2]}" error="outer:\ninner" bin="/wA=" words=plain empty="" key_with_____="q\"\\" ns="{\"in\":1,\"in_2\":2}"` + "\n"
	if text != wantText {
		t.Errorf("got  %swant %s", text, wantText)
	}
	_, rest, _ := strings.Cut(raw, `,"level"`)
	wantJSON := `:"WARNING","severity_number":13,"logger":"token.db","msg":"hello there","a":"1","p":{"x":1,"y":2,"y_2":3},"msg_2":"again","a_2":"two words","n":-5,"b":true,` +
		`"d":"1m30s","t":"2026-11-23T18:00:00.005Z","list":["x","y z"],"map":{"k":[1,2]},"error":"outer:\ninner","bin":"/wA=","words":"plain","empty":"","key with = \"":"q\"\\","ns":{"in":1,"in_2":2}}` + "\n"
	if rest != wantJSON {
		t.Errorf("got  %swant %s", rest, wantJSON)
	}
}

// One record is one line, whatever is in it.
func TestNothingForgesALine(t *testing.T) {
	evil := "a\nb\rc\x1b[31m\u0085\u2028\u2029\x00\x7f\xffé"
	text, raw := lines(t, jsonAndText, func(log *zap.Logger) {
		log.Named("token\nx").Warn(evil, zap.String(evil, evil), zap.Error(errors.New(evil)), zap.Any("m", map[string]string{evil: evil}), zap.ByteString("b", []byte(evil)))
	})
	for _, out := range []string{text, raw} {
		if strings.Count(out, "\n") != 1 || strings.ContainsAny(out, "\r\x1b\u0085\u2028\u2029\x00\x7f") || !utf8.ValidString(out) {
			t.Errorf("%q", out)
		}
	}
	contains(t, text, `a\nb\rc\u001b[31m\u0085\u2028\u2029\u0000\u007f\xffé`)
}

func TestFieldsCanBeOmittedButATraceStays(t *testing.T) {
	text, _ := lines(t, "exceptions: {trace: ERROR}\nformats: {text: {pattern: '%(message)s', fields: omit}}", func(log *zap.Logger) { log.Error("m", zap.Int("n", 1)) })
	if !strings.HasPrefix(text, `m trace="`) || strings.Count(text, "\n") != 1 || strings.Contains(text, "n=1") || !strings.Contains(text, "TestFieldsCanBeOmitted") {
		t.Error(text)
	}
}

func TestLongLinesAreCutAndSaySo(t *testing.T) {
	const most = 1024
	policy := fmt.Sprintf("formats: {text: {pattern: '%%(message)s', fields: omit}}\nhandlers: {t: {type: stream, maxLine: 1KiB}, j: {type: stream, stream: stdout, format: json, maxLine: 1KiB}}")
	for _, message := range []string{"x", strings.Repeat("x", most), strings.Repeat("x", most+1), strings.Repeat("é", most), strings.Repeat("\n\"", most), strings.Repeat("é\x01", 5<<20/3)} {
		text, raw := lines(t, policy, func(log *zap.Logger) { log.Warn(message, zap.String("f", "v")) })
		text, raw = strings.TrimSuffix(text, "\n"), strings.TrimSuffix(raw, "\n")
		if len(text) > most || len(raw) > most || !utf8.ValidString(text) {
			t.Errorf("%d %d bytes", len(text), len(raw))
		}
		whole := string(appendEscaped(nil, message, false))
		if len(whole) <= most {
			if text != whole {
				t.Errorf("%q", text)
			}
			continue
		}
		var missing int
		kept, note, _ := strings.Cut(text, "…")
		if _, err := fmt.Sscanf(note, "[+%d bytes]", &missing); err != nil || len(kept)+missing != len(whole) || !strings.HasPrefix(whole, kept) {
			t.Errorf("%d of %d bytes: %s", len(kept), len(whole), note)
		}
		if len(kept) < most-30 {
			t.Errorf("only %d bytes", len(kept))
		}
		contains(t, raw, "…[+", ` bytes]"}`)
	}
	_, raw := lines(t, policy, func(log *zap.Logger) { log.Warn("short", zap.String("f", strings.Repeat("v", most))) })
	contains(t, raw, `"msg":"short…[+`)
}

func TestAPanicInAFieldCostsOnlyThatField(t *testing.T) {
	r := newRig(t).run()
	r.Logger().Named("token").Error("m", zap.Int("a", 1), zap.Object("p", point{-1, 0}), zap.Any("f", func() {}), zap.Stringer("nil", (*time.Time)(nil)), zap.Int("z", 2))
	r.Logger().With(zap.Object("p", point{-1, 0})).Error("n")
	r.flush()
	contains(t, r.err.String(), `a=1 p="[panic while encoding]"`, "z=2", "nil=<nil>", `n p="[panic while encoding]"`)
	if n := r.counter("panics_total", "area token"); n != 1 {
		t.Error(n)
	}
}
