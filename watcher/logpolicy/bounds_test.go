// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"fmt"
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
		"forty thousand":  "redact:\n  patterns:\n" + many(40000, "    - '[a-z]{1000}%d'\n"),
		"a long pattern":  "redact:\n  patterns: ['" + strings.Repeat("x", maxExpression+1) + "']\n",
		"a large program": "redact:\n  patterns: ['(?:[a-z0-9 ]{0,9}[0-9a-f]){0,80}Q']\n",
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
