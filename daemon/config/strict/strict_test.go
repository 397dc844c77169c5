// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files")

type inner struct {
	Algorithm string         `yaml:"algorithm" required:"true" enum:"HS256,HS384,ES256" doc:"How it is signed."`
	KeyFile   string         `yaml:"keyFile" doc:"Path of the key."`
	TTL       time.Duration  `yaml:"ttl" doc:"How long it lives."`
	Claims    map[string]any `yaml:"claims" doc:"What it says."`
	Password  string         `yaml:"password"`
}

func (i *inner) Default() { i.TTL = 30 * time.Minute }

// even is a number that decodes itself.
type even struct{ N int }

func (e *even) DecodeValue(v Value) {
	n, err := strconv.Atoi(v.Text())
	if err != nil || n%2 != 0 {
		v.FailAt(len(v.Text())-1, Mistake{Rule: "EVEN", Problem: v.Show() + " is not even"})
		return
	}
	e.N = n
}
func (*even) Schema() map[string]any {
	return map[string]any{"type": "integer", "title": "an even number"}
}
func (e *even) String() string { return strconv.Itoa(e.N) }

type outer struct {
	Version int               `yaml:"version" required:"true" enum:"1"`
	Names   []string          `yaml:"names" doc:"Texts | more."`
	Flag    bool              `yaml:"flag"`
	Ratio   float64           `yaml:"ratio"`
	Small   int8              `yaml:"small"`
	Count   uint              `yaml:"count"`
	Env     map[string]string `yaml:"env"`
	List    []inner           `yaml:"list"`
	Inner   *inner            `yaml:"inner"`
	Even    even              `yaml:"even"`
	Kind    OneOf             `yaml:"kind" choice:"kind"`
	Form    OneOf             `yaml:"form" choice:"form"`
	Any     any               `yaml:"any"`
	Token   any               `yaml:"token"`
	App     any               `yaml:"app" pattern:"^[a-z]+$"`
	Wait    time.Duration     `yaml:"wait"`
	Hidden  string
}

func options1() Options {
	return Options{Name: "t.yaml", MaxBytes: 1 << 20,
		Lookup: func(name string) (string, bool) {
			v, ok := map[string]string{"N": "5", "DUR": "90s", "SECRET": "hunter22", "EMPTY": "", "YES": "true", "ES": "ES256", "WORD": "word"}[name]
			return v, ok
		},
		Choices: map[string]Choice{
			"kind": {Kinds: map[string]func() any{"sign": func() any { return &inner{TTL: time.Hour} }, "exec": func() any {
				return &struct {
					Command []string `yaml:"command" required:"true"`
				}{}
			}}},
			"form": {Bare: true, Kinds: map[string]func() any{"raw": nil, "json": func() any {
				return &struct {
					Indent int `yaml:"indent"`
				}{Indent: 2}
			}, "netrc": func() any {
				return &struct {
					Host string `yaml:"host" required:"true"`
				}{}
			}}},
		}}
}

func decode(text string) (*outer, *Document) {
	into := &outer{Even: even{N: 2}}
	return into, Decode(options1(), []byte(text), into)
}

func TestDecodesEveryType(t *testing.T) {
	text := "\ufeff" + `
version: 1
names: [a, 'b ${SECRET}', "$${N}", "${value}", 2026-11-23, no]
flag: ${YES}
ratio: 2
small: -128
count: ${N}
env: {A: "1", b.c: ${value}x}
list:
  - {algorithm: ES256, claims: {n: null, i: 9007199254740993, big: 123456789012345678901234567890, f: 1.5, deep: [1, {x: true}]}}
  - algorithm: ${ES}
    ttl: ${DUR}
    keyFile: /k
inner: {algorithm: HS256}
even: 4
kind: {sign: {algorithm: HS384, ttl: 1d12h}}
form: json
any: 0x10
wait: 0
`
	text = strings.ReplaceAll(text, "b.c: ${value}x", "b.c: '${value}x'")
	got, d := decode(text)
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	form := &struct {
		Indent int `yaml:"indent"`
	}{Indent: 2}
	want := &outer{Version: 1, Names: []string{"a", "b hunter22", "${N}", "${value}", "2026-11-23", "no"}, Flag: true, Ratio: 2, Small: -128, Count: 5,
		Env: map[string]string{"A": "1", "b.c": "${value}x"}, Even: even{N: 4},
		List: []inner{{Algorithm: "ES256", TTL: 30 * time.Minute, Claims: map[string]any{"n": nil, "i": int64(9007199254740993),
			"big": json.Number("123456789012345678901234567890"), "f": 1.5, "deep": []any{int64(1), map[string]any{"x": true}}}},
			{Algorithm: "ES256", TTL: 90 * time.Second, KeyFile: "/k"}},
		Inner: &inner{Algorithm: "HS256", TTL: 30 * time.Minute},
		Kind:  OneOf{Kind: "sign", Config: &inner{Algorithm: "HS384", TTL: 36 * time.Hour}}, Form: OneOf{Kind: "json", Config: form}, Any: int64(16)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestMistakesHaveTheirPlaceAndHelp(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "version: 1\nlist:\n  - algoritm: ES256", `t.yaml:3:5: error: list[0] has no key "algorithm"
    3 |   - algoritm: ES256
      |     ^
  help: How it is signed.
t.yaml:3:5: error: unknown key "algoritm" in list[0]
    3 |   - algoritm: ES256
      |     ^^^^^^^^
  help: did you mean "algorithm"?
2 errors`},
		{"no suggestion", "version: 1\ninner: {algorithm: ES256, zzzzzz: 1}", `one of algorithm, keyFile, ttl, claims, password`},
		{"case", "version: 1\nFLAG: true", `did you mean "flag"?`},
		{"swapped letters", "version: 1\nevne: 2", `did you mean "even"?`},
		{"ties are sorted", "version: 1\nfoam: raw\ninny: 1", `did you mean "form"?`},
		{"too short for a guess", "version: 1\nab: 1", `unknown key "ab" at the top level`},
		{"duplicate", "version: 1\nflag: true\nflag: false", "t.yaml:3:1: error: duplicate key \"flag\"\n    3 | flag: false\n      | ^^^^\n  help: it is first written at 2:1"},
		{"duplicate in any", "version: 1\nany: {a: 1, a: 2}", `2:13: error: duplicate key "a"`},
		{"quoted number", `version: "1"`, "version must be a number, not the text \"1\"\n    1 | version: \"1\"\n      |          ^^^\n  help: leave the quotes out"},
		{"fraction", `version: 1.0`, `version must be a whole number, not 1.0`},
		{"other version", `version: 2`, `unknown value 2 for version`},
		{"bare octal", "version: 1\nnames: [0640]", `names[0] must be a text, not 0640, which YAML 1.1 reads as decimal 416`},
		{"octal number", "version: 1\ncount: 010", `010 is read as different numbers by different YAML parsers`},
		{"underscore", "version: 1\nany: 1_000", `1_000 is read as different numbers`},
		{"bare duration", "version: 1\nwait: 30", "wait must be a duration, not 30\n    2 | wait: 30\n      |       ^^\n  help: a duration has a unit: \"30s\""},
		{"bad duration", "version: 1\nwait: 5 minutes", `wait is no duration: "5 minutes"`},
		{"false for a text", "version: 1\nnames: [false]", `help: quote it: "false"`},
		{"text for a list", "version: 1\nnames: a", `a list of one is written ["a"]`},
		{"yes", "version: 1\nflag: yes", `flag must be true or false, not the text "yes"`},
		{"null", "version: 1\nwait:\nflag: true", "2:1: error: wait must be a duration, not nothing\n    2 | wait:\n      | ^^^^\n  help: leave the key out"},
		{"overflow", "version: 1\nsmall: 128", `small is out of range: 128`},
		{"negative", "version: 1\ncount: -1", `count is out of range: -1`},
		{"huge", "version: 1\ncount: 99999999999999999999", `count is out of range`},
		{"infinite", "version: 1\nratio: .inf", `.inf is too large, or no number`},
		{"merge key", "version: 1\nany: {<<: {a: 1}}", `2:7: error: merge keys are not accepted`},
		{"tag", "version: !!str 1", `tags are not accepted`},
		{"key of another type", "version: 1\nenv: {1: a}", `a key must be a text, not "1"`},
		{"complex key", "version: 1\nany: {[a]: 1}", `a key must be a plain text`},
		{"two kinds", "version: 1\nkind: {sign: {}, exec: {}}", `kind must have exactly one kind of kind, not 2`},
		{"unknown kind", "version: 1\nkind: {sing: {}}", "unknown kind \"sing\"\n    2 | kind: {sing: {}}\n      |        ^^^^\n  help: did you mean \"sign\"?  one of exec, sign"},
		{"kind as text", "version: 1\nkind: sign", `kind must be a mapping with one key`},
		{"bare with required", "version: 1\nform: netrc", `write {netrc: {host: …}}`},
		{"options of a kind without", "version: 1\nform: {raw: {}}", `write the name alone: raw`},
		{"custom, inside the text", "version: 1\neven: \"123\"", "2:10: error: \"123\" is not even\n    2 | even: \"123\"\n      |          ^"},
		{"custom, with escapes", "version: 1\neven: \"\\x31\"", "2:7: error: \"1\" is not even"},
		{"unset variable", "version: 1\nnames: [\"a ${NOPE} b\"]", "2:12: error: variable NOPE is not set"},
		{"variable unclosed", "version: 1\nnames: ['${N']", `2:10: error: ${ without }`},
		{"variable with default", "version: 1\nnames: ['${N:-3}']", `not the name of a variable`},
		{"variable of another type", "version: 1\nflag: ${N}", `flag must be true or false, not the value of ${N}`},
		{"variable in quotes", "version: 1\ncount: '${N}'", `count must be a number, not the value of ${N}`},
		{"variable with a number for a text", "version: 1\ninner:\n  algorithm: HS256\n  keyFile: ${N}", `put it in quotes: "${N}"`},
		{"empty variable", "version: 1\nwait: ${EMPTY}", `wait must be a duration, not the value of ${EMPTY}`},
		{"variable in a flow mapping", "version: 1\nenv: {a: ${N}}", `inside { } and [ ] a variable needs quotes`},
		{"syntax", "version: 1\nnames: %a", "2:8: error: not valid YAML: found character that cannot start any token"},
		{"tab", "version: 1\n\tflag: true", "2:1: error: not valid YAML"},
		{"unclosed", "version: 1\nnames: [a,\n", "did not find expected"},
		{"empty", "", "1:1: error: the document is empty\n1 error"},
		{"comments", "# nothing\n", "the document is empty"},
		{"null document", "null", "the document is empty"},
		{"bare dashes", "---\n", "the document is empty"},
		{"list at the root", "- a", "1:1: error: the top level must be a mapping"},
		{"two documents", "version: 1\n---\nversion: 1", "2:1: error: a second document begins here"},
		{"NUL", "version: 1\nnames: [é\x00]", "2:10: error: control character U+0000"},
		{"not UTF-8", "version: 1\nn: \xff", "2:4: error: not UTF-8"},
		{"depth", "version: 1\nany: " + strings.Repeat("[", 200), "more than 64 levels of nesting"},
		{"block depth", "version: 1\nany:\n  " + strings.Repeat("- ", 200), "more than 64 levels of nesting"},
		{"cycle", "version: 1\nany: &a [*a]", "aliases stand for more than 100 values"},
		{"unknown anchor", "version: 1\nany: *abc", "an alias that no anchor before it defines"},
		{"columns are runes", "version: 1\nany: [é, {ü: 1, ü: 2}]", `2:17: error: duplicate key "ü"`},
		{"line ends of YAML", "version: 1\rany: \"\u2028\"\r\nflag: 1\n", "4:7: error: flag must be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, d := decode(c.text)
			if got := fmt.Sprint(d.Err()); !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestAliasesWithinTheirBound(t *testing.T) {
	got, d := decode("version: 1\nany: &a {x: [1, 2]}\ntoken: *a\n")
	if d.Err() != nil || !reflect.DeepEqual(got.Any, got.Token) {
		t.Errorf("%v %v", got, d.Err())
	}
}

func TestBombsAreCheap(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("version: 1\nany:\n  a: &a [" + strings.Repeat("x,", 9) + "]\n")
	for c := 'b'; c < 'm'; c++ {
		fmt.Fprintf(&laughs, "  %c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 9))
	}
	for name, text := range map[string]string{"aliases": laughs.String(), "size": strings.Repeat("a", 17<<20),
		"values": "version: 1\nany: [" + strings.Repeat("1,", 2<<20) + "]", "depth": strings.Repeat("[", 1<<20), "quadratic": "any: &a " + strings.Repeat("[", 60) + strings.Repeat("*a,", 1000)} {
		o := options1()
		o.MaxBytes = 16 << 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := processorTime(t)
		err := Decode(o, []byte(text), &outer{}).Err()
		took := processorTime(t) - start
		runtime.ReadMemStats(&after)
		// The race detector makes everything several times slower.
		if grown := int64(after.TotalAlloc-before.TotalAlloc) - int64(len(text)); err == nil || took > 400*time.Millisecond || grown > 20<<20 {
			t.Errorf("%s: took %v and %d bytes, error %v", name, took, grown, err)
		}
	}
}

func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestSecretsAreNeverShown(t *testing.T) {
	const jwt, pem = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "-----BEGIN PRIVATE KEY-----"
	for _, text := range []string{
		"version: 1\npassword: hunter22x",
		"version: 1\ninner: {algorithm: ES256, password: [hunter22x]}",
		"version: 1\ninner: {algorithm: ES256, password: hunter22x, zzz: 1}",
		"version: 1\nenv: {DB_PASSWORD: 1, x: hunter22x, DB_PASSWORD: hunter22x}\nflag: x",
		"version: 1\nflag: " + jwt, "version: 1\nnames: " + jwt, "version: 1\n" + jwt + ": 1",
		"version: 1\nflag: Bearer hunter22x", "version: 1\nflag: https://u:hunter22x@host/x",
		"version: 1\ninner:\n  algorithm: ES256\n  keyFile: |\n    " + pem + "\n    hunter22x\n",
		"version: 1\ninner:\n  algorithm: ES256\n  keyFile: \"hunter22x\\n\"\n",
		"version: 1\ninner: {algorithm: ES256, keyFile: " + jwt + "}",
		"version: 1\ntoken: |\n  abc\n\thunter22x: [\nflag: x",
		"version: 1\npassword: |\n  user: x\n  hunter22x\n bad",
		"version: 1\nfoo: " + pem + "\nhunter22x\n [",
		"version: 1\npassword: hunter\n  hunter22x: [}",
		"version: 1\npassword:\n  - hunter22x\n  - [}",
		"version: 1\npassword: *hunter22x", "version: 1\npassword: !hunter22x a",
		"version: 1\ntoken: \"abc\n  hunter22x \\q\"",
		"version: 1\nflag: ${SECRET}", "version: 1\nwait: ${SECRET}", "version: 1\nform: ${SECRET}", "version: 1\ncount: ${SECRET}",
		"version: 1\ninner:\n  algorithm: ${SECRET}", "version: 1\nnames: ${SECRET}", "version: 1\neven: ${SECRET}",
	} {
		_, d := decode(text)
		got := fmt.Sprint(d.Err())
		if d.Err() == nil || strings.Contains(got, "hunter22") || strings.Contains(got, "hbGci") || strings.Contains(got, "PRIVATE") {
			t.Errorf("for %q:\n%s", text, got)
		}
	}
}

func TestReportedMistakes(t *testing.T) {
	text := "version: 1\ninner:\n  algorithm: ES256\n  claims:\n    exp: 5\n    \"a.b\": 6\nenv: {x: '${WORD} ${SECRET}'}\nlist:\n  - algorithm: ES256\n"
	_, d := decode(text)
	for path, want := range map[string]string{"inner.claims.exp": "5:10", "inner.claims.a.b": "6:12", "inner.ttl": "2:1", "inner.claims": "4:3",
		"list[0].ttl": "9:5", "list[7].ttl": "8:1", "nothing": "1:1", "env.x": "7:10", "": "1:1"} {
		line, column := d.Position(path)
		if got := fmt.Sprintf("%d:%d", line, column); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if d.Failed("inner") || d.Err() != nil {
		t.Error("a mistake before one was reported")
	}
	d.Report("inner.claims.exp", Mistake{Problem: "not here", Help: "leave it out"})
	d.Report("inner.claims.exp", Mistake{Problem: "not here", Help: "leave it out"})
	d.Report("env.x", Mistake{Problem: `"word hunter22" is bad`})
	d.Warn("inner", Mistake{Problem: "odd"})
	if !d.Failed("inner") || !d.Failed("inner.claims") || d.Failed("inner.cl") || d.Failed("list") {
		t.Error("Failed is wrong")
	}
	want := "t.yaml:5:10: error: not here\n    5 |     exp: 5\n      |          ^\n  help: leave it out\n" +
		"t.yaml:7:10: error: \"${WORD}\" is bad\n    7 | env: {x: '${WORD} ${SECRET}'}\n      |          ^^^^^^^^^^^^^^^^^^^\n2 errors"
	if got := d.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if w := d.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0].String(), "t.yaml:2:1: warning: odd\n") {
		t.Errorf("warnings: %v", w)
	}
}

func TestCodes(t *testing.T) {
	o := options1()
	o.Code = func(r Rule) string { return strings.ToUpper(string(r)) }
	err := Decode(o, []byte("version: 1\neven: 3\nx: 1"), &outer{}).Err()
	if s := fmt.Sprint(err); !strings.Contains(s, "error[EVEN]: 3 is") || !strings.Contains(s, "error[UNKNOWN]: unknown") {
		t.Error(s)
	}
}

func TestManyMistakesAreBounded(t *testing.T) {
	_, d := decode("version: 1\nany: {" + strings.Repeat("a: 1, ", 5000) + "}")
	e, ok := errors.AsType[*Error](d.Err())
	if !ok || len(e.Problems) != maxProblems || !strings.HasSuffix(e.Error(), "1000 errors, and more") || len(e.Error()) > 400*maxProblems {
		t.Errorf("%v", d.Err())
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "30s": 30 * time.Second, "7d": 168 * time.Hour, "1d1h": 25 * time.Hour, "-1s": -time.Second, "36500d": 876000 * time.Hour} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "30", "d", "-1d", "1d-1h", "1.5d", "1h1d", "65536d", "99999999999999d", "1d9999999h"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s", 100 * time.Millisecond: "100ms"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

func TestSchemaAndReference(t *testing.T) {
	o, example := options1(), &outer{Even: even{N: 2}}
	text, err := json.MarshalIndent(Schema(o, example), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"schema.json": string(text) + "\n", "reference.md": Reference(o, example)} {
		if *update {
			if err := os.WriteFile("testdata/"+name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile("testdata/" + name)
		if err != nil || got != string(want) {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
	}
}

// FuzzDecode: no text panics, every mistake lies within the text, and what decodes can be written and decodes equal.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"version: 1\nany: [1, 2.5, x, null, {a: b}]", "any: &a {b: *a}", "a: 'x", "\ufeffversion: 1\n# c\nnames: [\"\\u2028\"]", "any: |\n é\n\tb: -0x1\r\u0085x",
		"kind: {sign: {algorithm: x}}\nform: raw", "? [a]\n: b\n--- x", "any: ${N} $$ ${v}", "password: >\n  hunter22\n x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		into, d := decode(text)
		lines := splitLines(strings.TrimPrefix(text, "\ufeff"))
		if e, ok := errors.AsType[*Error](d.Err()); ok {
			for _, p := range e.Problems {
				if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1 {
					t.Errorf("%q: %d:%d is outside", text, p.Line, p.Column)
				}
			}
			return
		}
		o := options1()
		o.Lookup = nil
		again := &outer{}
		written := "version: 1\nany: " + write(into.Any)
		if err := Decode(o, []byte(written), again).Err(); err != nil || !reflect.DeepEqual(again.Any, into.Any) {
			t.Errorf("%q was written as %q: %v", text, written, err)
		}
	})
}

// write prints a value of the kind any as YAML.
func write(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.QuoteToASCII(v)
	case float64:
		if v == math.Trunc(v) {
			return strconv.FormatFloat(v, 'e', -1, 64)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case nil:
		return "null"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, write(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		var parts []string
		for k, e := range v {
			parts = append(parts, "? "+strconv.QuoteToASCII(k)+" : "+write(e))
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// area is written as a level or as a mapping, like an area of the log policy.
type area struct{ level, until string }

func (a *area) DecodeValue(v Value) {
	if v.Kind() == Text {
		a.level = v.Text()
		return
	}
	long := struct {
		Level string `yaml:"level" required:"true" enum:"INFO,OFF"`
		Until string `yaml:"until"`
	}{Until: "never"}
	v.Decode(&long)
	*a = area{long.Level, long.Until}
}
func (*area) Schema() map[string]any { return map[string]any{"title": "a level, or a mapping"} }
func (a *area) String() string       { return a.level }

func TestCustomTypesMayHaveALongForm(t *testing.T) {
	var got struct {
		Areas map[string]area `yaml:"areas"`
	}
	o := Options{Name: "p.yaml", MaxBytes: 1 << 20}
	d := Decode(o, []byte("areas:\n  token: INFO\n  token.db: {level: 'OFF', until: '$${N}'}\n"), &got)
	if want := map[string]area{"token": {level: "INFO"}, "token.db": {"OFF", "$${N}"}}; d.Err() != nil || !reflect.DeepEqual(got.Areas, want) {
		t.Errorf("%+v %v", got, d.Err())
	}
	d = Decode(o, []byte("areas:\n  token.db: {level: IFNO, utnil: x}\n"), &got)
	want := `p.yaml:2:21: error: unknown value "IFNO" for level
    2 |   token.db: {level: IFNO, utnil: x}
      |                     ^^^^
  help: did you mean "INFO"?  one of INFO, OFF
p.yaml:2:27: error: unknown key "utnil" in areas.token.db
    2 |   token.db: {level: IFNO, utnil: x}
      |                           ^^^^^
  help: did you mean "until"?
2 errors`
	if fmt.Sprint(d.Err()) != want || !d.Failed("areas.token.db") {
		t.Errorf("got\n%v", d.Err())
	}
}

// doubtful is a text that decodes itself with a warning.
type doubtful string

func (d *doubtful) DecodeValue(v Value) {
	*d = doubtful(v.Text())
	v.Warn(Mistake{Rule: "DOUBT", Problem: v.Show() + " is doubtful"})
}
func (*doubtful) Schema() map[string]any { return map[string]any{"title": "a doubtful text"} }
func (d *doubtful) String() string       { return string(*d) }

// The key of a mapping may have a name like a secret's: what stands in it is judged by its own keys, and what stands in its
// place is hidden.
func TestMappingsWithTheNameOfASecret(t *testing.T) {
	type assertion struct {
		TTL    int    `yaml:"ttl"`
		Secret string `yaml:"secret"`
	}
	type inner struct {
		Assertion assertion `yaml:"assertion"`
		Token     string    `yaml:"token"`
	}
	var got struct {
		Choices []OneOf `yaml:"choices" choice:"any"`
		Token   inner   `yaml:"token"` // elsewhere a text
	}
	o := Options{Name: "m.yaml", MaxBytes: 1 << 20, Choices: map[string]Choice{"any": {Kinds: map[string]func() any{"kind": func() any { return new(inner) }, "none": nil}}}}
	for text, want := range map[string]string{
		"choices: [{kind: {assertion: {ttl: x, secret: hunter22}}}]": `:36: error: ttl must be a number, not the text "x"` + "\n" +
			"    1 | choices: [{kind: {assertion: {ttl: x, secret: [redacted]\n      |                                    ^",
		"choices: [{kind: {assertion: hunter22}}]":         "1 | choices: [{kind: {assertion: [redacted]\n",
		"choices: [{kind: {assertion: [hunter22]}}]":       "1 | choices: [{kind: {assertion: [redacted]\n",
		"token: {token: hunter22, x: 1}":                   "1 | token: [redacted]\n",
		`{"pass\x77ord": hunter22}`:                        `1 | {"pass\x77ord":[redacted]`,
		"choices: [{kind: {credential: {ttl: hunter22}}}]": "credential: [redacted]",
	} {
		said := fmt.Sprint(Decode(o, []byte(text+"\n"), &got).Err())
		if !strings.Contains(said, want) || strings.Contains(said, "hunter22") {
			t.Errorf("%s: got\n%s\nwant\n%s", text, said, want)
		}
	}
}

// What stands at a key that nobody knows may be anything, also beside another mistake that comes before it.
func TestValuesOfStrangeKeysAreHidden(t *testing.T) {
	var got struct {
		List []inner `yaml:"list"`
	}
	for text, want := range map[string]string{
		"list: [{algorithm: ES256, value: hunter22}]":                    "1 | list: [{algorithm: ES256, value: [redacted]\n      |                           ^^^^^\n",
		"list: [{algorithm: ES, ttl: 1h, value: hunter22}]":              "1 | list: [{algorithm: ES, ttl: 1h, value: [redacted]\n      |                    ^^\n",
		"list: [{algorithm: ES256, value: {a: hunter22}}]":               "value: [redacted]\n",
		"list:\n  - algorithm: ES256\n    value:  hunter22 # for now":    "3 |     value:  [redacted]\n      |     ^^^^^\n",
		"list:\n  - algorithm: ES256\n    value:\n      a: hunter22":     "3 |     value:\n      |     ^^^^^\n",
		"list: [{algorithm: ES256, tlt: 5}, {algorithm: ES256, ttl: x}]": "tlt: 5}, {algorithm: ES256, ttl: x}]\n", // a slip
	} {
		said := fmt.Sprint(Decode(Options{Name: "s.yaml", MaxBytes: 1 << 20}, []byte(text+"\n"), &got).Err())
		if !strings.Contains(said, want) || strings.Contains(said, "hunter22") {
			t.Errorf("%s: got\n%s\nwant\n%s", text, said, want)
		}
	}
}

func TestKeysMayBeDeclaredOpen(t *testing.T) {
	var got struct {
		Token  doubtful          `yaml:"token"`
		Secret string            `yaml:"secret" enum:"a"`
		Map    map[string]string `yaml:"map"`
	}
	o := Options{Name: "p.yaml", MaxBytes: 1 << 20, Open: func(key string) bool { return key == "token" }}
	d := Decode(o, []byte("token: shown\nsecret: hidden\nmap: {x.y: z, x: null}\n"), &got)
	d.ReportKey("map.x.y", Mistake{Problem: "bad key"})
	d.ReportKey("map.none", Mistake{Problem: "not written"})
	want := `p.yaml:2:9: error: unknown value what is there for secret
    2 | secret: [redacted]
  help: write a`
	if text := fmt.Sprint(d.Err()); !strings.HasPrefix(text, want) || !strings.Contains(text, "p.yaml:3:7: error: bad key\n    3 | map: {x.y: z, x: null}\n      |       ^^^\n") ||
		!strings.Contains(text, "p.yaml:3:6: error: not written") {
		t.Error(text)
	}
	if w := d.Warnings(); len(w) != 1 || w[0].String() != "p.yaml:1:8: warning: \"shown\" is doubtful\n    1 | token: shown\n      |        ^^^^^" {
		t.Error(w)
	}
	for path, want := range map[string]bool{"token": true, "map.x": true, "map.x.y": true, "map.x.z": false, "map.none": false, "none": false, "": true} {
		if d.Written(path) != want {
			t.Errorf("Written(%q) is %v", path, !want)
		}
	}
}
