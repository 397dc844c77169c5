// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon/simulate"
)

func TestLoadsAreWrittenAsTheyAre(t *testing.T) {
	path := filepath.Join(t.TempDir(), "load.csv")
	err := writeLoads(path, []simulate.Result{{Rule: "one", Load: []uint32{3, 0, 7}}, {Rule: "two", Load: []uint32{1, 20}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "second,\"one\",\"two\"\n0,3,1\n1,0,20\n2,7,\n"; err != nil || string(got) != want {
		t.Errorf("%v %q, want %q", err, got, want)
	}
}

// Two lives of 36 s and an outage of none: each column is a second, from the end of the simulation back.
func TestChartDrawsTheLoad(t *testing.T) {
	load := make([]uint32, 100)
	for second, requests := range map[int]uint32{28: 1, 30: 10, 31: 100, 99: 3} {
		load[second] = requests
	}
	var out bytes.Buffer
	writeChart(&out, []simulate.Result{{Rule: "rule", Load: load}}, simulate.Fleet{Pods: 36, Life: 36 * time.Second})
	want := "  rule  . +@" + strings.Repeat(" ", 67) + "-\n"
	if _, chart, _ := strings.Cut(out.String(), ":\n\n"); chart != want {
		t.Errorf("%q, want %q in\n%s", chart, want, out.String())
	}
}

// An outage stands between the life before it and the one after it, and is marked.
func TestChartMarksTheOutage(t *testing.T) {
	const life = 30 * time.Second
	f := simulate.Fleet{Pods: 30, Life: life}
	load := bytes.Repeat([]byte{1}, 200)
	r := simulate.Result{Rule: "r", Outages: []simulate.Outage{{Start: 100 * time.Second, Length: 12 * time.Second}}}
	for second, n := range load {
		r.Load = append(r.Load, uint32(n))
		if second >= 100 && second < 112 {
			r.Load[second] = 9
		}
	}
	var out bytes.Buffer
	writeChart(&out, []simulate.Result{r}, f)
	for _, want := range []string{
		"  r  " + strings.Repeat(".", 30) + strings.Repeat("@", 12) + strings.Repeat(".", 30) + "\n",
		"     " + strings.Repeat(" ", 30) + strings.Repeat("^", 12) + " outage\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
