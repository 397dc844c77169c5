// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

const full = `
level: WARNING
areas:
  token: INFO
  token.db: {level: DEBUG, until: 2999-11-23T18:00:00Z}
  watcher: {level: ERROR, handlers: [console]}
handlers:
  console: {type: stream, stream: stderr, level: NOTSET, format: text, default: true, onError: stderr, maxLine: 64KiB}
  main:
    type: file
    path: /var/log/renewd
    name: renewd.log
    mode: "0640"
    dirMode: "0750"
    level: NOTSET
    format: text
    default: true
    onError: stderr
    maxLine: 64KiB
    rotate: {maxSize: 10MiB, every: 0, keep: 5, maxAge: 0, maxTotal: 100MiB, compress: false}
formats:
  text: {style: percent, pattern: "%(asctime)s | %(levelname)s | %(message)s", datefmt: "", fields: append}
  json: {style: json, severity: otel}
exceptions: {level: ERROR, trace: CRITICAL, panics: CRITICAL}
redact: {keys: [], patterns: []}
`

func TestTheFullFormHoldsOnlyDefaults(t *testing.T) {
	r := newRig(t)
	if problems := r.Check("p", r.text(full), false); problems != nil {
		t.Fatal(problems)
	}
	short := "areas: {token: INFO, token.db: {level: DEBUG, until: 2999-11-23T18:00:00Z}, watcher: {level: 40, handlers: [console]}}\n" +
		"handlers: {console: {type: stream}, main: {type: file}}\n"
	diff, err := r.Diff("a", r.text(full), "b", r.text(short))
	if err != nil || len(diff) != 0 {
		t.Errorf("%q %v", diff, err)
	}
	if problems := r.Check("p", []byte("\ufeffversion: 1"), false); problems != nil {
		t.Error(problems)
	}
}

// Every code of a mistake.
func TestMistakesHaveACodeAndAPlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "p:1:1: error[LP002]"},
		{"# nothing\n", "p:1:1: error[LP002]"},
		{"null", "p:1:1: error[LP002]"},
		{"---\n", "error[LP002]"},
		{"[1]", "p:1:1: error[LP002]"},
		{"version: 1\n---\nversion: 1\n", "p:2:1: error[LP003]"},
		{"version: 1\nlevel: \x00", "p:2:8: error[LP004]"},
		{"version: 1 # \xff", "p:1:14: error[LP004]"},
		{"version: 1\n" + strings.Repeat("# x\n", 1<<18), "p:1:1: error[LP005]"},
		{"version: 1\nredact: {keys: [&a x" + strings.Repeat(", *a", 101) + "]}", "error[LP006]"},
		{"level: INFO", "error[LP007]"},
		{`version: "1"`, "p:1:10: error[LP007]"},
		{"version: 1.0", "p:1:10: error[LP007]"},
		{"version: 2", "p:1:10: error[LP007]"},
		{"a: [", "error[LP001]"},
		{"version: 1\nformats: {x: {pattern: %(message)s}}", "error[LP001]: not valid YAML: found character that cannot start any token"},
		{"version: 1\nlevle: INFO", `p:2:1: error[LP010]: unknown key "levle" at the top level`},
		{"version: 1\nlevel: INFO\nlevel: DEBUG", "p:3:1: error[LP011]"},
		{"version: 1\nareas:\n  token.db: WARNNG", `p:3:13: error[LP012]: unknown level "WARNNG" for area "token.db"`},
		{"version: 1\nareas: {token: WARNNG}", `p:2:16: error[LP012]: unknown level "WARNNG" for area "token"`},
		{"version: 1\nlevel: false", `write "OFF" in quotes`},
		{"version: 1\nlevel: ''", "error[LP012]"},
		{"version: 1\nlevel: NOTSET", "error[LP012]"},
		{"version: 1\nlevel: 25", "error[LP012]"},
		{"version: 1\nareas: {tokne: INFO}", `p:2:9: error[LP013]: unknown area "tokne"`},
		{"version: 1\nareas: {daemon.x: INFO}", "error[LP013]"},
		{"version: 1\nareas: {token: {handlers: [nowhere]}}", `p:2:28: error[LP014]: unknown handler "nowhere"`},
		{"version: 1\nhandlers: {c: {type: stream, format: txt}}", `unknown format "txt"`},
		{"version: 1\nhandlers: {c: {type: strem}}", "error[LP015]"},
		{"version: 1\nhandlers: {c: {stream: stdout}}", `error[LP007]: c has no key "type"`},
		{"version: 1\nhandlers: {c: {type: stream, path: /x}}", "p:2:30: error[LP010]: path has no meaning here: it belongs to file, not to stream"},
		{"version: 1\nformats: {json: {pattern: x}}", "error[LP010]: pattern has no meaning here"},
		{"version: 1\nhandlers: {c: {type: stream, maxLine: 1MiB}}", "p:2:39: error[LP021]: maxLine must be within 1KiB and 64KiB, not 1MiB"},
		{inFile("rotate: {maxSize: 10 MB}"), "error[LP020]"},
		{inFile("rotate: {maxSize: 1e3}"), "error[LP020]"},
		{inFile("rotate: {maxSize: -1}"), "error[LP020]"},
		{inFile("rotate: {maxSize: 0MiB}"), "error[LP020]"},
		{inFile("rotate: {maxSize: 9223372036854775808}"), "help: a whole number and KiB, MiB"},
		{inFile("rotate: {maxSize: 17GiB}"), "error[LP021]"},
		{inFile("rotate: {maxAge: 106752d}"), "help: for example \"30s\", \"1h30m\", \"7d\"; at most 36500d"},
		{inFile("rotate: {maxAge: 36501d}"), "error[LP021]: maxAge must be within 1h and 36500d, not 36501d"},
		{inFile("rotate: {every: 30s}"), "error[LP021]"},
		{inFile("rotate: {every: 3600}"), "error[LP020]"},
		{inFile("rotate: {keep: 0}"), "error[LP021]"},
		{inFile("rotate: {keep: all}"), "error[LP015]"},
		{inFile("rotate: {maxTotal: 1MiB}"), "warning[LP203]"},
		{inFile("mode: 0640"), `error[LP031]: mode 0640 is read by YAML as decimal 416; write "0640"`},
		{inFile(`mode: "0999"`), "error[LP031]"},
		{inFile(`mode: "0444"`), "error[LP031]"},
		{inFile(`name: a/b`), "error[LP030]"},
		{inFile(`name: ".."`), "error[LP030]"},
		{inFile(`name: ""`), "error[LP030]"},
		{inFile(`name: "a\0b"`), "error[LP030]"},
		{inFile(`path: logs`), "error[LP030]"},
		{inFile(`path: /var/log/../x`), "error[LP030]"},
		{"version: 1\nhandlers: {a: {type: file}, b: {type: file, path: /var/log/renewd/}}", "p:2:29: error[LP103]"},
		{besideA("renewd.log.lock"), `p:3:25: error[LP103]: "renewd.log.lock" is a name that handler a gives its lock or its backups`},
		{besideA("renewd-2026-11-23T18-00-00.000.log"), "p:3:25: error[LP103]"},
		{besideA("renewd-2026-11-23T18-00-00.000.log.gz"), "p:3:25: error[LP103]"},
		{besideA("renewd-2026-11-23T18-00-00.000.log.gz.tmp"), "p:3:25: error[LP103]"},
		{"version: 1\nareas: {token: {level: INFO, until: tomorrow}}", "error[LP022]"},
		{"version: 1\nareas: {token: {level: INFO, until: 2026-11-23T18:00:00}}", "error[LP022]"},
		{"version: 1\nareas: {token: {level: INFO, until: 2001-01-01T00:00:00Z}}", "warning[LP201]"},
		{"version: 1\nareas: {token: WARNING}", "warning[LP202]"},
		{"version: 1\nareas: {token: {}}", "warning[LP202]: the entry has no effect: it has neither a level nor handlers"},
		{"version: 1\nareas: {token: {for: 15m}}", "warning[LP202]: the entry has no effect: it has neither a level nor handlers"},
		{"version: 1\nareas: {token: {level: INFO, for: 0s}}", "error[LP021]: for must be within 1s and 36500d, not 0s"},
		{"version: 1\nareas: {root: INFO}", "help: the level of everything is the key level at the top"},
		{"version: 1\nhandlers: {}", "warning[LP202]: an area that names no handlers logs nowhere"},
		{"version: 1\nhandlers: {a: {type: stream}, c: {type: stream, default: false}}", "warning[LP202]: the handler gets no lines"},
		{"version: 1\nhandlers: {c: {type: stream, level: LOW}}", "OFF, or NOTSET"},
		{"version: 1\nredact: {keys: ['-']}", `p:2:17: error[LP015]: "-" names no field`},
		{"version: 1\nlevel: warn", "warning[LP204]"},
		{"version: 1\nareas: {token.gone: INFO}", "warning[LP205]"},
		{"version: 1\nareas: {token: {level: INFO, for: 1h, until: 2999-01-01T00:00:00Z}}", "error[LP015]: until and for exclude each other"},
		{"version: 1\nredact: {patterns: ['(']}", "error[LP050]"},
		{"version: 1\nredact: {patterns: ['a*']}", "error[LP050]"},
		{"version: 1\nredact: {patterns: ['']}", "error[LP050]"},
		{"version: 1\nformats: {x: {pattern: 'a %(levelnam)s'}}", "p:2:27: error[LP040]: \"%(levelnam)\" is not a field"},
		{"version: 1\nformats: {x: {pattern: 'a %(thread)d'}}", "error[LP040]: %(thread) of Python has no meaning here: goroutines have no number"},
		{"version: 1\nformats: {x: {pattern: '%(message'}}", "p:2:25: error[LP041]"},
		{"version: 1\nformats: {x: {pattern: '50%'}}", "error[LP041]"},
		{"version: 1\nformats: {x: {pattern: \"a\\nb\"}}", "error[LP041]"},
		{"version: 1\nformats: {x: {datefmt: '%H:%Q'}}", "p:2:28: error[LP042]"},
	} {
		s := newRig(t)
		s.SetTokens([]string{"db"})
		got := s.Check("p", []byte(c.text), false)
		if got == nil || !strings.Contains(got.Error(), c.want) {
			t.Errorf("%.80q:\n%v\nwant %s", c.text, got, c.want)
		} else if strings.HasPrefix(c.want, "warning") != (len(got.Problems) == 0) {
			t.Errorf("%.80q: %v", c.text, got)
		}
	}
}

// besideA is a policy with a handler whose file stands beside that of the handler a.
func besideA(name string) string {
	return "version: 1\nhandlers: {a: {type: file},\n  b: {type: file, name: " + name + "}}"
}

func TestNamesLikeThoseOfAnotherHandlerAreAllowed(t *testing.T) {
	for _, name := range []string{"renewd.lock", "renewd-2026-11-23.log", "renewd-2026-11-23T18-00-00.000.log.xz", "renewd-2026-11-23T18-00-00.000.log, path: /var/log"} {
		if found := newRig(t).Check("p", []byte(besideA(name)), false); found != nil {
			t.Error(found)
		}
	}
}

func inFile(more string) string {
	return "version: 1\nhandlers: {main: {type: file, " + more + "}}"
}

const bomb = `version: 1
a: &a [x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]
areas: {token: {handlers: *d}, status: {handlers: *d}}
`

func TestAllMistakesAreListedAndTheLastLineSaysWhatStays(t *testing.T) {
	r := newRig(t)
	r.apply("level: INFO")
	err := r.Apply("/etc/p.yaml", []byte("version: 1\nareas:\n  token.db: WARNNG\nhandlers:\n  m: {type: file, mode: 0640}\nlevel: warn\n"), "test")
	sum, loaded := r.State().SHA256, r.State().Loaded.UTC().Format(time.RFC3339)
	want := fmt.Sprintf(`/etc/p.yaml:3:13: error[LP012]: unknown level "WARNNG" for area "token.db"
    3 |   token.db: WARNNG
      |             ^^^^^^
  help: did you mean "WARNING"?  one of DEBUG, INFO, WARNING, ERROR, CRITICAL, OFF
/etc/p.yaml:5:25: error[LP031]: mode 0640 is read by YAML as decimal 416; write "0640"
    5 |   m: {type: file, mode: 0640}
      |                         ^^^^
/etc/p.yaml:6:8: warning[LP204]: "warn" is an old name
    6 | level: warn
      |        ^^^^
  help: write WARNING
2 errors, 1 warning. Policy NOT applied; generation 1 (sha256 %.6s…, loaded %s) stays in force.`, sum, loaded)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if got := r.Check("p", []byte("version: 2"), false).Error(); !strings.HasSuffix(got, "1 error, 0 warnings. Policy is not valid.") {
		t.Error(got)
	}
}

// What is no policy is refused cheaply, and the last good one stays.
func TestRejectedContentCostsLittleAndChangesNothing(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "comments": "# a\n# b\n", "null": "null\n", "dashes": "---\n", "two": "version: 1\n---\nversion: 1\n",
		"large": "version: 1\n" + strings.Repeat("a: b\n", 400_000), "bomb": bomb} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).run()
			changed := r.Follow("p.yaml", false)
			good := []byte("version: 1\nlevel: DEBUG\n")
			if err := changed(good, nil); err != nil || !r.State().Successful {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin := processorTime(t)
			if err := changed([]byte(text), nil); err != nil {
				t.Error("invalid content must not be asked for again:", err)
			}
			if took := processorTime(t) - begin; took > 50*time.Millisecond*slow {
				t.Errorf("took %v", took)
			}
			if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 32<<20 {
				t.Errorf("%d bytes", after.TotalAlloc-before.TotalAlloc)
			}
			if s := r.State(); s.Successful || s.Generation != 1 || s.Reloads["invalid"] != 1 {
				t.Errorf("%+v", s)
			}
			if r.Logger().Named("token").Debug("still here"); r.Sync() != nil || !strings.Contains(r.err.String(), "still here") {
				t.Error("the last good policy is not in force")
			}
			if err := changed(good, nil); err != nil || !r.State().Successful || r.State().Reloads["unchanged"] != 1 {
				t.Errorf("%v %+v", err, r.State())
			}
		})
	}
}

func TestSchemaAndReferenceKnowEveryKey(t *testing.T) {
	data, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"version", "level", "areas", "until", "for", "handlers", "stream", "path", "name", "mode", "dirMode", "format", "default",
		"onError", "maxLine", "maxSize", "every", "keep", "maxAge", "maxTotal", "compress", "style", "pattern", "datefmt", "fields", "severity",
		"exceptions", "trace", "panics", "redact", "keys", "patterns"} {
		contains(t, string(data), `"`+key+`":`)
		if key != "until" && key != "for" {
			contains(t, Reference(), "| `"+key+"` |")
		}
	}
	contains(t, string(data), fmt.Sprintf(`"maxLength":%d`, maxPattern))
	contains(t, Reference(), fmt.Sprintf("at most %d bytes", maxPattern))
}

func TestValuesPrintAsTheyAreWritten(t *testing.T) {
	for _, c := range [][2]string{{size(10 << 20).String(), "10MiB"}, {size(64 << 10).String(), "64KiB"}, {size(5e6).String(), "5MB"}, {size(1000).String(), "1KB"},
		{size(1500).String(), "1.5KB"}, {span(0).String(), "0s"}, {span(36 * time.Hour).String(), "36h"}, {span(48 * time.Hour).String(), "2d"},
		{mode(0o640).String(), "0640"}, {keep(0).String(), "none"}, {keep(7).String(), "7"}} {
		if c[0] != c[1] {
			t.Errorf("%s, want %s", c[0], c[1])
		}
	}
}
