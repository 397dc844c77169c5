// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package outage

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/renewd/renewd/e2e/internal/program"
)

// Target are the labels that Prometheus gives what it scrapes from a pod through the chart's PodMonitor.
func Target() map[string]string {
	return map[string]string{
		"namespace": "shop", "pod": "orders-5d4b", "container": "renewd", "endpoint": "renewd-metrics",
		"instance": "10.0.0.7:9736", "job": "renewd-system/renewd",
	}
}

// StepMetric is a series of the recording's own: 1 while the step of the label name lasts.
const StepMetric = "recording_step"

// Recording is a list of scrapes, one a second.
type Recording struct {
	start   time.Time
	scrapes []scrape
}

type scrape struct {
	step     string
	families map[string]*dto.MetricFamily // nil: no answer
}

// scrape adds one.
func (r *Recording) scrape(step string, p *program.Process) {
	s := scrape{step: step}
	if body, err := p.Get("/metrics"); err == nil {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		if s.families, err = parser.TextToMetricFamilies(bytes.NewReader(body)); err != nil {
			s.families = nil
		}
	}
	r.scrapes = append(r.scrapes, s)
}

// Series returns every series that was seen, by its name in PromQL's notation, with one value for each scrape; NaN where
// there was none. Seconds count as many seconds as told: a stretch of 60 makes an hour of a token's minute. Times are
// counted from the first scrape.
func (r *Recording) Series(stretch float64) map[string][]float64 {
	all := map[string][]float64{}
	for i, s := range r.scrapes {
		set := func(name string, labels map[string]string, value float64) {
			key := notation(name, labels)
			if all[key] == nil {
				all[key] = slices.Repeat([]float64{math.NaN()}, len(r.scrapes))
			}
			all[key][i] = value
		}
		set(StepMetric, map[string]string{"name": s.step}, 1)
		up := 0.0
		if s.families != nil {
			up = 1
		}
		set("up", Target(), up)
		for name, family := range s.families {
			for _, m := range family.GetMetric() {
				r.sample(name, m, stretch, set)
			}
		}
	}
	return all
}

// sample sets what a metric of one scrape says.
func (r *Recording) sample(name string, m *dto.Metric, stretch float64, set func(string, map[string]string, float64)) {
	labels := Target()
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	switch {
	case m.Histogram != nil:
		set(name+"_sum", labels, m.Histogram.GetSampleSum())
		set(name+"_count", labels, float64(m.Histogram.GetSampleCount()))
		for _, b := range m.Histogram.GetBucket() {
			le := maps.Clone(labels)
			le["le"] = strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)
			set(name+"_bucket", le, float64(b.GetCumulativeCount()))
		}
	case m.Counter != nil:
		set(name, labels, m.Counter.GetValue())
	case strings.HasSuffix(name, "_timestamp_seconds") || name == "process_start_time_seconds":
		since := m.Gauge.GetValue() - float64(r.start.UnixMilli())/1000
		set(name, labels, math.Round(since*stretch))
	default:
		set(name, labels, m.Gauge.GetValue())
	}
}

// notation writes a series as PromQL does, its labels sorted.
func notation(name string, labels map[string]string) string {
	var pairs []string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", label, labels[label]))
	}
	return name + "{" + strings.Join(pairs, ", ") + "}"
}

// Test writes the recording as a file of `promtool test rules` with the stretch of 60, which tests nothing yet.
func (r *Recording) Test(rules string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `rule_files: [%s]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
`, rules)
	all := r.Series(60)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "      - series: '%s'\n        values: '%s'\n", strings.ReplaceAll(name, "'", "''"), values(all[name]))
	}
	return b.String()
}

// values writes values in promtool's notation: the same value again and again as VALUExTIMES, none as _, and as stale the
// first of none after some, as Prometheus marks it.
func values(list []float64) string {
	var words []string
	for i := 0; i < len(list); {
		n := 1
		for i+n < len(list) && (list[i+n] == list[i] || math.IsNaN(list[i]) && math.IsNaN(list[i+n])) {
			n++
		}
		switch {
		case !math.IsNaN(list[i]) && n == 1:
			words = append(words, strconv.FormatFloat(list[i], 'f', -1, 64))
		case !math.IsNaN(list[i]):
			words = append(words, fmt.Sprintf("%sx%d", strconv.FormatFloat(list[i], 'f', -1, 64), n-1))
		case i == 0:
			words = append(words, fmt.Sprintf("_x%d", n))
		case n == 1:
			words = append(words, "stale")
		default:
			words = append(words, "stale", fmt.Sprintf("_x%d", n-1))
		}
		i += n
	}
	return strings.Join(words, " ")
}
