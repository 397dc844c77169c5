// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon/config/strict"
)

// datefmt is a strftime format. Empty stands for RFC 3339 with milliseconds.
type datefmt string

const iso = "2006-01-02T15:04:05.000Z07:00"

// directives gives the directives of strftime that are known as layouts of package time. What has no layout is "".
var directives = map[byte]string{'Y': "2006", 'y': "06", 'm': "01", 'b': "Jan", 'B': "January", 'd': "02", 'j': "002", 'a': "Mon",
	'A': "Monday", 'H': "15", 'I': "03", 'p': "PM", 'M': "04", 'S': "05", 'f': "", 'z': "-0700", 'Z': "MST", '%': ""}

// DecodeValue implements strict.Custom.
func (d *datefmt) DecodeValue(v strict.Value) {
	text := v.Text()
	if v.Kind() != strict.Text {
		fail(v, "LP042", fmt.Sprintf("datefmt must be a text, not %s", v.Show()), "put it in quotes")
		return
	}
	if offset, problem := checkDate(text); problem != "" {
		v.FailAt(offset, strict.Mistake{Rule: "LP042", Problem: problem, Help: "known are %Y %y %m %b %B %d %j %a %A %H %I %p %M %S %f %z %Z %%"})
		return
	}
	*d = datefmt(text)
}

// checkDate returns what is wrong with a format, and at which byte.
func checkDate(text string) (int, string) {
	if i := strings.IndexFunc(text, isControl); i >= 0 {
		return i, "a control character in datefmt"
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			continue
		}
		if i+1 == len(text) {
			return i, "a % at the end of datefmt"
		}
		if _, ok := directives[text[i+1]]; !ok {
			return i, fmt.Sprintf("unknown directive %q", text[i:i+2])
		}
		i++
	}
	return 0, ""
}

// Schema implements strict.Custom.
func (*datefmt) Schema() map[string]any {
	return map[string]any{"title": "strftime format", "type": "string"}
}

// String implements strict.Custom.
func (d datefmt) String() string { return string(d) }

// append adds the time to b.
func (d datefmt) append(b []byte, t time.Time) []byte {
	if d == "" {
		return t.AppendFormat(b, iso)
	}
	for i := 0; i < len(d); i++ {
		if d[i] != '%' || i+1 == len(d) {
			b = append(b, d[i])
			continue
		}
		i++
		switch c := d[i]; c {
		case '%':
			b = append(b, '%')
		case 'f':
			b = fmt.Appendf(b, "%06d", t.Nanosecond()/1000)
		case 'Y':
			b = strconv.AppendInt(b, int64(t.Year()), 10)
		default:
			b = t.AppendFormat(b, directives[c])
		}
	}
	return b
}
