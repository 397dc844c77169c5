// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"unicode/utf8"
)

const redacted = "[redacted]"

// rule is one way to recognize a secret by its shape.
type rule struct {
	name string
	re   *regexp.Regexp
	with string
}

// shapes are the built-in rules. They are tried where suspicious says so: a regular expression costs a hundred times more.
var shapes = []rule{
	{"pem", regexp.MustCompile(`(?s)-----BEGIN .*?(?:-----END [^-"]*(?:-----)?|$)`), redacted},
	{"jwt", regexp.MustCompile(`eyJ[A-Za-z0-9_+/=.-]{6,}`), redacted},
	{"bearer", regexp.MustCompile(`(?i)bearer(?:[\s:=+]|%20|\\+[tnr])+(?:\\*["'])?[^\s"'\[\\][^\s"'\\]{5,}`), "Bearer " + redacted},
	{"url", regexp.MustCompile(`://[^/\s]+@`), "://" + redacted + "@"},
}

// secretKeys are the built-in field names, without case, "_" and "-".
var secretKeys = []string{"authorization", "cookie", "password", "secret", "clientsecret", "accesstoken", "refreshtoken", "idtoken",
	"assertion", "privatekey"}

// redactor hides secrets. It is immutable and safe for concurrent use.
type redactor struct {
	keys   map[string]bool
	first  [256]bool // ASCII that such a key can begin with
	custom []rule
	count  func(rule string)
}

func newRedactor(own redaction, count func(string)) *redactor {
	r := &redactor{keys: map[string]bool{}, count: count}
	r.first['_'], r.first['-'] = true, true
	for _, k := range append(own.Keys, secretKeys...) {
		if folded := string(appendFolded(nil, k)); folded != "" {
			r.keys[folded] = true
			r.first[folded[0]], r.first[strings.ToUpper(folded[:1])[0]] = true, true
		}
	}
	for _, p := range own.Patterns {
		if p.Regexp != nil { // else it is a mistake that is about to be reported
			r.custom = append(r.custom, rule{"pattern", p.Regexp, redacted})
		}
	}
	return r
}

// appendFolded adds a field name to b without case, "_" and "-".
func appendFolded[T string | []byte](b []byte, name T) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= utf8.RuneSelf:
			rest := strings.ToLower(strings.ToUpper(string(name[i:])))
			return append(b, strings.NewReplacer("_", "", "-", "").Replace(rest)...)
		case c >= 'A' && c <= 'Z':
			b = append(b, c|0x20)
		case c != '_' && c != '-':
			b = append(b, c)
		}
	}
	return b
}

// key reports whether the value of a field of this name is a secret. zap adds "Verbose" to the name of an error for its long text.
func (r *redactor) key(name []byte) bool {
	if len(name) > 0 && name[0] < utf8.RuneSelf && !r.first[name[0]] {
		return false
	}
	var buffer [64]byte
	folded := appendFolded(buffer[:0], name)
	short, long := bytes.CutSuffix(folded, []byte("verbose"))
	return r.keys[string(folded)] || long && r.keys[string(short)]
}

// suspicious reports whether a text has what every secret of a built-in shape begins with. In one pass, it looks closer at
// four bytes alone.
func suspicious[T string | []byte](s T) bool {
	for i := range len(s) {
		if marks[s[i]] && begins(s, i) {
			return true
		}
	}
	return false
}

// marks are the bytes at which begins can be true.
var marks = [256]bool{'J': true, 'b': true, 'B': true, '/': true}

// begins reports whether the byte at i stands in the beginning of a secret.
func begins[T string | []byte](s T, i int) bool {
	switch s[i] {
	case 'J': // eyJ
		return i >= 2 && s[i-1] == 'y' && s[i-2] == 'e'
	case 'b', 'B': // bearer, -----BEGIN
		return i+2 < len(s) && s[i+1]|0x20 == 'e' && (s[i+2]|0x20 == 'a' || s[i+2] == 'G')
	}
	if i < 2 || s[i-1] != '/' || s[i-2] != ':' { // ://…@
		return false
	}
	for k := i + 1; k < len(s) && strings.IndexByte("/ \t\n\f\r", s[k]) < 0; k++ {
		if s[k] == '@' {
			return true
		}
	}
	return false
}

// text hides what has the shape of a secret. It returns its argument if there is nothing to hide.
func (r *redactor) text(s string) string {
	if suspicious(s) {
		s = r.apply(shapes, s)
	}
	return r.apply(r.custom, s)
}

// apply replaces all matches of rules and counts them.
func (r *redactor) apply(rules []rule, s string) string {
	for _, rule := range rules {
		if rule.re.MatchString(s) {
			s = rule.re.ReplaceAllStringFunc(s, func(match string) string {
				if match != rule.with { // else it was hidden before
					r.count(rule.name)
				}
				return rule.with
			})
		}
	}
	return s
}

// encoded reports whether s is base64 of something that has the shape of a secret: a []byte in JSON.
func (r *redactor) encoded(s string) bool {
	if !maybeEncoded(s) {
		return false
	}
	plain, err := base64.StdEncoding.DecodeString(s)
	return err == nil && r.text(string(plain)) != string(plain)
}

// maybeEncoded reports whether s may be base64 of something that is long enough for a secret.
func maybeEncoded[T string | []byte](s T) bool {
	for i := range len(s) {
		switch s[i] {
		case ' ', '.', ':', '-', '_':
			return false
		}
	}
	return len(s) >= 16 && len(s)%4 == 0
}
