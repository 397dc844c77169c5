// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// The earliest of all facts counts, and what is no fact is said.
func TestLife(t *testing.T) {
	asked := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) []byte { return []byte(`"` + asked.Add(d).Format(time.RFC3339) + `"`) }
	for name, c := range map[string]struct {
		clock time.Duration // of the server against ours; 1: it does not say
		tell  func(*endpoint.Life)
		want  time.Duration // 0: no bound
		says  string        // a notice, or the error if it begins with !
	}{
		"nothing":                {1, func(*endpoint.Life) {}, 0, ""},
		"seconds":                {1, func(l *endpoint.Life) { l.Seconds("n", []byte("90.9")) }, 90 * time.Second, ""},
		"the earlier":            {1, func(l *endpoint.Life) { l.Seconds("n", []byte("90")); l.Seconds("m", []byte(`"60"`)) }, time.Minute, ""},
		"null":                   {1, func(l *endpoint.Life) { l.Seconds("n", []byte("null")); l.At("m", []byte("null")); l.At("m", nil) }, 0, ""},
		"no number":              {1, func(l *endpoint.Life) { l.Seconds("n", []byte("{}")) }, 0, "n is not a number"},
		"RFC 3339":               {1, func(l *endpoint.Life) { l.At("n", at(time.Hour)) }, time.Hour, ""},
		"epoch seconds":          {1, func(l *endpoint.Life) { l.At("n", []byte("1767326645")) }, time.Hour, ""},
		"epoch seconds, a text":  {1, func(l *endpoint.Life) { l.At("n", []byte(`"1767326645"`)) }, time.Hour, ""},
		"no time":                {1, func(l *endpoint.Life) { l.At("n", []byte(`"tomorrow"`)) }, 0, "n is not a time"},
		"eleven years":           {1, func(l *endpoint.Life) { l.At("n", at(11*365*24*time.Hour)) }, 0, "more than ten years"},
		"their clock is ahead":   {10 * time.Minute, func(l *endpoint.Life) { l.At("n", at(time.Hour)) }, 50 * time.Minute, "differ"},
		"their clock is behind":  {-10 * time.Minute, func(l *endpoint.Life) { l.At("n", at(time.Hour)) }, time.Hour, "differ"},
		"seconds need no clock":  {10 * time.Minute, func(l *endpoint.Life) { l.Seconds("n", []byte("60")) }, time.Minute, "differ"},
		"nearly the same clock":  {4 * time.Second, func(l *endpoint.Life) { l.Seconds("n", []byte("60")) }, time.Minute, ""},
		"a limit from outside":   {1, func(l *endpoint.Life) { l.Seconds("n", []byte("90")); l.Limit(asked.Add(time.Minute)) }, time.Minute, ""},
		"over":                   {1, func(l *endpoint.Life) { l.Seconds("n", []byte("0")) }, 0, "!the token expired at 2026-01-02T03:04:05Z, and the clock says"},
		"over by their clock":    {time.Hour, func(l *endpoint.Life) { l.At("n", at(30*time.Minute)) }, 0, "!, the issuer's 2026-01-02T04:04:05Z"},
		"longer than a duration": {1, func(l *endpoint.Life) { l.Seconds("n", []byte("1e300")) }, 3650 * 24 * time.Hour, ""},
	} {
		a := &endpoint.Answer{Asked: asked, Received: asked.Add(time.Second)}
		if c.clock != 1 {
			a.Date = asked.Add(c.clock)
		}
		life := a.Life()
		c.tell(life)
		token, err := life.Token("x", "Bearer")
		if failed, ok := strings.CutPrefix(c.says, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), failed) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || life.Bounded() != (c.want != 0) || life.Bounded() && !token.ExpiresAt.Equal(asked.Add(c.want)) || !token.IssuedAt.Equal(asked) {
			t.Errorf("%s: %v %v", name, token.ExpiresAt, err)
		}
		if said := strings.Join(token.Notices, "; "); !strings.Contains(said, c.says) || c.says == "" && said != "" {
			t.Errorf("%s: %q", name, said)
		}
	}
}
