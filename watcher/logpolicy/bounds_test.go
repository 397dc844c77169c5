// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What a policy can ask for is bounded: each pattern is matched against every line, each handler has a goroutine and files.
func TestPolicyIsBounded(t *testing.T) {
	many := func(n int, line string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, line, i)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"patterns":        "redact:\n  patterns:\n" + many(maxExpressions+1, "    - 'x%d'\n"),
		"ten thousand":    "redact:\n  patterns:\n" + many(10000, "    - '[a-z]{1000}%d'\n"),
		"a long pattern":  "redact:\n  patterns: ['" + strings.Repeat("x", maxExpression+1) + "']\n",
		"a large program": "redact:\n  patterns: ['(?:[a-z0-9 ]{0,9}[0-9a-f]){0,80}Q']\n",
		"a long format":   "formats: {text: {pattern: '" + strings.Repeat("%%", 500_000) + "'}}\n",
		"handlers":        "handlers:\n" + many(maxHandlers+1, "  h%d: {type: stream}\n"),
	} {
		began := processorTime(t)
		found := New(Options{}).Check("p", []byte("version: 1\n"+text), false)
		if found == nil || len(found.Problems) == 0 || found.Problems[0].Code != "LP021" {
			t.Errorf("%s: %v", name, found)
		}
		if took := processorTime(t) - began; took > 5*time.Second*slow/4 {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	ok := "redact:\n  patterns:\n" + many(maxExpressions, "    - 'secret-%d'\n") + "handlers:\n" + many(maxHandlers, "  h%d: {type: stream}\n")
	if found := New(Options{}).Check("p", []byte("version: 1\n"+ok), false); found != nil && len(found.Problems) > 0 {
		t.Errorf("what is allowed: %v", found)
	}
}

// What a policy of 1 MiB can hold is refused before it is parsed if that would take the memory of a pod, and what is parsed takes
// a time that grows with it.
func TestReadingAPolicyIsCheap(t *testing.T) {
	numbered := func(form string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	all := func(row string) string { return strings.Repeat(row, (maxBytes-100)/len(row)) }
	for name, c := range map[string]struct{ text, code string }{
		"unknown keys":   {all("k1: 1\n"), "LP005"},
		"formats":        {"formats:\n" + all("  f1: {}\n"), "LP005"},
		"areas":          {"areas:\n" + all("  token.t1: INFO\n"), "LP005"},
		"a list":         {"redact: {keys: [" + all("k1,") + "]}", "LP005"},
		"2,000 tokens":   {"areas:\n" + numbered("  token.t%d: INFO\n", 2000), ""},
		"unknown tokens": {"areas:\n" + numbered("  tokn%d: INFO\n", 2000), "LP013"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		found := silent().Check("p", []byte("version: 1\n"+c.text), false)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if code := codeOf(found); code != c.code {
			t.Errorf("%s: %q, want %q", name, code, c.code)
		}
		if took > 5*time.Second*slow/4 {
			t.Errorf("%s: it took %v", name, took)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 && c.code == "LP005" {
			t.Errorf("%s: it took %d bytes", name, n)
		}
	}
}

// codeOf returns the code of the first mistake, "" if there is none.
func codeOf(found *Rejected) string {
	if found == nil || len(found.Problems) == 0 {
		return ""
	}
	return found.Problems[0].Code
}
