// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Kind is what a value is in the document.
type Kind int

// The kinds. A plain scalar is what YAML 1.2 says it is; a date is a text; a quoted scalar is always a text.
const (
	Null Kind = iota
	Bool
	Number
	Text
	List
	Mapping
)

// What a plain scalar can be. The last two are numbers to some parsers and texts, or other numbers, to others.
var (
	wholeNumber = compiled(`^(?:[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+)$`)
	realNumber  = compiled(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$`)
	notFinite   = compiled(`^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	ambiguous   = compiled(`^[-+]?(?:0[0-9]+|[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?|0x[0-9a-fA-F_]*_[0-9a-fA-F_]*|0b[01_]+)$`)
)

// quoted reports whether a scalar is a text whatever it holds.
func quoted(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

// classify says what a scalar is.
func classify(text string, quoted bool) Kind {
	if quoted {
		return Text
	}
	switch text {
	case "", "~", "null", "Null", "NULL":
		return Null
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return Bool
	}
	if realNumber().MatchString(text) || wholeNumber().MatchString(text) || ambiguous().MatchString(text) || notFinite().MatchString(text) {
		return Number
	}
	return Text
}

// expand replaces ${NAME} in text. names are the variables used. A problem comes with the byte where it is.
func expand(text string, lookup func(string) (string, bool)) (out string, names []string, offset int, problem *Mistake) {
	if lookup == nil || !strings.Contains(text, "$") {
		return text, nil, 0, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, "$$"):
			b.WriteByte('$')
			i += 2
		case strings.HasPrefix(rest, "${"):
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return "", nil, i, &Mistake{Rule: RuleVariable, Problem: "${ without }", Help: "write $$ for a dollar sign"}
			}
			name := rest[2:end]
			i += end + 1
			if name != "" && name[0] >= 'a' && name[0] <= 'z' {
				b.WriteString(rest[:end+1]) // belongs to a template
				continue
			}
			value, problem := variable(name, lookup)
			if problem != nil {
				return "", nil, i - end - 1, problem
			}
			names = append(names, name)
			b.WriteString(value)
		default:
			b.WriteByte(text[i])
			i++
		}
	}
	return b.String(), names, 0, nil
}

// variable looks up one name.
func variable(name string, lookup func(string) (string, bool)) (string, *Mistake) {
	for i, r := range name {
		if (r < 'A' || r > 'Z') && (i == 0 || r != '_' && (r < '0' || r > '9')) {
			name = ""
			break
		}
	}
	if name == "" {
		return "", &Mistake{Rule: RuleVariable, Problem: "not the name of a variable",
			Help: "a name is upper-case letters, digits and _; there is no form with a default; write $$ for a dollar sign"}
	}
	value, ok := lookup(name)
	if !ok {
		return "", &Mistake{Rule: RuleVariable, Problem: fmt.Sprintf("variable %s is not set", name),
			Help: fmt.Sprintf("set %s, if need be to the empty text", name)}
	}
	return value, nil
}

// ParseDuration parses a duration in Go's syntax that may begin with whole days: "30s", "1d12h". Only 0 needs no unit.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	d := time.Duration(n) * 24 * time.Hour
	if err != nil || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		return 0, fmt.Errorf("time: invalid duration %s", quote(text))
	}
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err == nil && d+more < 0 {
		err = fmt.Errorf("time: invalid duration %s", quote(text))
	}
	return d + more, err
}

// FormatDuration prints a duration without the zero units of Go: "30m", not "30m0s".
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// number returns the exact value of a Number: int64, json.Number for an integer beyond it, or float64.
func (v Value) number() (any, bool) {
	text := v.text
	switch {
	case ambiguous().MatchString(text):
		v.fail(RuleType, v.Show()+" is read as different numbers by different YAML parsers", "write a plain decimal number, or quote it")
		return nil, false
	case wholeNumber().MatchString(text):
		n, err := strconv.ParseInt(text, 0, 64)
		if err == nil {
			return n, true
		}
		if strings.HasPrefix(text, "0") {
			break
		}
		return json.Number(strings.TrimPrefix(text, "+")), true
	default:
		f, err := strconv.ParseFloat(text, 64)
		if err == nil && !notFinite().MatchString(text) {
			return f, true
		}
	}
	v.fail(RuleValue, v.Show()+" is too large, or no number", "quote it if it is a text")
	return nil, false
}

// decodeInt sets an integer of any size.
func (v Value) decodeInt(into reflect.Value) {
	if v.kind != Number {
		v.wants("a number")
		return
	}
	parsed, ok := v.number()
	if !ok {
		return
	}
	if _, fraction := parsed.(float64); fraction {
		v.wants("a whole number")
		return
	}
	n, fits := parsed.(int64)
	switch {
	case !fits, into.CanUint() && (n < 0 || into.OverflowUint(uint64(n))), into.CanInt() && into.OverflowInt(n):
		v.fail(RuleValue, fmt.Sprintf("%s is out of range: %s", v.Label(), v.Show()), "")
	case into.CanUint():
		into.SetUint(uint64(n))
	default:
		into.SetInt(n)
	}
	if fits {
		v.allowed(strconv.FormatInt(n, 10))
	}
}

// decodeFloat sets a floating-point number.
func (v Value) decodeFloat(into reflect.Value) {
	if v.kind != Number {
		v.wants("a number")
		return
	}
	switch n, _ := v.number(); n := n.(type) {
	case int64:
		into.SetFloat(float64(n))
	case float64:
		into.SetFloat(n)
	case json.Number:
		v.fail(RuleValue, v.Show()+" is too large", "")
	}
}

// decodeDuration sets a time.Duration.
func (v Value) decodeDuration(into reflect.Value) {
	switch {
	case v.kind == Number && v.text != "0" && v.shown():
		v.wantsHelp("a duration", fmt.Sprintf("a duration has a unit: %q", v.text+"s"))
		return
	case v.kind == Number && v.text != "0":
		v.wantsHelp("a duration", `a duration has a unit: "30s"`)
		return
	case v.kind != Text && v.kind != Number:
		v.wants("a duration")
		return
	}
	d, err := ParseDuration(v.text)
	if err != nil {
		v.fail(RuleValue, fmt.Sprintf("%s is no duration: %s", v.Label(), v.Show()), `for example "30s", "1h30m", "7d"`)
		return
	}
	into.SetInt(int64(d))
}

// decodeString sets a text.
func (v Value) decodeString(into reflect.Value) {
	switch {
	case v.kind == Number && v.shown() && strings.HasPrefix(v.text, "0") && ambiguous().MatchString(v.text):
		note := ""
		if n, err := strconv.ParseInt(v.text, 8, 64); err == nil {
			note = fmt.Sprintf(", which YAML 1.1 reads as decimal %d", n)
		}
		v.wantsNote("a text", note, fmt.Sprintf("quote it: %q", v.text))
	case v.kind == Number && v.at.tag.Get("example") != "":
		v.wantsHelp("a text", "for example "+v.at.tag.Get("example"))
	case v.kind != Text:
		v.wants("a text")
	case (strings.HasSuffix(v.at.key, "File") || v.at.key == "path") && (strings.ContainsAny(v.text, "\r\n") || secretLike(v.text)):
		v.hide = true
		v.fail(RuleValue, v.Label()+" is no path", "give the path of a file that holds the secret; it is not written here")
	default:
		into.SetString(v.text)
		v.allowed(v.text)
	}
}

// allowed reports a text that the enum tag does not list.
func (v Value) allowed(text string) {
	tag, ok := v.at.tag.Lookup("enum")
	if !ok {
		return
	}
	names := strings.Split(tag, ",")
	if slices.Contains(names, text) {
		return
	}
	v.fail(RuleValue, fmt.Sprintf("unknown value %s for %s", v.Show(), v.Label()), v.suggest(text, names))
}
