// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"bytes"
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

// encode adds fields to the members. A field whose methods panic says so in place of its value, and ok is false.
func (r *record) encode(g *generation, fields []zap.Field) (ok bool) {
	if len(fields) == 0 || r.tryEncode(g, fields) {
		return true
	}
	safe := make([]zap.Field, len(fields))
	for i, f := range fields {
		if !new(record).tryEncode(g, []zap.Field{f}) {
			f = zap.String(f.Key, "[panic while encoding]")
		}
		safe[i] = f
	}
	r.tryEncode(g, safe)
	return false
}

func (r *record) tryEncode(g *generation, fields []zap.Field) (ok bool) {
	before := r.members
	defer func() {
		if recover() != nil {
			r.members, ok = before, false
		}
	}()
	for i, f := range fields {
		if f.Type != zapcore.BinaryType {
			continue
		}
		// JSON would turn bytes into base64, which hides a secret's shape.
		if b, isBytes := f.Interface.([]byte); isBytes && utf8.Valid(b) {
			fields = slices.Clone(fields)
			fields[i].Type = zapcore.ByteStringType
		}
	}
	b, err := g.fields.EncodeEntry(zapcore.Entry{}, fields)
	if err != nil {
		return false
	}
	defer b.Free()
	s := scanner{in: b.Bytes(), out: r.fields, seen: r.members, redactor: g.redactor}
	s.object(0, true)
	r.fields, r.members = s.out, s.seen
	return true
}

// scanner copies JSON that an encoder wrote, and on the way hides secrets and makes keys differ. Working on JSON instead of
// on fields, it reaches every depth of every type with one rule, also what encoding/json made by reflection.
//
// It relies on what zap and encoding/json promise: valid JSON without white space between tokens. If a marshaler breaks
// that, the index panics and the field is dropped like any other that panics.
type scanner struct {
	in       []byte
	out      []byte
	pos      int
	seen     []member // of the objects that are open, the members of the line first
	redactor *redactor
}

// object copies an object's members without its braces. Keys seen from mark on are taken. The members of a line stay in seen.
func (s *scanner) object(mark int, ofLine bool) {
	s.pos++ // {
	for s.in[s.pos] != '}' {
		if s.in[s.pos] == ',' {
			s.out = append(s.out, ',')
			s.pos++
		}
		s.out = append(s.out, '"')
		start := len(s.out)
		inside, odd := s.token()
		secret := s.redactor.key(inside) || odd && s.redactor.key([]byte(unescape(string(inside))))
		s.text(inside, odd)
		for n := 2; s.taken(s.out[start:], mark, ofLine); n++ {
			if n > 2 {
				s.out = s.out[:bytes.LastIndexByte(s.out, '_')]
			}
			s.out = strconv.AppendInt(append(s.out, '_'), int64(n), 10)
		}
		end := len(s.out)
		s.out = append(s.out, '"', ':')
		s.pos++ // :
		s.value()
		if secret && string(s.out[end+2:]) != `"`+redacted+`"` { // else it was hidden at With
			s.redactor.count("field")
			s.out = append(s.out[:end+2], `"`+redacted+`"`...)
		}
		s.seen = append(s.seen, member{key: s.out[start:end], value: s.out[end+2:]})
	}
	if !ofLine {
		s.seen = s.seen[:mark]
	}
	s.pos++
}

// taken reports whether a key of the open object, or one that a line has by itself, has this name.
func (s *scanner) taken(key []byte, mark int, ofLine bool) bool {
	if ofLine && isReserved(key) {
		return true
	}
	for _, m := range s.seen[mark:] {
		if bytes.Equal(m.key, key) {
			return true
		}
	}
	return false
}

// value copies one value.
func (s *scanner) value() {
	switch s.in[s.pos] {
	case '{':
		s.out = append(s.out, '{')
		s.object(len(s.seen), false)
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
		s.out = append(s.out, '"')
		s.text(s.token())
		s.out = append(s.out, '"')
	default:
		start := s.pos
		for c := s.in[s.pos]; c != ',' && c != ']' && c != '}'; c = s.in[s.pos] {
			s.pos++
		}
		s.out = append(s.out, s.in[start:s.pos]...)
	}
}

// token passes over the string that begins here and returns its inside, and whether that wants a look: it is not as it
// would be written here, or suspicious.
func (s *scanner) token() (inside []byte, odd bool) {
	s.pos++
	start := s.pos
	for ; s.in[s.pos] != '"'; s.pos++ {
		c := s.in[s.pos]
		odd = odd || c == '\\' || c >= 0x7f || marks[c] && begins(s.in, s.pos)
		if c == '\\' {
			s.pos++
		}
	}
	s.pos++
	return s.in[start : s.pos-1], odd
}

// text copies the inside of a JSON string, with secrets hidden.
func (s *scanner) text(inside []byte, odd bool) {
	r := s.redactor
	if !odd && len(r.custom) == 0 && !maybeEncoded(inside) {
		s.out = append(s.out, inside...)
		return
	}
	plain := unescape(string(inside))
	if r.encoded(plain) {
		plain = redacted
	}
	s.out = appendEscaped(s.out, r.text(plain), true)
}

// isReserved reports whether a line has a key of its own by this name.
func isReserved(key []byte) bool {
	switch string(key) {
	case "time", "level", "severity_number", "logger", "msg", "trace":
		return true
	}
	return false
}
