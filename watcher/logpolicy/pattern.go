// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/renewd/renewd/daemon/config/strict"
)

// pattern is a format string of Python's logging in the % style, compiled.
type pattern struct {
	text  string
	parts []part
}

// part is a literal, or a field with its conversion.
type part struct {
	literal string
	field   string
	flags   string // of fmt, with width and precision
	verb    byte   // s for texts, else a verb of fmt
}

// maxPattern bounds what each line is made by, in bytes.
const maxPattern = 4096

const standardText = "%(asctime)s | %(levelname)s | %(message)s"

func standardPattern() pattern {
	p, _, _ := parsePattern(standardText)
	return p
}

// What a field holds in Python.
var fieldKinds = map[string]byte{"asctime": 's', "created": 'f', "filename": 's', "funcName": 's', "levelname": 's', "levelno": 'd',
	"lineno": 'd', "message": 's', "module": 's', "msecs": 'f', "name": 's', "pathname": 's', "process": 'd', "relativeCreated": 'f'}

// absent are fields of Python that a Go program has no answer for.
var absent = map[string]string{"thread": "goroutines have no number", "threadName": "goroutines have no name",
	"processName": "there is one process", "taskName": "there are no tasks"}

// conversion is what follows %(name) in Python: flags, width, precision, a length modifier without effect, the verb.
var conversion = regexp.MustCompile(`^([-#0 +]*)([0-9]*)(\.[0-9]*)?[hlL]?(.)`)

// DecodeValue implements strict.Custom.
func (p *pattern) DecodeValue(v strict.Value) {
	if v.Kind() != strict.Text {
		fail(v, "LP041", fmt.Sprintf("pattern must be a text, not %s", v.Show()), "put it in quotes")
		return
	}
	if n := len(v.Text()); n > maxPattern {
		fail(v, "LP021", fmt.Sprintf("a pattern may have %d bytes, not %d", maxPattern, n), "")
		return
	}
	parsed, offset, m := parsePattern(v.Text())
	if m != nil {
		v.FailAt(offset, *m)
		return
	}
	*p = parsed
}

// Schema implements strict.Custom.
func (*pattern) Schema() map[string]any {
	return map[string]any{"title": "pattern", "type": "string", "maxLength": maxPattern}
}

// String implements strict.Custom.
func (p pattern) String() string { return p.text }

// parsePattern compiles a pattern. A mistake comes with the byte where it is.
func parsePattern(text string) (pattern, int, *strict.Mistake) {
	p := pattern{text: text}
	for i := 0; i < len(text); {
		n := strings.IndexByte(text[i:], '%')
		if n < 0 {
			n = len(text) - i
		}
		if bad := strings.IndexFunc(text[i:i+n], isControl); bad >= 0 {
			return p, i + bad, &strict.Mistake{Rule: "LP041", Help: "a record is one line",
				Problem: "a line end or another control character in the pattern"}
		}
		p.literal(text[i : i+n])
		if i += n; i == len(text) {
			break
		}
		if strings.HasPrefix(text[i:], "%%") {
			p.literal("%")
			i += 2
			continue
		}
		field, length, m := parseField(text[i:])
		if m != nil {
			return p, i, m
		}
		p.parts = append(p.parts, field)
		i += length
	}
	return p, 0, nil
}

// isControl reports what a literal part of a line must not hold. A tab is a fine separator.
func isControl(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

// literal appends fixed text.
func (p *pattern) literal(text string) {
	if n := len(p.parts); n > 0 && p.parts[n-1].field == "" {
		p.parts[n-1].literal += text
	} else if text != "" {
		p.parts = append(p.parts, part{literal: text})
	}
}

// parseField reads one "%(name)verb" at the beginning of text, and returns its length.
func parseField(text string) (part, int, *strict.Mistake) {
	malformed := func(problem, help string) (part, int, *strict.Mistake) {
		return part{}, 0, &strict.Mistake{Rule: "LP041", Problem: problem, Help: help}
	}
	if !strings.HasPrefix(text, "%(") {
		return malformed("a % that begins no field", "write %% for a percent sign")
	}
	name, rest, closed := strings.Cut(text[2:], ")")
	if !closed {
		return malformed("%( without )", "for example %(message)s")
	}
	kind, ok := fieldKinds[name]
	if why, known := absent[name]; known {
		return part{}, 0, &strict.Mistake{Rule: "LP040", Problem: fmt.Sprintf("%%(%s) of Python has no meaning here: %s", name, why)}
	} else if !ok {
		return part{}, 0, &strict.Mistake{Rule: "LP040", Problem: fmt.Sprintf("%.70q is not a field", "%("+name+")"),
			Help: strict.Suggest(name, fieldNames())}
	}
	m := conversion.FindStringSubmatch(rest)
	if m == nil {
		return malformed(fmt.Sprintf("%%(%s) without a conversion", name), fmt.Sprintf("write %%(%s)s", name))
	}
	if len(m[2]) > 3 || len(m[3]) > 3 {
		return malformed("width or precision over 999, or .99", "")
	}
	made, ok := makePart(kind, m[1], m[2], m[3], m[4][0])
	if !ok {
		return malformed(fmt.Sprintf("%%(%s) cannot be converted with %q", name, m[4]), fmt.Sprintf("write %%(%s)s", name))
	}
	made.field = name
	return made, len("%()") + len(name) + len(m[0]), nil
}

// makePart translates a conversion of Python to one of fmt.
func makePart(kind byte, flags, width, precision string, verb byte) (part, bool) {
	left := ""
	if strings.Contains(flags, "-") {
		left = "-"
	}
	switch verb {
	case 's':
		return part{flags: left + width + precision, verb: 's'}, true
	case 'd', 'i', 'u':
		verb = 'd'
	case 'o', 'x', 'X':
		if kind == 'f' {
			return part{}, false
		}
		if verb == 'o' && strings.Contains(flags, "#") {
			verb, flags = 'O', strings.ReplaceAll(flags, "#", "")
		}
	case 'e', 'E', 'f', 'F', 'g', 'G':
		if precision == "" {
			precision = ".6"
		}
	default:
		return part{}, false
	}
	if strings.IndexByte("doxXO", verb) >= 0 && (precision != "" || strings.Contains(flags, "0") && left == "") {
		precision = digits(flags, width, precision, verb)
		flags = strings.ReplaceAll(flags, "0", "")
	}
	return part{flags: flags + width + precision, verb: verb}, kind != 's'
}

// digits returns the precision of an integer that has one, or is filled with zeros up to a width. fmt ignores the flag 0
// beside a precision, counts 0x to the digits, and prints 0 with precision 0 as nothing; Python does not.
func digits(flags, width, precision string, verb byte) string {
	p, _ := strconv.Atoi(strings.TrimPrefix(precision, "."))
	w := 0
	if strings.Contains(flags, "0") && !strings.Contains(flags, "-") {
		w, _ = strconv.Atoi(width)
		if strings.ContainsAny(flags, "+ ") {
			w--
		}
		if verb == 'O' || verb != 'd' && strings.Contains(flags, "#") {
			w -= 2
		}
	}
	return "." + strconv.Itoa(max(w, p, 1))
}

func fieldNames() []string {
	var list []string
	for name := range fieldKinds {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// append adds the formatted line to b.
func (p *pattern) append(b []byte, r *record, f *format) []byte {
	for _, part := range p.parts {
		switch {
		case part.field == "":
			b = append(b, part.literal...)
		case part.verb != 's':
			b = part.appendNumber(b, r.number(part.field))
		case part.flags == "":
			b = r.appendText(b, part.field, f)
		default:
			b = fmt.Appendf(b, "%"+part.flags+"s", r.appendText(nil, part.field, f))
		}
	}
	return b
}

// appendNumber converts a number as Python does.
func (p part) appendNumber(b []byte, n float64) []byte {
	switch p.verb {
	case 'd', 'o', 'O', 'x', 'X':
		return fmt.Appendf(b, "%"+p.flags+string(p.verb), int64(n))
	}
	return fmt.Appendf(b, "%"+p.flags+string(p.verb), n)
}

// number returns a field that is a number in Python.
func (r *record) number(field string) float64 {
	switch field {
	case "levelno":
		return float64(r.level.index()+1) * 10
	case "lineno":
		return float64(r.caller.Line)
	case "process":
		return float64(r.process)
	case "created":
		return float64(r.time.UnixNano()) / 1e9
	case "msecs":
		return float64(r.time.Nanosecond() / 1e6)
	}
	return math.Round(float64(r.time.Sub(r.started).Nanoseconds())/1e3) / 1e3 // relativeCreated, in milliseconds
}

// appendText adds a field as %s shows it.
func (r *record) appendText(b []byte, field string, f *format) []byte {
	switch field {
	case "asctime":
		return f.DateFmt.append(b, r.time)
	case "message":
		return appendEscaped(b, r.message, false)
	case "levelname":
		return append(b, r.level.String()...)
	case "name":
		return appendEscaped(b, cmp.Or(r.name, "root"), false)
	case "pathname":
		return appendEscaped(b, r.caller.File, false)
	case "filename":
		return appendEscaped(b, path.Base(r.caller.File), false)
	case "module":
		return appendEscaped(b, strings.TrimSuffix(path.Base(r.caller.File), path.Ext(r.caller.File)), false)
	case "funcName":
		return appendEscaped(b, r.caller.Function[strings.LastIndexByte(r.caller.Function, '.')+1:], false)
	}
	n := r.number(field)
	if fieldKinds[field] == 'd' {
		return strconv.AppendInt(b, int64(n), 10)
	}
	b = strconv.AppendFloat(b, n, 'f', -1, 64)
	if n == math.Trunc(n) {
		b = append(b, ".0"...)
	}
	return b
}

// asksCaller reports whether a field tells where the program logged.
func (p *pattern) asksCaller() bool {
	return slices.ContainsFunc(p.parts, func(p part) bool {
		return slices.Contains([]string{"pathname", "filename", "module", "funcName", "lineno"}, p.field)
	})
}
