// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"encoding/base64"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// rule is one way to recognize a secret by its shape.
type rule struct {
	name string
	re   *regexp.Regexp
	with string
}

// shapes are the built-in rules, each behind a literal that is searched first, because a search by regular expression
// costs a hundred times more.
var (
	jwtRule    = rule{"jwt", regexp.MustCompile(`eyJ[A-Za-z0-9_+/=.-]{6,}`), redacted}
	bearerRule = rule{"bearer", regexp.MustCompile(`(?i)bearer(?:[\s:=+]|%20|\\+[tnr])+[^\s"'\[\\][^\s"'\\]{5,}`), "Bearer " + redacted}
	pemRule    = rule{"pem", regexp.MustCompile(`(?s)-----BEGIN .*?(?:-----END [^-"]*(?:-----)?|$)`), redacted}
	urlRule    = rule{"url", regexp.MustCompile(`://[^/\s]+@`), "://" + redacted + "@"}
)

// secretKeys are the built-in field names, without case, "_" and "-".
var secretKeys = []string{"authorization", "cookie", "password", "secret", "clientsecret", "accesstoken", "refreshtoken", "idtoken",
	"assertion", "privatekey"}

// redactor hides secrets. It is immutable and safe for concurrent use.
type redactor struct {
	keys   map[string]bool
	custom []rule
	count  func(rule string)
}

func newRedactor(own redaction, count func(string)) *redactor {
	r := &redactor{keys: map[string]bool{}, count: count}
	for _, k := range append(own.Keys, secretKeys...) {
		r.keys[string(appendFolded(nil, k))] = true
	}
	for _, p := range own.Patterns {
		r.custom = append(r.custom, rule{"pattern", p.Regexp, redacted})
	}
	return r
}

// appendFolded adds a field name to b without case, "_" and "-".
func appendFolded(b []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			b = append(b, c|0x20)
		case c != '_' && c != '-':
			b = append(b, c)
		}
	}
	return b
}

// key reports whether the value of a field of this name is a secret.
func (r *redactor) key(name string) bool {
	var buffer [64]byte
	return r.keys[string(appendFolded(buffer[:0], name))]
}

// text hides what has the shape of a secret. It returns its argument if there is nothing to hide.
func (r *redactor) text(s string) string {
	if strings.Contains(s, "-----BEGIN ") {
		s = r.apply(pemRule, s)
	}
	if strings.Contains(s, "eyJ") {
		s = r.apply(jwtRule, s)
	}
	if containsFold(s, "bearer") {
		s = r.apply(bearerRule, s)
	}
	if strings.Contains(s, "://") {
		s = r.apply(urlRule, s)
	}
	for _, c := range r.custom {
		s = r.apply(c, s)
	}
	return s
}

// apply replaces all matches of one rule and counts them.
func (r *redactor) apply(rule rule, s string) string {
	if !rule.re.MatchString(s) {
		return s
	}
	return rule.re.ReplaceAllStringFunc(s, func(match string) string {
		if match != rule.with { // else it was hidden before
			r.count(rule.name)
		}
		return rule.with
	})
}

// encoded reports whether s is base64 of something that has the shape of a secret: a []byte in JSON.
func (r *redactor) encoded(s string) bool {
	if len(s) < 16 || len(s)%4 != 0 || strings.ContainsAny(s, " .:-_") {
		return false
	}
	plain, err := base64.StdEncoding.DecodeString(s)
	return err == nil && r.text(string(plain)) != string(plain)
}

// containsFold reports whether s holds the lower-case ASCII word in any case.
func containsFold(s, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		if s[i]|0x20 == word[0] && strings.EqualFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
