// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon/config/strict"
)

// fail reports a mistake with the code of the policy.
func fail(v strict.Value, code, problem, help string) {
	v.Fail(strict.Mistake{Rule: strict.Rule(code), Problem: problem, Help: help})
}

// versionOne is the number 1 and nothing else.
type versionOne struct{}

// DecodeValue implements strict.Custom.
func (versionOne) DecodeValue(v strict.Value) {
	if v.Kind() != strict.Number || v.Text() != "1" {
		fail(v, "LP007", "version must be 1, not "+v.Show(), "write version: 1, without quotes")
	}
}

// Schema implements strict.Custom.
func (versionOne) Schema() map[string]any { return map[string]any{"title": "`1`", "const": 1} }

// String implements strict.Custom.
func (versionOne) String() string { return "1" }

// size is a number of bytes.
type size int64

var (
	sizeForm = regexp.MustCompile(`^([0-9]{1,6})(KiB|MiB|GiB|KB|MB|GB)$`)
	units    = map[string]size{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1e3, "MB": 1e6, "GB": 1e9}
)

// DecodeValue implements strict.Custom.
func (s *size) DecodeValue(v strict.Value) {
	m := sizeForm.FindStringSubmatch(v.Text())
	if m == nil || strings.Trim(m[1], "0") == "" {
		fail(v, "LP020", fmt.Sprintf("%s is no size: %s", v.Label(), v.Show()),
			"a whole number and KiB, MiB, GiB, KB, MB or GB without a space, such as 10MiB")
		return
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // six digits
	*s = size(n) * units[m[2]]
}

// Schema implements strict.Custom.
func (*size) Schema() map[string]any {
	return map[string]any{"title": "size", "type": "string", "pattern": sizeForm.String()}
}

// String implements strict.Custom.
func (s size) String() string {
	for _, u := range []string{"GiB", "GB", "MiB", "MB", "KiB"} {
		if s%units[u] == 0 {
			return strconv.FormatInt(int64(s/units[u]), 10) + u
		}
	}
	return strconv.FormatFloat(float64(s)/1e3, 'f', -1, 64) + "KB"
}

// span is a duration.
type span time.Duration

// DecodeValue implements strict.Custom.
func (d *span) DecodeValue(v strict.Value) {
	got, err := strict.ParseDuration(v.Text())
	if err != nil || v.Kind() != strict.Text && v.Text() != "0" {
		fail(v, "LP020", fmt.Sprintf("%s is no duration: %s", v.Label(), v.Show()), `for example "30s", "1h30m", "7d"; at most 36500d`)
		return
	}
	*d = span(got)
}

// Schema implements strict.Custom.
func (*span) Schema() map[string]any {
	return map[string]any{"title": "duration", "type": []string{"string", "integer"}, "pattern": `^[0-9]`}
}

// String implements strict.Custom.
func (d span) String() string {
	const day = 24 * time.Hour
	if n := time.Duration(d); n >= day && n%day == 0 {
		return strconv.FormatInt(int64(n/day), 10) + "d"
	}
	return strict.FormatDuration(time.Duration(d))
}

// mode is the permission bits of a file or directory.
type mode uint32

// DecodeValue implements strict.Custom.
func (m *mode) DecodeValue(v strict.Value) {
	n, err := strconv.ParseUint(v.Text(), 8, 9)
	switch {
	case v.Kind() == strict.Number && err == nil:
		fail(v, "LP031", fmt.Sprintf("mode %s is read by YAML as decimal %d; write \"0%o\"", v.Text(), n, n), "")
	case v.Kind() != strict.Text || err != nil || len(v.Text()) < 3:
		fail(v, "LP031", fmt.Sprintf("%s is no mode: %s", v.Label(), v.Show()), `octal digits in quotes, such as "0640"`)
	default:
		*m = mode(n)
	}
}

// Schema implements strict.Custom.
func (*mode) Schema() map[string]any {
	return map[string]any{"title": "mode in quotes", "type": "string", "pattern": "^0?[0-7]{3}$"}
}

// String implements strict.Custom.
func (m mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// keep is how many backups stay.
type keep int

// DecodeValue implements strict.Custom.
func (k *keep) DecodeValue(v strict.Value) {
	n, err := strconv.Atoi(v.Text())
	switch {
	case v.Kind() == strict.Text && v.Text() == "none":
		*k = 0
	case v.Kind() != strict.Number || err != nil:
		fail(v, "LP015", fmt.Sprintf("keep must be a number or none, not %s", v.Show()), "1 to 10000, or none")
	case n < 1 || n > 10000:
		fail(v, "LP021", fmt.Sprintf("keep must be within 1 and 10000, or none, not %d", n), "")
	default:
		*k = keep(n)
	}
}

// Schema implements strict.Custom.
func (*keep) Schema() map[string]any {
	return map[string]any{"title": "number, or `none`", "anyOf": []any{map[string]any{"const": "none"},
		map[string]any{"type": "integer", "minimum": 1, "maximum": 10000}}}
}

// String implements strict.Custom.
func (k keep) String() string {
	if k == 0 {
		return "none"
	}
	return strconv.Itoa(int(k))
}

// moment is a time with a zone.
type moment struct{ time.Time }

// DecodeValue implements strict.Custom.
func (m *moment) DecodeValue(v strict.Value) {
	var err error
	if m.Time, err = time.Parse(time.RFC3339, v.Text()); err != nil {
		fail(v, "LP022", fmt.Sprintf("%s is no time: %s", v.Label(), v.Show()), "RFC 3339 with a zone, such as 2026-11-23T18:00:00Z")
	}
}

// Schema implements strict.Custom.
func (*moment) Schema() map[string]any {
	return map[string]any{"title": "time", "type": "string", "format": "date-time"}
}

// String implements strict.Custom.
func (m moment) String() string { return m.Format(time.RFC3339Nano) }

// expression is a regular expression that redacts what it matches.
type expression struct {
	*regexp.Regexp
	text string
}

// DecodeValue implements strict.Custom. It does not compile: how many there are is checked first.
func (e *expression) DecodeValue(v strict.Value) {
	if v.Kind() != strict.Text {
		fail(v, "LP015", fmt.Sprintf("%s must be a text, not %s", v.Label(), v.Show()), "put it in quotes")
		return
	}
	e.text = v.Text()
}

// Bounds of what is matched against every line.
const (
	maxExpressions = 64
	maxExpression  = 256  // bytes
	maxProgram     = 1000 // instructions of all expressions together
)

// expressions compiles the patterns of redact.
func (c *checker) expressions() {
	const path = "redact.patterns"
	list := c.policy.Redact.Patterns
	if len(list) > maxExpressions {
		c.fail(path, "LP021", "", "%d patterns are too many; %d are allowed", len(list), maxExpressions)
		return
	}
	size := 0
	for i := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		parsed, err := syntax.Parse(list[i].text, syntax.Perl)
		var program *syntax.Prog
		if err == nil {
			program, err = syntax.Compile(parsed.Simplify())
		}
		switch {
		case c.Failed(at):
		case len(list[i].text) > maxExpression:
			c.fail(at, "LP021", "", "a pattern may have %d bytes, not %d", maxExpression, len(list[i].text))
		case err != nil:
			c.fail(at, "LP050", "the syntax is RE2", "the pattern does not compile: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		default:
			if size += len(program.Inst); size > maxProgram {
				c.fail(at, "LP021", "write fewer and shorter repetitions", "the patterns are too large to be matched against every line")
				return
			}
			if re := regexp.MustCompile(list[i].text); re.MatchString("") {
				c.fail(at, "LP050", "", "the pattern matches the empty text")
			} else {
				list[i].Regexp = re
			}
		}
	}
}

// Schema implements strict.Custom.
func (*expression) Schema() map[string]any {
	return map[string]any{"title": "regular expression", "type": "string", "format": "regex"}
}

// String implements strict.Custom.
func (e expression) String() string {
	if e.Regexp == nil {
		return ""
	}
	return e.Regexp.String()
}

// longestSpan is the bound of spans.
const longestSpan = span(36500 * 24 * time.Hour)
