// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format

import (
	"errors"
	"fmt"
	"strings"

	"github.com/renewd/renewd/daemon"
)

// Template is the options of template: any text. Nothing is escaped and no line end is added.
type Template struct {
	Text string `yaml:"text" required:"true" doc:"The bytes of the file. Replaced in it are ${value} (the token), ${type}, ${name} (of the token in this file), ${issuedAt} and ${expiresAt}: times in RFC 3339, the last one empty if nobody said it."`
}

// template is a text cut into pieces: literals, and between them fields.
type template struct {
	name   string // of the token
	pieces []piece
}

type piece struct {
	literal string
	field   field // of the token, behind the literal; nil behind the last one
}

type field func(name string, t daemon.Token) string

func fieldOf(name string) field {
	switch name {
	case "value":
		return func(_ string, t daemon.Token) string { return t.Value.Reveal() }
	case "type":
		return func(_ string, t daemon.Token) string { return t.Type }
	case "name":
		return func(name string, _ daemon.Token) string { return name }
	case "issuedAt":
		return func(_ string, t daemon.Token) string { return rfc3339(t.IssuedAt) }
	case "expiresAt":
		return func(_ string, t daemon.Token) string { return rfc3339(t.ExpiresAt) }
	}
	return nil
}

const fields = "${value}, ${type}, ${name}, ${issuedAt} or ${expiresAt}"

func newTemplate(options any, c Context) (daemon.Format, error) {
	text := options.(*Template).Text
	if text == "" {
		return nil, &daemon.FieldError{Field: "text", Problem: "is empty", Help: "a text with " + fields}
	}
	f := template{name: c.Name}
	var errs []error
	for {
		literal, rest, found := strings.Cut(text, "${")
		if !found {
			f.pieces = append(f.pieces, piece{literal, nil})
			return f, errors.Join(errs...)
		}
		name, rest, closed := strings.Cut(rest, "}")
		get := fieldOf(name)
		if !closed {
			errs = append(errs, &daemon.FieldError{Field: "text", Problem: "a ${ has no }", Help: fields})
		} else if get == nil {
			errs = append(errs, &daemon.FieldError{Field: "text", Problem: fmt.Sprintf("%.64q is unknown", "${"+name+"}"), Help: fields})
		}
		f.pieces = append(f.pieces, piece{literal, get})
		text = rest
	}
}

func (f template) Encode(t daemon.Token) ([]byte, error) {
	if t.Value.IsZero() {
		return nil, errEmpty
	}
	var b strings.Builder
	for _, p := range f.pieces {
		b.WriteString(p.literal)
		if p.field != nil {
			b.WriteString(p.field(f.name, t))
		}
	}
	return []byte(b.String()), nil
}
