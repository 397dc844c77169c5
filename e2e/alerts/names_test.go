// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package alerts

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// others are the metrics of others that rules and panels use: of kube-state-metrics as its page "Pod Metrics" has them, and
// those that Prometheus makes. Pod, namespace and the like come from the target.
func others() exposition {
	pod := []string{"container", "pod", "namespace", "uid"}
	found := exposition{}
	for name, more := range map[string][]string{
		"kube_pod_init_container_status_running":                nil,
		"kube_pod_init_container_status_restarts_total":         nil,
		"kube_pod_init_container_status_last_terminated_reason": {"reason"},
		"kube_pod_init_container_resource_limits":               {"resource", "unit", "node"},
	} {
		found[name] = map[string][]string{}
		for _, label := range append(more, pod...) {
			found[name][label] = nil // any value
		}
	}
	found["ALERTS"] = map[string][]string{"alertname": nil, "alertstate": {"pending", "firing"}, "severity": nil, "namespace": nil}
	return found
}

// known returns everything that rules, panels and runbooks may ask for: a fresh run of the daemon, what the rules record of
// it, and others.
func known(t *testing.T) exposition {
	t.Helper()
	all := maps.Clone(fresh(t))
	maps.Copy(all, others())
	for _, g := range parsed(t).Groups {
		for _, r := range g.Rules {
			if r.Record == "" {
				continue
			}
			e, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
				if v, ok := n.(*parser.VectorSelector); ok {
					all[r.Record] = all[v.Name] // they keep the labels of what they are made of
				}
				return nil
			})
		}
	}
	return all
}

// check reports each metric, label and value of an expression that is not known. $… in a value is Grafana's, and stands for
// any.
func (e exposition) check(t *testing.T, where, expr string) {
	t.Helper()
	expr = grafana(expr)
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	used := map[string]bool{}
	var grouped []string
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			e.selector(t, where, n)
			for label := range e[n.Name] {
				used[label] = true
			}
		case *parser.AggregateExpr:
			grouped = append(grouped, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				grouped = append(grouped, n.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	for _, label := range grouped {
		if !used[label] {
			t.Errorf("%s: no metric of %s has the label %s", where, expr, label)
		}
	}
}

func (e exposition) selector(t *testing.T, where string, v *parser.VectorSelector) {
	t.Helper()
	has, found := e[v.Name]
	if !found {
		t.Errorf("%s: there is no metric %s", where, v.Name)
		return
	}
	for _, m := range v.LabelMatchers {
		if m.Name == labels.MetricName || strings.Contains(m.Value, "$") {
			continue
		}
		values, found := has[m.Name]
		if !found {
			t.Errorf("%s: %s has no label %s", where, v.Name, m.Name)
			continue
		}
		if values != nil && !slices.ContainsFunc(values, m.Matches) {
			t.Errorf("%s: no %s has %s; there are %q", where, v.Name, m, values)
		}
	}
}

// grafana puts durations where Grafana's own variables are.
func grafana(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$__interval", "1m").Replace(expr)
}

// TestRulesUseWhatThereIs looks up each metric, label and value of the rules, and the labels that their texts insert.
func TestRulesUseWhatThereIs(t *testing.T) {
	all := known(t)
	inserted := regexp.MustCompile(`\$labels\.([a-z_]+)`)
	for _, g := range parsed(t).Groups {
		for _, r := range g.Rules {
			all.check(t, r.Record+r.Alert, r.Expr)
			for _, m := range inserted.FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
				if !strings.Contains(r.Expr, "label_replace") && !all.has(r.Expr, m[1]) {
					t.Errorf("%s inserts the label %s, which none of its metrics has", r.Alert, m[1])
				}
			}
		}
	}
}

// has reports whether a metric that the text names has a label.
func (e exposition) has(text, label string) bool {
	for name := range e {
		if _, found := e[name][label]; found && strings.Contains(text, name) {
			return true
		}
	}
	return false
}

// TestRunbooksUseWhatThereIs looks up what the lines of the runbooks' promql blocks ask for, and each metric that a text names.
func TestRunbooksUseWhatThereIs(t *testing.T) {
	all := known(t)
	pages, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatal("there are no runbooks", err)
	}
	named := regexp.MustCompile("`(renewd_[a-z0-9_:]+)")
	asked := 0
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range blocks(string(data), "promql") {
			for question := range strings.Lines(block) {
				asked++
				all.check(t, filepath.Base(page), strings.TrimSpace(question))
			}
		}
		for _, m := range named.FindAllStringSubmatch(string(data), -1) {
			if all[m[1]] == nil {
				t.Errorf("%s names the metric %s, which is not there", filepath.Base(page), m[1])
			}
		}
	}
	if asked < len(alerts(t)) {
		t.Errorf("only %d questions to Prometheus in %d runbooks", asked, len(pages))
	}
}

// blocks returns the fenced blocks of a language.
func blocks(text, language string) (found []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}
