// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package alerts

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const (
	rulesFile = "../../charts/renewd/files/rules.yaml"
	runbooks  = "../../docs/runbooks"
)

// series is one input series, in promtool's notation.
type series struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

// firing is an alert in the minutes, from 0 on, in which it fired without a pause.
type firing struct {
	name    string
	labels  labels.Labels
	texts   labels.Labels
	minutes []int
}

func (f *firing) String() string {
	return fmt.Sprintf("%s in the minutes %d to %d: %s", f.labels, f.minutes[0], f.minutes[len(f.minutes)-1], f.texts.Get("summary"))
}

// evaluate runs the rules over the series, with a sample and an evaluation a minute, as `promtool test rules` does, and
// returns the alerts in the order in which they began to fire. Look, if there is one, is called after each evaluation.
func evaluate(t *testing.T, input []series, minutes int, look func(minute int, suite *promqltest.LazyLoader)) []*firing {
	t.Helper()
	var load strings.Builder
	load.WriteString("load 1m\n")
	for _, s := range input {
		fmt.Fprintf(&load, "  %s %s\n", s.Series, s.Values)
	}
	suite, err := promqltest.NewLazyLoader(load.String(), promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		t.Fatal(err)
	}
	defer suite.Close()
	suite.SubqueryInterval = time.Minute
	groups := load1m(t, suite)

	found := map[string]*firing{}
	var order []*firing
	for minute := range minutes {
		now := time.Unix(int64(minute)*60, 0).UTC()
		suite.WithSamplesTill(now, func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		})
		for _, g := range groups {
			g.Eval(context.Background(), now)
		}
		for _, g := range groups {
			for _, rule := range g.Rules() {
				if err := rule.LastError(); err != nil {
					t.Fatalf("%s in minute %d: %v", rule.Name(), minute, err)
				}
			}
			for _, rule := range g.AlertingRules() {
				for _, a := range rule.ActiveAlerts() {
					if a.State != rules.StateFiring {
						continue
					}
					f := found[a.Labels.String()]
					if f == nil || f.minutes[len(f.minutes)-1] < minute-1 {
						f = &firing{name: rule.Name(), labels: a.Labels.Copy(), texts: a.Annotations.Copy()}
						found[a.Labels.String()] = f
						order = append(order, f)
					}
					f.minutes = append(f.minutes, minute)
				}
			}
		}
		if look != nil {
			look(minute, suite)
		}
	}
	return order
}

// load1m loads the rules, to be evaluated each minute, in the order of the file.
func load1m(t *testing.T, suite *promqltest.LazyLoader) (list []*rules.Group) {
	t.Helper()
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:  rules.EngineQueryFunc(suite.QueryEngine(), suite.Storage()),
		Appendable: suite.Storage(), Queryable: suite.Storage(),
		Context:    context.Background(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Logger:     promslog.NewNopLogger(),
		Parser:     parser.NewParser(parser.Options{}), ExternalURL: &url.URL{},
	})
	groups, errs := manager.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, rulesFile)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, g := range parsed(t).Groups {
		group := groups[rules.GroupKey(rulesFile, g.Name)]
		for _, rule := range group.AlertingRules() {
			rule.SetRestored(true) // or there is no ALERTS
		}
		list = append(list, group)
	}
	return list
}

// parsed returns the rules as Prometheus reads them.
func parsed(t *testing.T) *rulefmt.RuleGroups {
	t.Helper()
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.LegacyValidation, parser.NewParser(parser.Options{}), promslog.NewNopLogger())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return groups
}

// alerts returns the alerting rules by their names.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	found := map[string]rulefmt.Rule{}
	for _, g := range parsed(t).Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			if _, again := found[r.Alert]; again {
				t.Errorf("two rules are called %s", r.Alert)
			}
			found[r.Alert] = r
		}
	}
	return found
}

// TestAlertsSayWhatToDo looks at what somebody reads who is woken: what happened, to whom, and the way to the runbook.
func TestAlertsSayWhatToDo(t *testing.T) {
	for name, r := range alerts(t) {
		switch r.Labels["severity"] {
		case "critical", "warning", "info":
		default:
			t.Errorf("%s has the severity %q", name, r.Labels["severity"])
		}
		for _, annotation := range []string{"summary", "description"} {
			if r.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", name, annotation)
			}
		}
		const pages = "https://github.com/renewd/renewd/blob/main/docs/runbooks/"
		if got := r.Annotations["runbook_url"]; got != pages+name+".md" {
			t.Errorf("%s leads to %s", name, got)
		}
		if _, err := os.Stat(filepath.Join(runbooks, name+".md")); err != nil {
			t.Errorf("%s has no runbook: %v", name, err)
		}
	}
}
