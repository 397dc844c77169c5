// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package alerts

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRunbooks checks that each page belongs to an alert, that it has all its parts in order, and that its links lead
// somewhere. That each alert has a page is checked with the alerts.
func TestRunbooks(t *testing.T) {
	all := alerts(t)
	files, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	parts := []string{"What it means", "Who is affected, and until when", "Look", "Do", "Over when", "Silence"}
	heading := regexp.MustCompile(`(?m)^## (.*)$`)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		links(t, file, string(data))
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		if name == "README" {
			continue
		}
		if _, found := all[name]; !found || !strings.HasPrefix(string(data), "# "+name+"\n") {
			t.Errorf("%s is the page of no alert, or its title is another", name)
		}
		var got []string
		for _, m := range heading.FindAllStringSubmatch(string(data), -1) {
			got = append(got, m[1])
		}
		if !slices.Equal(got, parts) {
			t.Errorf("%s has the parts %q", name, got)
		}
		if len(blocks(string(data), "sh")) == 0 || len(blocks(string(data), "promql")) == 0 {
			t.Errorf("%s shows no command, or asks Prometheus nothing", name)
		}
	}
}

// links checks that what a page links to is there.
func links(t *testing.T, file, text string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

// TestTablesOfAlerts compares the tables of the documents with the rules: the same alerts, with their severities.
func TestTablesOfAlerts(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| \[(Renewd\w+)\]\(([^)]*)\) \| (\w+) \|`)
	for file, folder := range map[string]string{filepath.Join(runbooks, "README.md"): "", "../../docs/metrics.md": "runbooks/"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, m := range row.FindAllStringSubmatch(string(data), -1) {
			got = append(got, strings.Join(m[1:], " "))
		}
		for name, rule := range alerts(t) {
			want = append(want, fmt.Sprintf("%s %s%s.md %s", name, folder, name, rule.Labels["severity"]))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s has the alerts\n%q\nand there are\n%q", file, got, want)
		}
	}
}
