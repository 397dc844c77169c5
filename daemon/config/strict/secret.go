// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const hiddenText = "[redacted]"

var (
	// secretWords end the names of keys that hold secrets, compared without case and separators. A name that goes on, as
	// clientSecretFile does, holds something else.
	secretWords = []string{"secret", "password", "passwd", "passphrase", "token", "privatekey", "secretkey", "accesskey", "apikey",
		"signingkey", "assertion", "authorization", "cookie", "credential", "credentials"}

	separators = strings.NewReplacer("_", "", "-", "", ".", "")

	// secretShape matches the beginning of what has the shape of a secret; all that follows on the line goes with it.
	secretShape = compiled(`-----BEGIN|eyJ[A-Za-z0-9_-]{2}|(?i:bearer)[ \t]+[A-Za-z0-9._~+/=-]{6}|://[^/\s"'@]*:[^/\s"']*@`)

	// escaped matches a key that is written with escapes, and its colon.
	escaped = compiled(`"(?:[^"\\]|\\.)*\\(?:[^"\\]|\\.)*"\s*:`)

	// pair matches a key with its colon, wherever on a line it stands.
	pair = compiled(`(?:^|[\s{,\[])["']?([\w.-]+)["']?\s*:(?:\s|$)`)
)

// compiled returns a regular expression that is compiled at its first use: what is compiled before main costs every start
// of every command.
func compiled(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// secretKey reports whether a key of this name holds a secret.
func secretKey(name string) bool {
	name = separators.Replace(strings.ToLower(name))
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.HasSuffix(name, word) })
}

// secret reports whether what stands at a key must not be shown.
func (o Options) secret(key string) bool { return secretKey(key) && (o.Open == nil || !o.Open(key)) }

// secretLike reports whether the text has the shape of a secret: PEM, a JWT, a bearer token, a URL with a password.
func secretLike(text string) bool { return secretShape().MatchString(text) }

// redact cuts a message where something that looks like a secret begins, up to the end of the quoted text or line.
func redact(text string) string {
	at := secretShape().FindStringIndex(text)
	if at == nil {
		return text
	}
	rest := text[at[1]:]
	end := strings.IndexAny(rest, "\" \n")
	if end < 0 || strings.HasPrefix(text[at[0]:], "-----") {
		return text[:at[0]] + hiddenText
	}
	return text[:at[0]] + hiddenText + redact(rest[end:])
}

// quote shows a text in a message.
func quote(text string) string {
	if utf8.RuneCountInString(text) > 64 {
		text = string([]rune(text)[:64]) + "…"
	}
	return strconv.Quote(text)
}

// mask is a line without what looks like a secret, and the index of the rune where the hidden part begins, or -1.
type mask struct {
	line   string
	hidden int
}

// masked returns the mask of a line, counted from 1. It works on the text alone, so that it serves where the document
// could not be parsed.
func (d *Document) masked(number int) mask {
	if m, ok := d.masks[number]; ok {
		return m
	}
	line := d.line(number)
	cut := len(line)
	if at := secretShape().FindStringIndex(line); at != nil {
		cut = at[0]
	}
	for _, m := range pair().FindAllStringSubmatchIndex(line, -1) {
		key, value := line[m[2]:m[3]], strings.Trim(line[m[1]:], " \t")
		// What a mapping on the key's line holds is judged by its own keys.
		if d.options.secret(key) && value != "" && (value[0] != '{' || !d.isMapping(key)) {
			cut = min(cut, m[1])
		}
	}
	if at := escaped().FindStringIndex(line); at != nil { // what it spells is not worked out
		cut = min(cut, at[1])
	}
	if d.insideSecret(number) {
		cut = 0
	}
	if column := d.strange[number]; column > 0 {
		cut = min(cut, len(line)-len(from(line, column)))
	}
	m := mask{line, -1}
	if cut < len(line) {
		m = mask{line[:cut] + hiddenText, utf8.RuneCountInString(line[:cut])}
	}
	if d.masks == nil {
		d.masks = map[int]mask{}
	}
	d.masks[number] = m
	return m
}

// distrust hides the value of a key that nobody knows and that resembles none: only its author knows what it is.
func (d *Document) distrust(n *yaml.Node) {
	at := d.spanOfNode(n)
	if d.strange == nil {
		d.strange = map[int]int{}
	}
	if before := d.strange[at.line]; before == 0 || at.column < before {
		d.strange[at.line] = at.column
	}
}

// isMapping reports whether a key of this name stands for a mapping wherever the document may have it.
func (d *Document) isMapping(key string) bool {
	if d.mappings == nil {
		d.mappings = map[string]bool{}
		d.learn(d.target, map[reflect.Type]bool{})
	}
	return d.mappings[key]
}

// learn notes which keys of a type, and of all that it holds, stand for mappings.
func (d *Document) learn(t reflect.Type, seen map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		d.learn(t.Elem(), seen)
		return
	case reflect.Struct:
	default:
		return
	}
	if seen[t] {
		return
	}
	seen[t] = true
	for _, f := range fields(t) {
		key := f.Tag.Get("yaml")
		_, known := d.mappings[key]
		is := f.Type.Kind() == reflect.Struct && f.Type != oneOfType && !reflect.PointerTo(f.Type).Implements(customType)
		d.mappings[key] = is && (!known || d.mappings[key])
		d.learn(f.Type, seen)
		for _, create := range d.options.Choices[f.Tag.Get("choice")].Kinds {
			if create != nil {
				d.learn(reflect.TypeOf(create()), seen)
			}
		}
	}
}

// insideSecret reports whether a line continues a secret that began above it: a PEM block, or a text of several lines
// below the key of a secret. Lines further up than a thousand are not looked at.
func (d *Document) insideSecret(number int) bool {
	text := d.line(number)
	indent, entry := indentation(text), pair().MatchString(text)
	block := !entry && !strings.Contains(text, "-----")
	for i := number - 1; i >= max(1, number-1000); i-- {
		above := d.line(i)
		if block = block && !strings.Contains(above, "-----END"); block && strings.Contains(above, "-----BEGIN") {
			return true
		}
		if at := indentation(above); at > indent || at == indent && entry {
			continue
		}
		keys := pair().FindAllStringSubmatchIndex(above, -1)
		if len(keys) == 0 {
			continue
		}
		last := keys[len(keys)-1]
		if d.options.secret(above[last[2]:last[3]]) {
			// Below a key without a value stand further keys, or the value itself.
			value := strings.TrimSpace(above[last[1]:])
			return value == "" && !entry || value != "" && !strings.ContainsRune("{[&#", rune(value[0]))
		}
		indent, entry = indentation(above), true
	}
	return false
}

// indentation returns how many spaces and tabs a line begins with; the dash of a list item counts as one.
func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " \t-")) }
