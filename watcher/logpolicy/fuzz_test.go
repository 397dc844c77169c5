// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/renewd/renewd/daemon/config/strict"
)

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("version: 1" + full))
	f.Add([]byte("version: 1\nhandlers: {a: {type: file, rotate: {maxSize: 1GiB, every: 1d, maxAge: 3h}}}\nredact: {patterns: [a+]}"))
	f.Add([]byte("version: 1\nareas: {token: {level: 30, for: 1h}, x: {}}\nlevel: false"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, doc := source{name: "p", data: data, areas: areas, now: time.Now()}.parse()
		if doc.Err() != nil {
			if text := doc.Err().Error(); !strings.Contains(text, "error[LP") {
				t.Error(text)
			}
			return
		}
		if list := changes(p, p); len(list) != 0 {
			t.Error(list)
		}
		l := &layers{policy: p, file: true, now: time.Now()}
		outputs := map[string]*output{}
		for name := range p.Handlers {
			outputs[name] = newOutput(name, p, nil)
		}
		tree := newTree(l, areaNames(areas), outputs, newCounters())
		if tree.find("token.x").level < zapcore.DebugLevel || tree.least() > zapcore.Level(Off) {
			t.Error("a level that does not exist")
		}
		for _, n := range tree {
			for _, o := range n.outputs {
				if o == nil || o.format.Style == "" || o.maxLine < 1<<10 {
					t.Errorf("%+v", o)
				}
			}
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add(standardText, "%H:%M:%S.%f", "message")
	f.Add("%(levelname)-8.3s|%(levelno)#08x|%(msecs)+.3e%%", "%j %%", "a\nb\x00\u2028\xff")
	f.Fuzz(func(t *testing.T, text, date, message string) {
		g := newGeneration()
		p, offset, m := parsePattern(text)
		if m != nil {
			if offset < 0 || offset > len(text) || m.Problem == "" {
				t.Error(offset, m)
			}
			return
		}
		form := &format{Pattern: p, Fields: "append"}
		if _, problem := checkDate(date); problem == "" {
			form.DateFmt = datefmt(date)
		}
		r := &record{time: time.Unix(1e9, 5e8), message: message, name: message, trace: message}
		if !r.encode(g, []zap.Field{zap.String(message, message)}) {
			t.Error("a panic")
		}
		line := string(g.line(nil, r, form))
		if strings.ContainsAny(line, "\n\r\x00\x1b\u0085\u2028\u2029") || utf8.ValidString(text) && utf8.ValidString(date) && !utf8.ValidString(line) {
			t.Errorf("%q", line)
		}
		if cut := r.cut([]byte(line), form, 1<<10); len(cut) > 1<<10 || len(line) <= 1<<10 && string(cut) != line {
			t.Errorf("%q", cut)
		}
	})
}

// newGeneration returns a generation that redacts by the built-in rules.
func newGeneration() *generation {
	return &generation{redactor: newRedactor(redaction{}, func(string) {}), fields: fieldEncoder()}
}

func FuzzJSONLine(f *testing.F) {
	f.Add("m", "k", "v", 1024)
	f.Add("a\"\\\n", "msg", canary, 1100)
	f.Add("-----BEGIN x", "password", "Bearer abcdefgh\"", 1<<16)
	f.Fuzz(func(t *testing.T, message, key, value string, most int) {
		g := newGeneration()
		form := &format{Style: "json", Severity: "otel"}
		child, _ := g.frozen(zap.Any(key, map[string]any{value: []any{value, nil, 1.5, map[string]string{key: value}}}))
		r := &record{time: time.Unix(1e9, 0), message: g.redactor.text(message), name: value}
		if !r.encode(g, []zap.Field{child, zap.String(key, value), zap.ByteString(key, []byte(value)), zap.Namespace(key), zap.String(key, message)}) {
			t.Error("a panic")
		}
		line := g.line(nil, r, form)
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil || bytes.ContainsAny(line, "\n\r\u0085\u2028\u2029") {
			t.Fatalf("%v: %q", err, line)
		}
		if cut := r.cut(line, form, 1<<10+abs(most)%(63<<10)); !json.Valid(cut) || len(cut) > 64<<10 {
			t.Errorf("%q", cut)
		}
	})
}

func abs(n int) int { return max(n, -(n + 1)) }

// FuzzRedaction: what was hidden once stays hidden, and hiding twice changes nothing.
func FuzzRedaction(f *testing.F) {
	f.Add("Authorization: Bearer abcdef.ghijkl at https://u:p@h/")
	f.Add("-----BEGIN RSA KEY-----\nMIIE\n-----END RSA KEY-----" + canary)
	f.Add("BEARER abcdefgh")
	f.Add("://u:p@h")
	f.Add("://\x00@")
	f.Fuzz(func(t *testing.T, text string) {
		r := newRedactor(redaction{}, func(string) {})
		once := r.text(text)
		if once != r.apply(shapes, text) {
			t.Errorf("%q is not suspicious, but holds a secret", text)
		}
		if twice := r.text(once); twice != once && !strings.Contains(twice, redacted) {
			t.Errorf("%q: %q, then %q", text, once, twice)
		}
		if strings.Contains(r.text(text+" "+canary), canary) {
			t.Errorf("%q hides a token from the rules", text)
		}
	})
}

func FuzzSizesAndDurations(f *testing.F) {
	for _, s := range []string{"10MiB", "1e3", "-1", "9223372036854775808", "106752d", "1d12h", "0", "1h30m", "999999GB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v struct {
			Size size `yaml:"size"`
			Span span `yaml:"span"`
			Keep keep `yaml:"keep"`
			Mode mode `yaml:"mode"`
		}
		for _, key := range []string{"size", "span", "keep", "mode"} {
			quoted, _ := json.Marshal(text)
			for _, form := range []string{text, string(quoted)} {
				doc := strict.Decode(options("p"), []byte(key+": "+form), &v)
				if doc.Err() == nil && (v.Size < 0 || v.Keep < 0 || v.Keep > 10000 || v.Mode > 0o777) {
					t.Errorf("%s: %s gives %+v", key, form, v)
				}
			}
		}
	})
}

func FuzzBackupNames(f *testing.F) {
	f.Add("renewd.log", "renewd-2026-11-23T18-00-00.000.log.gz")
	f.Add(".log", "-2026-11-23T18-00-00.000.log")
	f.Add("renewd.log", "renewd-2026-11-23T18-00-00,000.log")
	f.Fuzz(func(t *testing.T, log, name string) {
		b := newBackups("/d/" + strings.ReplaceAll(log, "/", ""))
		if at, rest, ok := b.parse(name); ok && b.name(at) != b.dir+"/"+strings.TrimSuffix(name, rest) && !strings.Contains(name, "/") {
			t.Errorf("%q of %q: %v %q", name, log, at, rest)
		}
	})
}
