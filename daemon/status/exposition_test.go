// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"bytes"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// series is one parsed sample.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

// exposition is a parsed scrape.
type exposition struct {
	kinds   map[string]string
	samples []series
}

// value returns the one sample of that name whose labels are exactly these.
func (e exposition) value(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	for _, s := range e.samples {
		same := s.name == name && len(s.labels) == len(labels)/2
		for i := 0; i+1 < len(labels); i += 2 {
			same = same && s.labels[labels[i]] == labels[i+1]
		}
		if same {
			return s.value
		}
	}
	t.Errorf("no sample %s %q", name, labels)
	return math.NaN()
}

// The parser is stricter than Prometheus: one space, HELP and TYPE before the samples, families sorted and in one piece.
func parse(t *testing.T, text string) exposition {
	t.Helper()
	if !strings.HasSuffix(text, "\n") {
		t.Fatalf("does not end in a line feed: %.80q", text)
	}
	result := exposition{kinds: make(map[string]string)}
	head := regexp.MustCompile(`^# HELP ([a-z_:][a-z0-9_:]*) (.+)$`)
	kind := regexp.MustCompile(`^# TYPE ([a-z_:][a-z0-9_:]*) (counter|gauge|histogram)$`)
	seen := make(map[string]bool)
	var family, last string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := head.FindStringSubmatch(line); m != nil {
			if m[1] <= last {
				t.Errorf("family %s after %s", m[1], last)
			}
			family, last = "", m[1]
			continue
		}
		if m := kind.FindStringSubmatch(line); m != nil {
			if m[1] != last || result.kinds[m[1]] != "" {
				t.Errorf("stray %q", line)
			}
			family = m[1]
			result.kinds[family] = m[2]
			continue
		}
		s := parseSample(t, line)
		base := s.name
		if result.kinds[family] == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				base = strings.TrimSuffix(base, suffix)
			}
		}
		if base != family {
			t.Errorf("sample %q in family %q", line, family)
		}
		if identity := line[:strings.LastIndexByte(line, ' ')]; seen[identity] {
			t.Errorf("twice: %s", identity)
		} else {
			seen[identity] = true
		}
		result.samples = append(result.samples, s)
	}
	return result
}

func parseSample(t *testing.T, line string) series {
	t.Helper()
	s := series{labels: make(map[string]string)}
	name := regexp.MustCompile(`^[a-z_:][a-z0-9_:]*`).FindString(line)
	s.name, line = name, line[len(name):]
	for separator := "{"; strings.HasPrefix(line, separator); separator = "," {
		m := regexp.MustCompile(`^.([a-z][a-z0-9_]*)="((?:[^"\\]|\\["\\n])*)"`).FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("label at %q", line)
		}
		if _, twice := s.labels[m[1]]; twice {
			t.Errorf("label %s twice", m[1])
		}
		s.labels[m[1]] = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(m[2])
		line = line[len(m[0]):]
	}
	if len(s.labels) > 0 {
		var closed bool
		if line, closed = strings.CutPrefix(line, "}"); !closed {
			t.Fatalf("no } at %q", line)
		}
	}
	value, err := strconv.ParseFloat(strings.TrimPrefix(line, " "), 64)
	if err != nil || name == "" || !strings.HasPrefix(line, " ") {
		t.Fatalf("sample %q %q: %v", name, line, err)
	}
	s.value = value
	return s
}

func emitted(t *testing.T, w *Writer) string {
	t.Helper()
	var out bytes.Buffer
	if err := w.emit(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestExposition(t *testing.T) {
	var w Writer
	w.Counter("z_total", `Ends with a backslash \ and has "quotes" and`+"\n"+`two lines.`, func(s *Samples) {
		s.Add(3, "path", "C:\\DIR\n\"x\"", "b", "")
		s.Add(math.Inf(1), "path", "caf\xe9")
	})
	w.Gauge("b", "Numbers.", func(s *Samples) {
		for i, v := range []float64{0, 1, -1, 0.1, 1e-9, 1795456800.25, 1 << 53, 1e300, math.Inf(-1), math.NaN()} {
			s.Add(v, "i", strconv.Itoa(i))
		}
	})
	w.Gauge("empty", "Has no samples.", func(*Samples) {})
	w.Histogram("h_seconds", "Durations.", func(s *Samples) {
		s.AddHistogram([]float64{0.5, 1}, []uint32{1, 0, 2}, 7.5, "token", "a")
	})
	const want = `# HELP b Numbers.
# TYPE b gauge
b{i="0"} 0
b{i="1"} 1
b{i="2"} -1
b{i="3"} 0.1
b{i="4"} 1e-09
b{i="5"} 1795456800.25
b{i="6"} 9.007199254740992e+15
b{i="7"} 1e+300
b{i="8"} -Inf
b{i="9"} NaN
# HELP h_seconds Durations.
# TYPE h_seconds histogram
h_seconds_bucket{token="a",le="0.5"} 1
h_seconds_bucket{token="a",le="1"} 1
h_seconds_bucket{token="a",le="+Inf"} 3
h_seconds_sum{token="a"} 7.5
h_seconds_count{token="a"} 3
# HELP z_total Ends with a backslash \\ and has "quotes" and\ntwo lines.
# TYPE z_total counter
z_total{path="C:\\DIR\n\"x\"",b=""} 3
z_total{path="caf` + "\uFFFD" + `"} +Inf
`
	if got := emitted(t, &w); got != want {
		t.Errorf("got\n%s", got)
	}
	parse(t, want)
}

func TestFamilyDeclaredTwiceIsAnError(t *testing.T) {
	var w Writer
	w.Gauge("a", "One.", func(s *Samples) { s.Add(1) })
	w.Counter("a", "Two.", func(s *Samples) { s.Add(1) })
	var out bytes.Buffer
	if err := w.emit(&out); err == nil || out.Len() > 0 {
		t.Errorf("%v, %q", err, out.String())
	}
	s, logs := healthy()
	s.Metrics = func(w *Writer) { w.Gauge("go_goroutines", "Again.", func(*Samples) {}) }
	if got := ask(s.public(true), "GET", "/metrics", ""); got.Code != 500 || logs.FilterMessage("metrics are inconsistent").Len() != 1 {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

// broken is a client that is gone.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestClientThatIsGoneIsAnError(t *testing.T) {
	var w Writer
	w.Gauge("a", "One.", func(s *Samples) {
		for i := range 1000 {
			s.Add(1, "i", strconv.Itoa(i))
		}
	})
	if err := w.emit(broken{}); err == nil {
		t.Error("no error")
	}
}

func FuzzLabelValue(f *testing.F) {
	for _, seed := range []string{"", "orders", `a"b`, `\`, `\\n`, "\n", "\r", "\x00", "\xff\xfe", "\u2028", `"} 1`, "}", "# HELP x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var w Writer
		w.Gauge("a", "Help.", func(s *Samples) { s.Add(1, "label", value, "other", "x") })
		got := parse(t, emitted(t, &w)).samples
		if len(got) != 1 || got[0].labels["label"] != strings.ToValidUTF8(value, "\uFFFD") || got[0].labels["other"] != "x" {
			t.Errorf("%q became %+v", value, got)
		}
	})
}

// lint holds the rules of promlint that concern names, kinds and histograms.
func lint(t *testing.T, e exposition) {
	t.Helper()
	for name, kind := range e.kinds {
		if (kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, kind)
		}
		for word := range strings.SplitSeq(name, "_") {
			if slices.Contains([]string{"gauge", "counter", "histogram", "metric", "ms", "milliseconds", "minutes", "hours", "kb", "kilobytes", "percent"}, word) {
				t.Errorf("%s has %q in its name", name, word)
			}
		}
		if kind != "histogram" && (strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_bucket")) {
			t.Errorf("%s ends like a histogram", name)
		}
	}
	previous := series{}
	for _, s := range e.samples {
		_, bucket := s.labels["le"]
		if bucket != strings.HasSuffix(s.name, "_bucket") {
			t.Errorf("%s %q", s.name, s.labels)
		}
		if bucket && previous.labels["le"] != "" && previous.labels["le"] != "+Inf" && s.value < previous.value {
			t.Errorf("%s %q is not cumulative", s.name, s.labels)
		}
		previous = s
	}
}
