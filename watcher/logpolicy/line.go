// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// record is what a line says, before it has a form. Its texts are redacted. Its buffers serve one line after the other.
type record struct {
	time    time.Time
	level   Level
	name    string
	message string
	trace   string
	caller  zapcore.EntryCaller
	members []member // the fields
	process int
	started time.Time

	all    []zap.Field // With fields and those of the call
	fields []byte      // what the members are made of
	line   []byte
}

// line adds the record to b in a format, redacted as a whole and without a line end. The parts were redacted before; the
// whole is searched again because a pattern may put parts together that make a secret. In JSON only a pattern of the policy
// can see more in the whole than in the parts: the built-in shapes do not reach over the end of a string.
func (g *generation) line(b []byte, r *record, f *format) []byte {
	if f.Style == "json" {
		b = r.appendJSON(b, f)
		if len(g.redactor.custom) == 0 {
			return b
		}
		if out := g.redactor.apply(g.redactor.custom, string(b)); out != string(b) {
			if b = append(b[:0], out...); !json.Valid(b) { // a pattern took a part of the structure
				hidden := record{time: r.time, level: r.level, message: redacted}
				b = hidden.appendJSON(b[:0], f)
			}
		}
		return b
	}
	b = f.Pattern.append(b, r, f)
	if f.Fields == "append" {
		for _, m := range r.members {
			b = appendLogfmt(b, m)
		}
	}
	if r.trace != "" {
		b = append(b, ` trace="`...)
		b = append(appendEscaped(b, r.trace, true), '"')
	}
	if len(g.redactor.custom) == 0 && !suspicious(b) {
		return b
	}
	return append(b[:0], g.redactor.text(string(b))...)
}

// appendJSON adds the record as one JSON object.
func (r *record) appendJSON(b []byte, f *format) []byte {
	b = r.time.AppendFormat(append(b, `{"time":"`...), iso)
	b = append(append(append(b, `","level":"`...), r.level.String()...), '"')
	if f.Severity == "otel" {
		b = strconv.AppendInt(append(b, `,"severity_number":`...), int64(severities[r.level.index()]), 10)
	}
	if r.name != "" {
		b = append(appendEscaped(append(b, `,"logger":"`...), r.name, true), '"')
	}
	b = append(appendEscaped(append(b, `,"msg":"`...), r.message, true), '"')
	for _, m := range r.members {
		b = append(append(append(append(b, `,"`...), m.key...), `":`...), m.value...)
	}
	if r.trace != "" {
		b = append(appendEscaped(append(b, `,"trace":"`...), r.trace, true), '"')
	}
	return append(b, '}')
}

// cut returns a line of at most most bytes. In JSON the fields go and the message is cut, so that the line still parses.
func (r *record) cut(b []byte, f *format, most int) []byte {
	if len(b) <= most {
		return b
	}
	if f.Style != "json" {
		return cutText(b, most)
	}
	short := record{time: r.time, level: r.level, name: string(cutText([]byte(r.name), 128))}
	frame := len(short.appendJSON(nil, f))
	most -= frame + len(fmt.Sprintf("…[+%d bytes]", len(b))) // no fewer digits than the note will have
	text := runeCut([]byte(r.message), most)
	escaped := appendEscaped(nil, string(text), true)
	for len(escaped) > max(most, 0) {
		text = runeCut(text, len(text)-(len(escaped)-most+5)/6) // an escape is at most six bytes for one
		escaped = appendEscaped(nil, string(text), true)
	}
	escaped = fmt.Appendf(escaped, "…[+%d bytes]", len(b)-frame-len(escaped))
	out := short.appendJSON(nil, f)
	return append(append(bytes.TrimSuffix(out, []byte(`"}`)), escaped...), `"}`...)
}

// cutText cuts at a rune boundary and says how much is missing; with that it has at most most bytes.
func cutText(b []byte, most int) []byte {
	if len(b) <= most {
		return b
	}
	note := fmt.Sprintf("…[+%d bytes]", len(b))
	kept := runeCut(b, most-len(note))
	return fmt.Appendf(bytes.Clone(kept), "…[+%d bytes]", len(b)-len(kept))
}

// runeCut returns the longest beginning of at most n bytes that ends between two runes.
func runeCut(b []byte, n int) []byte {
	n = min(max(n, 0), len(b))
	for n > 0 && n < len(b) && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

// appendLogfmt adds " key=value". Values that are no single word are quoted; nested ones are JSON in quotes.
func appendLogfmt(b []byte, m member) []byte {
	b = append(b, ' ')
	start := len(b)
	b = append(b, m.key...)
	for i, c := range b[start:] {
		if c <= ' ' || c == '=' || c == '"' || c == '\\' {
			b[start+i] = '_'
		}
	}
	b = append(b, '=')
	value := m.value
	switch {
	case value[0] == '{' || value[0] == '[':
		return append(appendEscaped(append(b, '"'), value, true), '"')
	case value[0] != '"':
		return append(b, value...)
	}
	if inside := value[1 : len(value)-1]; len(inside) > 0 && !bytes.ContainsAny(inside, ` ="\`) {
		value = inside
	}
	return append(b, value...)
}

const hexDigits = "0123456789abcdef"

// appendEscaped adds s without anything that could end or forge a line: control characters, U+0085, U+2028, U+2029 and
// invalid UTF-8. For the inside of a JSON string, quotes and backslashes are escaped too.
func appendEscaped[T string | []byte](b []byte, s T, inJSON bool) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && !(inJSON && (c == '"' || c == '\\')) {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r >= 0xa0 && r != '\u2028' && r != '\u2029' && !(r == utf8.RuneError && n == 1) {
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		switch {
		case r == utf8.RuneError && inJSON:
			b = append(b, `\ufffd`...)
		case r == utf8.RuneError:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '"' || r == '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		}
		i += n
		start = i
	}
	return append(b, s[start:]...)
}
