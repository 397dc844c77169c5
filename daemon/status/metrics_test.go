// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden file anew")

// scrape returns the metrics of a server with every family.
func scrape(t *testing.T) string {
	t.Helper()
	s, _ := healthy()
	s.Counters = new(Counters)
	s.Counters.Observe("orders", "published", "", 20*time.Millisecond)
	s.Counters.Observe("orders", "failed", "unavailable", 31*time.Second)
	s.Counters.Observe("orders", "failed", "unavailable", 30*time.Second)
	s.Counters.Observe("billing", "adopted", "", 0)
	s.Counters.PublishError("orders", "write")
	s.Counters.Notify("orders", "signal", "sent")
	s.Counters.Reload("applied")
	s.Counters.Reload("invalid")
	s.Metrics = func(w *Writer) {
		w.Gauge("renewd_log_policy_generation", "From another part.", func(s *Samples) { s.Add(12) })
	}
	got := ask(s.public(true), "GET", "/metrics", "")
	if got.Code != 200 || got.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Fatalf("%d %s", got.Code, got.Header().Get("Content-Type"))
	}
	return got.Body.String()
}

func TestMetrics(t *testing.T) {
	text := scrape(t)
	e := parse(t, text)
	lint(t, e)
	if cpu := e.value(t, "process_cpu_seconds_total"); cpu <= 0 || cpu > 3600 {
		t.Errorf("CPU %v s", cpu)
	}
	if memory := e.value(t, "process_resident_memory_bytes"); memory < 1<<20 || memory > 1<<34 {
		t.Errorf("resident %v bytes", memory)
	}
	if n := e.value(t, "process_open_fds"); n < 3 || n > 1000 {
		t.Errorf("%v descriptors", n)
	}
	if n := e.value(t, "go_goroutines"); n < 1 || n > 10_000 {
		t.Errorf("%v goroutines", n)
	}
	if e.value(t, "process_start_time_seconds") != float64(epoch.Add(-90*time.Minute).Unix()) {
		t.Error("start time")
	}
	// What differs from run to run.
	text = regexp.MustCompile(`(?m)^((?:process|go)_[a-z_]+) .*$`).ReplaceAllString(text, "$1 X")
	text = regexp.MustCompile(regexp.QuoteMeta(runtime.Version())).ReplaceAllString(text, "goX")
	golden := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("differs from %s (-update writes it):\n%s", golden, text)
	}
}

// What is not known is left out, not shown as the year 1 or 1970.
func TestUnknownTimesHaveNoSample(t *testing.T) {
	s, _ := healthy()
	s.Report = func() Report { return Report{Tokens: []Token{{Name: "new"}}} }
	e := parse(t, ask(s.public(true), "GET", "/metrics", "").Body.String())
	if e.value(t, "renewd_token_valid", "token", "new") != 0 {
		t.Error("a token without a file is valid")
	}
	for _, sample := range e.samples {
		if sample.value < 0 || regexp.MustCompile(`timestamp|start_time|_info$|watch_state`).MatchString(sample.name) && sample.name != "renewd_build_info" {
			t.Errorf("%+v", sample)
		}
	}
}

func TestDescriptorsAreCountedWithoutOurOwn(t *testing.T) {
	before, ok := openDescriptors()
	if !ok {
		t.Fatal("cannot count")
	}
	file, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if after, _ := openDescriptors(); after != before+1 {
		t.Errorf("%d, then %d", before, after)
	}
}

// counted fills c with what n tokens come to that have seen success and failure.
func counted(c *Counters, n int) {
	for i := range n {
		name := "token-" + strconv.Itoa(i)
		c.Observe(name, "adopted", "", 0)
		c.Observe(name, "published", "", 3*time.Millisecond)
		c.Observe(name, "failed", "unavailable", time.Second)
		c.Observe(name, "failed", "throttled", time.Second)
	}
}

func TestCountersAreSmall(t *testing.T) {
	const n = 10_000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	c := new(Counters)
	before := heap()
	counted(c, n)
	each := (heap() - before) / n
	t.Logf("%d bytes each", each)
	if each > 400 {
		t.Errorf("%d bytes for each token", each)
	}
	for i := range n {
		c.Forget("token-" + strconv.Itoa(i))
	}
	if len(c.tokens) != 0 || len(c.events) != 4 {
		t.Errorf("%d tokens and %d events left", len(c.tokens), len(c.events))
	}
}

// A scrape of many tokens needs memory for their names, not for its text.
func TestScrapeIsNotHeldInMemory(t *testing.T) {
	const n = 2000
	c := new(Counters)
	counted(c, n)
	scrape := func() {
		var w Writer
		c.families(&w)
		if err := w.emit(discard{}); err != nil {
			t.Error(err)
		}
	}
	scrape()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	scrape()
	runtime.ReadMemStats(&after)
	each := (after.TotalAlloc - before.TotalAlloc) / n
	t.Logf("%d bytes each", each)
	if each > 200 {
		t.Errorf("%d bytes for each token in a scrape of about 1,200", each)
	}
}

func BenchmarkScrape(b *testing.B) {
	c := new(Counters)
	counted(c, 100)
	b.ReportAllocs()
	for b.Loop() {
		var w Writer
		c.families(&w)
		if err := w.emit(discard{}); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestCounters(t *testing.T) {
	var c Counters
	for range 3 {
		c.Observe("a", "published", "", 100*time.Millisecond) // on a bound: le means less or equal
	}
	c.Observe("a", "failed", "refused", time.Minute)
	c.Observe("a", "healed", "", 0) // nobody was asked: not among the durations
	c.Observe("b", "healed", "", 0)
	c.PublishError("b", "write")
	c.Notify("b", "http", "failed")
	c.Observe("gone", "published", "", time.Second)
	c.Forget("gone")
	c.Forget("never")
	var w Writer
	c.families(&w)
	text := emitted(t, &w)
	e := parse(t, text)
	lint(t, e)
	for _, want := range []struct {
		value  float64
		name   string
		labels []string
	}{
		{3, "renewd_refresh_attempts_total", []string{"token", "a", "result", "published", "reason", ""}},
		{1, "renewd_refresh_attempts_total", []string{"token", "a", "result", "failed", "reason", "refused"}},
		{1, "renewd_refresh_attempts_total", []string{"token", "b", "result", "healed", "reason", ""}},
		{1, "renewd_publish_errors_total", []string{"token", "b", "class", "write"}},
		{1, "renewd_notifications_total", []string{"token", "b", "kind", "http", "result", "failed"}},
		{0, "renewd_refresh_duration_seconds_bucket", []string{"token", "a", "le", "0.01"}},
		{3, "renewd_refresh_duration_seconds_bucket", []string{"token", "a", "le", "0.1"}},
		{3, "renewd_refresh_duration_seconds_bucket", []string{"token", "a", "le", "30"}},
		{4, "renewd_refresh_duration_seconds_bucket", []string{"token", "a", "le", "+Inf"}},
		{4, "renewd_refresh_duration_seconds_count", []string{"token", "a"}},
		{60.3, "renewd_refresh_duration_seconds_sum", []string{"token", "a"}},
	} {
		if got := e.value(t, want.name, want.labels...); got < want.value-1e-9 || got > want.value+1e-9 {
			t.Errorf("%s %q is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	for _, s := range e.samples {
		if s.labels["token"] == "gone" || (s.labels["token"] == "b" && s.labels["le"] != "") {
			t.Errorf("%+v", s)
		}
	}
}

// A counter that is born or forgotten while a scrape goes on does no harm, and no lock is held while a client is slow.
func TestCountersDoNotWaitForAClient(t *testing.T) {
	var c Counters
	c.Observe("a", "published", "", time.Second)
	var w Writer
	c.families(&w)
	c.Observe("a", "failed", "refused", time.Second)
	w.Gauge("renewd_a", "Sorted before the counters.", func(*Samples) {
		c.Observe("b", "published", "", time.Second)
	})
	e := parse(t, emitted(t, &w))
	if e.value(t, "renewd_refresh_attempts_total", "token", "a", "result", "published", "reason", "") != 1 {
		t.Error("lost a count")
	}
	slow := slowClient{counters: &c}
	var again Writer
	c.families(&again)
	if err := again.emit(slow); err != nil {
		t.Error(err)
	}
}

// slowClient counts an event while it is being written to: with a lock held that would never end.
type slowClient struct{ counters *Counters }

func (s slowClient) Write(p []byte) (int, error) {
	s.counters.Observe("a", "published", "", time.Second)
	return len(p), nil
}

// The page that operators read names every metric, and no other. The families of the log are those of package command, which
// has a test like this one.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := regexp.MustCompile(`^renewd_(log|watch)_`)
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:renewd|process|go)_[a-z_]+)`").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = !elsewhere.MatchString(m[1])
	}
	shown := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(scrape(t), -1) {
		shown[m[1]] = true
		if !documented[m[1]] && !elsewhere.MatchString(m[1]) {
			t.Errorf("docs/metrics.md does not name %s", m[1])
		}
	}
	for name, here := range documented {
		if here && !shown[name] {
			t.Errorf("docs/metrics.md names %s, which there is not", name)
		}
	}
}
