// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package config

import (
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/renewd/renewd/daemon/config/strict"
)

// window is the refresh window as fractions of the life, written "70%-80%" or "80%".
type window struct{ Start, End float64 }

var percentages = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]{1,2}(?:\.[0-9]+)?)%(?: *- *([0-9]{1,2}(?:\.[0-9]+)?)%)?$`)
})

// DecodeValue implements strict.Custom.
func (w *window) DecodeValue(v strict.Value) {
	m := percentages().FindStringSubmatch(v.Text())
	if v.Kind() != strict.Text || m == nil {
		v.Fail(strict.Mistake{Rule: strict.RuleValue, Problem: v.Label() + " must be percentages of the life, not " + v.Show(),
			Help: "for example 70%-80%, or 80%"})
		return
	}
	if m[2] == "" {
		m[2] = m[1]
	}
	start, _ := strconv.ParseFloat(m[1], 64)
	end, _ := strconv.ParseFloat(m[2], 64)
	if start < 1 || end > 99 || start > end {
		v.Fail(strict.Mistake{Rule: strict.RuleValue, Problem: v.Label() + " must lie within 1% and 99%, the smaller first: " + v.Show()})
		return
	}
	*w = window{Start: start / 100, End: end / 100}
}

// Schema implements strict.Custom.
func (*window) Schema() map[string]any {
	return map[string]any{"type": "string", "title": "percentages of the life", "pattern": percentages().String()}
}

// String implements strict.Custom.
func (w *window) String() string {
	// Ten digits are more than the document had, and leave out what the division by 100 could not represent.
	percent := func(f float64) string {
		return strconv.FormatFloat(math.Round(f*1e12)/1e10, 'f', -1, 64) + "%"
	}
	if w.Start == w.End {
		return percent(w.End)
	}
	return percent(w.Start) + "-" + percent(w.End)
}

// mode is permission bits, written as a quoted octal number: YAML 1.1 and 1.2 read a bare 0640 as different numbers.
type mode struct{ Perm fs.FileMode }

var octal = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^0?[0-7]{3}$`)
})

// DecodeValue implements strict.Custom.
func (m *mode) DecodeValue(v strict.Value) {
	switch {
	case v.Kind() == strict.Number:
		help := `write it in quotes, such as "0640"`
		if octal().MatchString(v.Show()) {
			help = `write it in quotes: "` + v.Show() + `"`
		}
		v.Fail(strict.Mistake{Rule: strict.RuleType, Problem: v.Label() + " " + v.Show() + " is read as different numbers by different YAML parsers", Help: help})
	case v.Kind() != strict.Text || !octal().MatchString(v.Text()):
		v.Fail(strict.Mistake{Rule: strict.RuleValue, Problem: v.Label() + " must be permissions in octal digits, at most 0777, not " + v.Show(),
			Help: `for example "0640"`})
	default:
		n, _ := strconv.ParseUint(v.Text(), 8, 32)
		if m.Perm = fs.FileMode(n); m.Perm&0o400 == 0 {
			v.Fail(strict.Mistake{Rule: strict.RuleValue, Problem: v.Label() + " " + v.Show() + " does not let the owner read: renewd reads what it published",
				Help: `for example "0640"`})
		}
	}
}

// Schema implements strict.Custom.
func (*mode) Schema() map[string]any {
	return map[string]any{"type": "string", "title": "octal digits in quotes", "pattern": "^0?[4-7][0-7]{2}$"}
}

// String implements strict.Custom.
func (m *mode) String() string { return "0" + strconv.FormatUint(uint64(m.Perm), 8) }

// id is a user or group number; -1 leaves it unchanged and is written as the empty text.
type id struct{ N int }

// Numbers above are refused by chown(2), where the last one means "unchanged".
const lastID = math.MaxUint32 - 1

// DecodeValue implements strict.Custom.
func (i *id) DecodeValue(v strict.Value) {
	if v.Kind() == strict.Text && v.Text() == "" {
		i.N = -1
		return
	}
	n, err := strconv.ParseUint(v.Text(), 10, 64)
	if err != nil || n > lastID || len(v.Text()) > 1 && strings.HasPrefix(v.Text(), "0") {
		v.Fail(strict.Mistake{Rule: strict.RuleValue, Problem: v.Label() + " must be a number, not " + v.Show(),
			Help: "names are not looked up: the image may have no user database"})
		return
	}
	i.N = int(n)
}

// Schema implements strict.Custom.
func (*id) Schema() map[string]any {
	return map[string]any{"type": []string{"integer", "string"}, "title": "number", "minimum": 0, "maximum": lastID,
		"pattern": "^(0|[1-9][0-9]*)?$"}
}

// String implements strict.Custom.
func (i *id) String() string {
	if i.N < 0 {
		return ""
	}
	return strconv.Itoa(i.N)
}
