// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
)

// python runs a script of Python's own logging on JSON, and reads JSON.
func python(t *testing.T, script string, in, out any) {
	t.Helper()
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", script)
	cmd.Stdin = strings.NewReader(string(data))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	got, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(got, out)
	}
	if err != nil {
		t.Fatalf("python3: %v\n%s", err, stderr.String())
	}
}

const formatScript = `
import json, logging, sys
job = json.load(sys.stdin)
logging.addLevelName(30, "WARNING")
out = []
for p in job["patterns"]:
    r = logging.LogRecord("token.db", 30, "/src/daemon/keeper.go", 0, "%s", (job["message"],), None, "say")
    r.created, r.msecs, r.relativeCreated, r.process = job["created"], 123.0, 4567.0, 4242
    try:
        f = logging.Formatter(p, validate=False)
        f.formatTime = lambda record, datefmt=None: "2026-11-23T18:00:00.123Z"
        out.append(f.format(r))
    except Exception as e:
        out.append("error: " + type(e).__name__)
json.dump(out, sys.stdout)
`

// Every conversion of every field gives what Python's own logging gives, or is refused.
func TestPatternsFormatAsPythonDoes(t *testing.T) {
	at := time.Date(2026, 11, 23, 18, 0, 0, 123e6, time.UTC)
	r := &record{time: at, level: Warning, name: "token.db", message: "héllo wörld ✓", process: 4242, started: at.Add(-4567 * time.Millisecond),
		caller: zapcore.EntryCaller{Defined: true, File: "/src/daemon/keeper.go", Line: 0, Function: "github.com/renewd/renewd/daemon.(*Keeper).say"}}
	patterns := []string{standardText, "%%", "100%% of %(message)s", "plain", "a\tb", "%(asctime)s.%(msecs)03d"}
	for _, field := range fieldNames() {
		for _, flags := range []string{"", "-", "0", "+", " ", "#", "-0", "+0", "0-", " 0", "#0", "+-"} {
			for _, width := range []string{"", "3", "12", "012"} {
				for _, precision := range []string{"", ".0", ".", ".3", ".8"} {
					for _, verb := range []string{"s", "d", "i", "u", "x", "X", "o", "f", "F", "e", "E", "g", "G", "ld"} {
						patterns = append(patterns, "["+"%("+field+")"+flags+width+precision+verb+"]")
					}
				}
			}
		}
	}
	var want []string
	python(t, formatScript, map[string]any{"patterns": patterns, "message": r.message, "created": float64(at.UnixNano()) / 1e9}, &want)
	refused, differ := 0, 0
	for i, text := range patterns {
		p, _, m := parsePattern(text)
		if m != nil {
			if refused++; !strings.HasPrefix(want[i], "error: ") {
				t.Errorf("%s is refused: %s; Python gives %q", text, m.Problem, want[i])
			}
			continue
		}
		if got := string(p.append(nil, r, &format{})); got != want[i] {
			if differ++; differ < 20 {
				t.Errorf("%s: %q, Python gives %q", text, got, want[i])
			}
		}
	}
	if refused == len(patterns) || differ > 0 {
		t.Errorf("%d patterns: %d refused, %d differ", len(patterns), refused, differ)
	}
}

func TestPatternsThatAreRefused(t *testing.T) {
	for text, code := range map[string]string{"%(threadName)s": "LP040", "%(taskName)s": "LP040", "%(processName)s": "LP040", "%(thread)d": "LP040",
		"%(nope)s": "LP040", "%()s": "LP040", "%(message": "LP041", "%(message)": "LP041", "%s": "LP041", "50% off": "LP041", "%": "LP041",
		"%(message)d": "LP041", "%(message)c": "LP041", "%(created)x": "LP041", "%(levelno)*d": "LP041", "%(levelno)1000d": "LP041", "a\nb": "LP041", "a\u2028b": "LP041", "\x1b[31m": "LP041"} {
		if _, _, m := parsePattern(text); m == nil || string(m.Rule) != code {
			t.Errorf("%q: %v, want %s", text, m, code)
		}
	}
}

// Dates as Python's datetime prints them.
func TestDatesPrintAsPythonDoes(t *testing.T) {
	zone := time.FixedZone("TST", -(9*3600 + 30*60))
	times := []time.Time{time.Date(2026, 1, 2, 3, 4, 5, 67890000, zone), time.Date(2024, 12, 31, 12, 0, 59, 999999000, time.UTC), time.Date(2099, 7, 4, 0, 30, 0, 0, zone)}
	formats := []string{"%Y-%m-%dT%H:%M:%S.%f%z", "%y %b %B %j %a %A", "%I:%M %p", "%Z%%", "day %d, no directive", ""}
	const script = `
import json, sys, datetime as d
job = json.load(sys.stdin)
out = []
for s, off, name in job["times"]:
    t = d.datetime.fromtimestamp(s // 1000000, d.timezone(d.timedelta(seconds=off), name)).replace(microsecond=s % 1000000)
    out += [t.strftime(f) for f in job["formats"]]
json.dump(out, sys.stdout)
`
	var in [][]any
	for _, at := range times {
		name, offset := at.Zone()
		in = append(in, []any{at.UnixMicro(), offset, name})
	}
	var want []string
	python(t, script, map[string]any{"times": in, "formats": formats}, &want)
	for i, at := range times {
		for j, text := range formats {
			got := string(datefmt(text).append(nil, at))
			if expect := want[i*len(formats)+j]; text != "" && got != expect {
				t.Errorf("%q: %q, Python gives %q", text, got, expect)
			}
		}
	}
	if got := string(datefmt("").append(nil, times[0])); got != "2026-01-02T03:04:05.067-09:30" {
		t.Error(got)
	}
}

// The lines that pass are those that pass in Python, for levels, a tree of areas, and floors of handlers.
func TestLevelsDecideAsPythonDoes(t *testing.T) {
	type job struct {
		Levels map[string]int
		Floors []int
		Lines  [][2]any
	}
	const script = `
import json, logging, sys
job = json.load(sys.stdin)
out = []
class H(logging.Handler):
    def emit(self, r): out.append([self.name, r.getMessage()])
for i, f in enumerate(job["Floors"]):
    h = H(f); h.name = "h%d" % i
    logging.getLogger().addHandler(h)
for name, l in job["Levels"].items(): logging.getLogger(name if name != "root" else None).setLevel(l)
for i, (name, l) in enumerate(job["Lines"]): logging.getLogger(name).log(l, str(i))
out.sort()
json.dump(out, sys.stdout)
`
	j := job{Levels: map[string]int{"root": 30, "token": 20, "token.db": 10, "token.web": 50, "status": 60, "watcher": 40}, Floors: []int{0, 40, 20}}
	numbers := map[int]Level{10: Debug, 20: Info, 30: Warning, 40: Error, 50: Critical}
	r := newRig(t).run()
	r.SetTokens([]string{"db", "web", "other"})
	var policy strings.Builder
	policy.WriteString("level: 30\nareas: {token: 20, token.db: '10', token.web: CRITICAL, status: 'OFF', watcher: ERROR}\nexceptions: {trace: 'OFF'}\nformats: {")
	for i := range j.Floors {
		policy.WriteString(fmt.Sprintf("h%d: {pattern: 'h%d %%(message)s'},", i, i))
	}
	policy.WriteString("}\nhandlers: {h0: {type: stream, format: h0}, h1: {type: stream, format: h1, level: 40}, h2: {type: stream, format: h2, level: info, stream: stdout}}")
	r.apply(policy.String())
	r.flush()
	r.err.reset()
	r.out.reset()
	log := r.Logger()
	for _, area := range []string{"token", "token.db", "token.web", "token.other", "tokens", "status", "watcher", "daemon", "token.db.x"} {
		for _, n := range []int{10, 20, 30, 40, 50} {
			message := fmt.Sprint(len(j.Lines))
			if j.Lines = append(j.Lines, [2]any{area, n}); n == 50 {
				logCritical(log.Named(area), message)
			} else if ce := log.Named(area).Check(zapcore.Level(numbers[n]), message); ce != nil {
				ce.Write()
			}
		}
	}
	r.flush()
	var want [][2]string
	python(t, script, j, &want)
	got := map[string]bool{}
	for line := range strings.Lines(r.err.String() + r.out.String()) {
		got[strings.TrimSpace(line)] = true
	}
	for _, w := range want {
		if !got[w[0]+" "+w[1]] {
			t.Errorf("missing: %v (%v)", w, w[1])
		}
	}
	if len(got) != len(want) || len(want) < 20 {
		t.Errorf("%d lines, Python has %d", len(got), len(want))
	}
}
