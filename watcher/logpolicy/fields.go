// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// member is a field as JSON: the key without quotes but escaped, and the value, both redacted.
type member struct{ key, value []byte }

// unescape returns what the inside of a JSON string stands for.
func unescape(inside string) string {
	if strings.IndexByte(inside, '\\') < 0 {
		return inside
	}
	var plain string
	_ = json.Unmarshal([]byte(`"`+inside+`"`), &plain) // an encoder wrote it
	return plain
}

// fieldEncoder turns fields into JSON. What it writes is no line: members are read from it.
func fieldEncoder() zapcore.Encoder {
	return zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		EncodeTime:     zapcore.TimeEncoderOfLayout(time.RFC3339Nano),
		EncodeDuration: zapcore.StringDurationEncoder,
	})
}

// encode turns fields into members. A field whose methods panic says so in place of its value. before are the members that
// stand in front of them.
func (g *generation) encode(fields []zap.Field, before []member, panicked func()) []member {
	if len(fields) == 0 {
		return nil
	}
	list, ok := g.tryEncode(fields, before)
	if ok {
		return list
	}
	panicked()
	safe := make([]zap.Field, len(fields))
	for i, f := range fields {
		if _, ok := g.tryEncode([]zap.Field{f}, nil); !ok {
			f = zap.String(f.Key, "[panic while encoding]")
		}
		safe[i] = f
	}
	list, _ = g.tryEncode(safe, before)
	return list
}

func (g *generation) tryEncode(fields []zap.Field, before []member) (list []member, ok bool) {
	defer func() {
		if recover() != nil {
			list, ok = nil, false
		}
	}()
	for i, f := range fields {
		// JSON would turn bytes into base64, which hides a secret's shape.
		if b, isBytes := f.Interface.([]byte); isBytes && f.Type == zapcore.BinaryType && utf8.Valid(b) {
			fields = slices.Clone(fields)
			fields[i].Type = zapcore.ByteStringType
		}
	}
	b, err := g.fields.EncodeEntry(zapcore.Entry{}, fields)
	if err != nil {
		return nil, false
	}
	defer b.Free()
	s := scanner{in: b.String(), out: make([]byte, 0, b.Len()+32), seen: slices.Clip(before), redactor: g.redactor}
	list = make([]member, 0, len(fields))
	s.object(0, func(m member) { list = append(list, m) })
	return list, true
}

// scanner copies JSON that an encoder wrote, and on the way hides secrets and makes keys differ. Working on JSON instead of
// on fields, it reaches every depth of every type with one rule, also what encoding/json made by reflection.
//
// It relies on what zap and encoding/json promise: valid JSON without white space between tokens. If a marshaler breaks
// that, the index panics and the field is dropped like any other that panics.
type scanner struct {
	in       string
	out      []byte
	pos      int
	seen     []member // of the objects that are open; only keys
	redactor *redactor
}

// object copies an object's members without its braces, and gives each to yield. Keys seen from mark on are taken.
func (s *scanner) object(mark int, yield func(member)) {
	s.pos++ // {
	for s.in[s.pos] != '}' {
		if s.in[s.pos] == ',' {
			s.out = append(s.out, ',')
			s.pos++
		}
		start := len(s.out)
		raw := s.token()
		inside := raw[1 : len(raw)-1]
		key := distinct(s.redactor.token(inside), func(key string) bool {
			return yield != nil && isReserved(key) || slices.ContainsFunc(s.seen[mark:], func(m member) bool { return string(m.key) == key })
		})
		s.out = append(append(append(s.out, '"'), key...), '"', ':')
		end := len(s.out)
		s.pos++                     // :
		if s.redactor.key(inside) { // before it got a suffix
			if !strings.HasPrefix(s.in[s.pos:], `"`+redacted+`"`) { // else it was hidden at With
				s.redactor.count("field")
			}
			s.skip()
			s.out = append(s.out, `"`+redacted+`"`...)
		} else {
			s.value()
		}
		m := member{key: s.out[start+1 : end-2], value: s.out[end:]}
		s.seen = append(s.seen, m)
		if yield != nil {
			yield(m)
		}
	}
	s.seen = s.seen[:mark]
	s.pos++
}

// skip passes over a value.
func (s *scanner) skip() {
	for depth := 0; ; {
		switch s.in[s.pos] {
		case '"':
			s.token()
		case '{', '[':
			depth++
			s.pos++
		case '}', ']':
			depth--
			s.pos++
		default:
			s.pos++
		}
		if depth == 0 && strings.IndexByte(",]}", s.in[s.pos]) >= 0 {
			return
		}
	}
}

// value copies one value.
func (s *scanner) value() {
	switch s.in[s.pos] {
	case '{':
		s.out = append(s.out, '{')
		s.object(len(s.seen), nil)
		s.out = append(s.out, '}')
	case '[':
		s.out = append(s.out, '[')
		for s.pos++; s.in[s.pos] != ']'; {
			if s.in[s.pos] == ',' {
				s.out = append(s.out, ',')
				s.pos++
			}
			s.value()
		}
		s.out = append(s.out, ']')
		s.pos++
	case '"':
		raw := s.token()
		s.out = append(append(append(s.out, '"'), s.redactor.token(raw[1:len(raw)-1])...), '"')
	default:
		start := s.pos
		for s.pos < len(s.in) && strings.IndexByte(",]}", s.in[s.pos]) < 0 {
			s.pos++
		}
		s.out = append(s.out, s.in[start:s.pos]...)
	}
}

// token returns the string that begins here, with its quotes.
func (s *scanner) token() string {
	start := s.pos
	for s.pos++; s.in[s.pos] != '"'; s.pos++ {
		if s.in[s.pos] == '\\' {
			s.pos++
		}
	}
	s.pos++
	return s.in[start:s.pos]
}

// token hides secrets in the inside of a JSON string, which it returns escaped.
func (r *redactor) token(inside string) string {
	plain := unescape(inside)
	if r.encoded(plain) {
		return redacted
	}
	if out := r.text(plain); out != plain {
		return string(appendEscaped(nil, out, true))
	}
	return escapeSeparators(inside)
}

// distinct returns key, with a suffix if it is taken.
func distinct(key string, taken func(string) bool) string {
	name := key
	for n := 2; taken(name); n++ {
		name = key + "_" + strconv.Itoa(n)
	}
	return name
}

// isReserved reports whether a line has a key of its own by this name.
func isReserved(key string) bool {
	switch key {
	case "time", "level", "severity_number", "logger", "msg", "trace":
		return true
	}
	return false
}
