// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package alerts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
)

type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type target struct {
	Datasource   source `json:"datasource"`
	RefID        string `json:"refId"`
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
	Format       string `json:"format"`
	Instant      bool   `json:"instant"`
}

type panel struct {
	ID          int                      `json:"id"`
	Type        string                   `json:"type"`
	Title       string                   `json:"title"`
	Description string                   `json:"description"`
	Datasource  source                   `json:"datasource"`
	GridPos     struct{ X, Y, W, H int } `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []target `json:"targets"`
}

type variable struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Datasource source          `json:"datasource"`
	Query      json.RawMessage `json:"query"`
	Definition string          `json:"definition"`
	AllValue   string          `json:"allValue"`
}

type dashboard struct {
	Title         string  `json:"title"`
	UID           string  `json:"uid"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []variable `json:"list"`
	} `json:"templating"`
}

func board(t *testing.T) dashboard {
	t.Helper()
	data, err := os.ReadFile("../../charts/renewd/files/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// panels returns the panels that show something.
func (d dashboard) panels() (list []panel) {
	for _, p := range d.Panels {
		if p.Type != "row" {
			list = append(list, p)
		}
	}
	return list
}

var ours = source{Type: "prometheus", UID: "${datasource}"}

// TestDashboardIsWhole checks what can be told of a dashboard without Grafana.
func TestDashboardIsWhole(t *testing.T) {
	d := board(t)
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 36 || len(d.panels()) < 20 {
		t.Errorf("%q, uid %q, schema %d, with %d panels", d.Title, d.UID, d.SchemaVersion, len(d.panels()))
	}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("the panel %q has the id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("the panel %q is at %+v", p.Title, g)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if taken[[2]int{x, y}] != "" {
					t.Fatalf("the panels %q and %q overlap", p.Title, taken[[2]int{x, y}])
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	for _, p := range d.panels() {
		if p.FieldConfig.Defaults.Unit == "" || len(p.Description) < 20 || p.Datasource != ours || len(p.Targets) == 0 {
			t.Errorf("the panel %q has the unit %q, the data source %q, %d targets and the description %q",
				p.Title, p.FieldConfig.Defaults.Unit, p.Datasource, len(p.Targets), p.Description)
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if q.RefID == "" || refs[q.RefID] || q.Datasource != ours || q.Expr == "" {
				t.Errorf("the panel %q has the target %+v", p.Title, q)
			}
			if q.LegendFormat == "" && p.Type == "timeseries" {
				t.Errorf("the panel %q has no legend for %s", p.Title, q.Expr)
			}
			refs[q.RefID] = true
		}
	}
}

// TestDashboardVariables checks that each variable that is used is there, and the other way round.
func TestDashboardVariables(t *testing.T) {
	d := board(t)
	all := known(t)
	var text strings.Builder
	for _, p := range d.panels() {
		for _, q := range p.Targets {
			text.WriteString(q.Expr + "\n")
		}
	}
	values := regexp.MustCompile(`^label_values\((.*), ([a-z]+)\)$`)
	there := map[string]bool{}
	for _, v := range d.Templating.List {
		there[v.Name] = true
		if v.Name == "datasource" {
			if v.Type != "datasource" || string(v.Query) != `"prometheus"` {
				t.Errorf("the data source is %+v", v)
			}
			continue
		}
		text.WriteString(v.Definition + "\n")
		m := values.FindStringSubmatch(v.Definition)
		if m == nil || v.Type != "query" || v.Datasource != ours || v.AllValue != ".*" || !strings.Contains(string(v.Query), fmt.Sprintf("%q", v.Definition)) {
			t.Errorf("the variable %s is %+v", v.Name, v)
			continue
		}
		all.check(t, "the variable "+v.Name, m[1])
		if !all.has(m[1], m[2]) {
			t.Errorf("%s has no label %s", m[1], m[2])
		}
		if !strings.Contains(text.String(), `"$`+v.Name+`"`) {
			t.Errorf("nothing uses the variable %s", v.Name)
		}
	}
	for _, m := range regexp.MustCompile(`\$(__)?([a-z_]+)`).FindAllStringSubmatch(text.String(), -1) {
		if m[1] == "" && !there[m[2]] {
			t.Errorf("there is no variable %s", m[2])
		}
	}
}

// TestPanelsUseWhatThereIs looks up each metric, label and value of the panels, and the labels of their legends.
func TestPanelsUseWhatThereIs(t *testing.T) {
	all := known(t)
	inserted := regexp.MustCompile(`{{([a-z_]+)}}`)
	for _, p := range board(t).panels() {
		for _, q := range p.Targets {
			all.check(t, "the panel "+p.Title, q.Expr)
			for _, m := range inserted.FindAllStringSubmatch(q.LegendFormat, -1) {
				if !all.has(q.Expr, m[1]) {
					t.Errorf("the legend of %q names the label %s, which %s has not", p.Title, m[1], q.Expr)
				}
			}
		}
	}
}

// TestPanelsFindData asks every question of the dashboard in each minute of the recorded day: each is answered at some time,
// and none ever fails.
func TestPanelsFindData(t *testing.T) {
	input, steps, _ := recorded(t)
	const container = `{namespace="shop", pod="orders-5d4b", container="renewd"`
	always := fmt.Sprintf("x%d", len(steps))
	input = append(input,
		series{"kube_pod_init_container_resource_limits" + container + `, resource="memory", unit="byte"}`, "33554432" + always},
		series{"kube_pod_init_container_status_restarts_total" + container + "}", "1" + always},
		series{"kube_pod_init_container_status_last_terminated_reason" + container + `, reason="OOMKilled"}`, "1" + always},
	)
	variables := regexp.MustCompile(`\$(namespace|pod|token)`)
	answered := map[string]bool{}
	var asked []string
	for _, p := range board(t).panels() {
		for _, q := range p.Targets {
			asked = append(asked, q.Expr)
		}
	}
	evaluate(t, input, len(steps), func(minute int, suite *promqltest.LazyLoader) {
		if minute%5 != 0 { // an answer that is there for less than five minutes is none
			return
		}
		for _, expr := range asked {
			query, err := suite.QueryEngine().NewInstantQuery(suite.Context(), suite.Queryable(), nil,
				grafana(variables.ReplaceAllString(expr, ".*")), time.Unix(int64(minute)*60, 0))
			if err != nil {
				t.Fatalf("%s: %v", expr, err)
			}
			result := query.Exec(suite.Context())
			if result.Err != nil {
				t.Fatalf("%s in minute %d: %v", expr, minute, result.Err)
			}
			if vector, ok := result.Value.(promql.Vector); ok && len(vector) > 0 {
				answered[expr] = true
			}
			query.Close()
		}
	})
	for _, expr := range asked {
		if !answered[expr] {
			t.Errorf("nothing answers %s", expr)
		}
	}
}
