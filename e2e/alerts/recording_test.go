// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package alerts

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v4"

	"github.com/renewd/renewd/e2e/alerts/outage"
	"github.com/renewd/renewd/e2e/internal/program"
)

// recorded returns the committed series, which step each minute belongs to, and the steps in their order.
func recorded(t *testing.T) (input []series, steps, order []string) {
	t.Helper()
	input, err := recording()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range input {
		if !strings.HasPrefix(s.Series, outage.StepMetric+"{") {
			continue
		}
		metric, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(s.Series + " " + s.Values)
		if err != nil {
			t.Fatal(err)
		}
		if steps == nil {
			steps = make([]string, len(values))
		}
		for minute, v := range values {
			if !v.Omitted && v.Value == 1 {
				steps[minute] = metric.Get("name")
			}
		}
	}
	return input, steps, slices.Compact(slices.Clone(steps))
}

// recording returns the committed series.
func recording() ([]series, error) {
	data, err := os.ReadFile("testdata/outage.yaml")
	if err != nil {
		return nil, err
	}
	var file struct {
		RuleFiles          []string `yaml:"rule_files"`
		EvaluationInterval string   `yaml:"evaluation_interval"`
		Tests              []struct {
			Interval    string   `yaml:"interval"`
			InputSeries []series `yaml:"input_series"`
		} `yaml:"tests"`
	}
	if err := yaml.Load(data, &file, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	if len(file.Tests) != 1 || file.Tests[0].Interval != "1m" {
		return nil, errors.New("the recording has another form")
	}
	return file.Tests[0].InputSeries, nil
}

// committed returns what the recording shows.
func committed() (exposition, error) {
	input, err := recording()
	found := exposition{}
	for _, s := range input {
		metric, err := parser.NewParser(parser.Options{}).ParseMetric(s.Series)
		if err != nil {
			return nil, err
		}
		found.add(metric)
	}
	return found, err
}

// TestRecordedOutage runs the rules over the day that a real daemon had: each alert begins in the step that causes it, ends
// in the one that mends it, and there are no others.
func TestRecordedOutage(t *testing.T) {
	input, steps, order := recorded(t)
	type episode struct{ alert, token, reason, begins, ends string }
	var got []episode
	for _, f := range evaluate(t, input, len(steps), nil) {
		t.Log(f)
		last := f.minutes[len(f.minutes)-1]
		ends := ""
		if last+1 < len(steps) {
			ends = steps[last+1]
		}
		got = append(got, episode{f.name, f.labels.Get("token"), f.labels.Get("reason"), steps[f.minutes[0]], ends})
	}
	want := []episode{
		{"RenewdRefreshFailing", "orders", "", "outage", "recovered"},
		{"RenewdTokenExpiresSoon", "orders", "", "outage", "recovered"},
		{"RenewdTokenInvalid", "orders", "", "outage", "recovered"},
		{"RenewdRefreshBroken", "orders", "refused", "refused", "accepted"},
		{"RenewdRefreshFailing", "orders", "", "refused", "accepted"},
		{"RenewdTokenInvalid", "reports", "", "unwritable", "writable"},
		{"RenewdRefreshBroken", "reports", "write", "unwritable", "writable"},
		{"RenewdConfigNotInForce", "", "", "wrong configuration", "right configuration"},
		{"RenewdLogPolicyNotInForce", "", "", "wrong log policy", "right log policy"},
		{"RenewdLogLinesDropped", "", "deleted", "log written", "log written"},
		{"RenewdNotScraped", "", "", "gone", "back"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("in the steps %q there was\n%q\nwant\n%q", order, got, want)
	}
}

// exposition is what a fresh run shows: of each metric the labels, and of each label the values.
type exposition map[string]map[string][]string

func (e exposition) add(metric labels.Labels) {
	name := metric.Get(labels.MetricName)
	if e[name] == nil {
		e[name] = map[string][]string{}
	}
	metric.Range(func(l labels.Label) {
		if l.Name != labels.MetricName && !slices.Contains(e[name][l.Name], l.Value) {
			e[name][l.Name] = append(e[name][l.Name], l.Value)
		}
	})
}

// run takes the daemon through the same day, in short. All tests look at the one run. Where the machine was too busy for so short
// a day, so that something that was recorded did not happen, a longer one follows.
var run = sync.OnceValues(func() (exposition, error) {
	dir, err := os.MkdirTemp("", "renewd-alerts-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	binary, err := program.Build(ctx, dir)
	if err != nil {
		return nil, err
	}
	want, err := committed()
	if err != nil {
		return nil, err
	}
	found := exposition{}
	for life := 5 * time.Second; life <= 20*time.Second && !found.covers(want); life *= 2 {
		day := filepath.Join(dir, life.String())
		if err := os.Mkdir(day, 0o755); err != nil {
			return nil, err
		}
		r, err := outage.Run(ctx, binary, day, life)
		if err != nil {
			return nil, err
		}
		for name, values := range r.Series(1) {
			if slices.ContainsFunc(values, func(v float64) bool { return !math.IsNaN(v) }) {
				metric, err := parser.NewParser(parser.Options{}).ParseMetric(name)
				if err != nil {
					return nil, err
				}
				found.add(metric)
			}
		}
	}
	return found, nil
})

// covers reports whether each metric and label of want is in e, with the same reasons.
func (e exposition) covers(want exposition) bool {
	for name, recorded := range want {
		for label, values := range recorded {
			now, there := e[name][label]
			if !there || label == "reason" && !slices.Equal(slices.Sorted(slices.Values(now)), slices.Sorted(slices.Values(values))) {
				return false
			}
		}
		if e[name] == nil {
			return false
		}
	}
	return true
}

func fresh(t *testing.T) exposition {
	t.Helper()
	e, err := run()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestRecordingIsOfThisDaemon compares the committed recording with a fresh run: the same metrics, with the same labels.
func TestRecordingIsOfThisDaemon(t *testing.T) {
	committed, err := committed()
	if err != nil {
		t.Fatal(err)
	}
	now := fresh(t)
	for name := range maps.Keys(now) {
		if committed[name] == nil {
			t.Errorf("%s is not in the recording: run `go run ./alerts/record` in e2e/", name)
		}
	}
	for name, recorded := range committed {
		want := slices.Sorted(maps.Keys(recorded))
		if got := slices.Sorted(maps.Keys(now[name])); !slices.Equal(got, want) {
			t.Errorf("%s has the labels %q, and %q in the recording: run `go run ./alerts/record` in e2e/", name, got, want)
		}
	}
}
