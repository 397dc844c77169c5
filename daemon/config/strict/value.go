// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// place says where a value stands: its path, the key nearest above it, and the tags that hold for it.
type place struct {
	path, key, index string
	tag              reflect.StructTag
}

// child returns the place of a key.
func (p place) child(key string, tag reflect.StructTag) place {
	path := key
	if p.path != "" {
		path = p.path + "." + key
	}
	return place{path: path, key: key, tag: tag}
}

// element returns the place of a list's element.
func (p place) element(i int) place {
	index := fmt.Sprintf("[%d]", i)
	p.path += index
	p.index += index
	return p
}

// Value is one value of the document, for a type that decodes itself.
type Value struct {
	d    *Document
	n    *yaml.Node // never an alias
	at   place
	kind Kind
	text string   // of a scalar, expanded
	vars []string // the variables in it
	hide bool     // neither the text nor its line may be shown
}

// value makes a Value of n. It reports false after reporting what makes the node unusable.
func (d *Document) value(n *yaml.Node, at place) (Value, bool) {
	v := Value{d: d, n: resolve(n), at: at, hide: d.options.secret(at.key)}
	if !d.spend(v.n, at.path) {
		return v, false
	}
	if v.n.Style&yaml.TaggedStyle != 0 || v.n.Tag == "!" {
		v.fail(RuleSyntax, "tags are not accepted", "leave the ! word out, or quote the text")
		return v, false
	}
	switch v.n.Kind {
	case yaml.MappingNode:
		v.kind = Mapping
		return v, true
	case yaml.SequenceNode:
		v.kind = List
		return v, true
	}
	text, vars, offset, problem := expand(v.n.Value, d.options.Lookup)
	if problem != nil {
		v.FailAt(offset, *problem)
		return v, false
	}
	v.text, v.vars, v.kind = text, vars, classify(text, quoted(v.n))
	v.hide = v.hide || secretLike(v.n.Value)
	return v, true
}

// spend counts a node that is reached through an alias, and reports once when they are too many.
func (d *Document) spend(n *yaml.Node, path string) bool {
	if d.inAlias == 0 {
		return true
	}
	d.expanded++
	if d.expanded == maxAliased+1 {
		d.add(d.spanOfNode(n), path, Mistake{Rule: RuleAliases,
			Problem: fmt.Sprintf("aliases stand for more than %d values", maxAliased), Help: "write the values out"})
		d.full = true // what follows is not looked at
	}
	return d.expanded <= maxAliased
}

// Kind returns what the value is.
func (v Value) Kind() Kind { return v.kind }

// Text returns the text of a scalar after expansion, and "" for lists and mappings. It may be a secret: show Show.
func (v Value) Text() string { return v.text }

// Label returns how messages call the value: its key.
func (v Value) Label() string { return cmp.Or(v.at.key+v.at.index, "the top level") }

// shown reports whether messages may repeat the text.
func (v Value) shown() bool { return !v.hide && len(v.vars) == 0 }

// Show returns the value for a message: quoted and cut at 64 runes. Of a secret, or of what came from the environment, it
// says only that.
func (v Value) Show() string {
	switch {
	case v.kind == List:
		return "a list"
	case v.kind == Mapping:
		return "a mapping"
	case len(v.vars) > 0:
		return "the value of ${" + v.vars[0] + "}"
	case v.hide:
		return "what is there"
	case v.kind == Null:
		return "nothing"
	case v.kind == Text:
		return quote(v.text)
	}
	return strings.Trim(quote(v.text), `"`)
}

// Fail reports a mistake at the value.
func (v Value) Fail(m Mistake) {
	at := v.d.spanOfNode(v.n)
	if !inline(v.n) {
		at = v.d.spanOf(v.at.path)
	}
	at.hide = v.hide && inline(v.n)
	v.d.add(at, v.at.path, m)
}

// Warn reports a warning at the value.
func (v Value) Warn(m Mistake) {
	at := v.d.spanOfNode(v.n)
	at.hide = v.hide
	v.d.warn(at, v.at.path, m)
}

// FailAt reports a mistake at a byte of the text as it stands in the document. If the text is written with escapes or over
// several lines, or is expanded before that byte, it is reported at its beginning.
func (v Value) FailAt(offset int, m Mistake) {
	at := v.d.spanOfNode(v.n)
	begin := at.column
	if quoted(v.n) {
		begin++
	}
	if v.hide || offset > len(v.n.Value) || !strings.HasPrefix(from(v.d.line(at.line), begin), v.n.Value) {
		v.Fail(m)
		return
	}
	at.column, at.width = begin+utf8.RuneCountInString(v.n.Value[:offset]), 1
	v.d.add(v.d.inFile(at), v.at.path, m)
}

// fail reports a mistake at the value.
func (v Value) fail(rule Rule, problem, help string) {
	v.Fail(Mistake{Rule: rule, Problem: problem, Help: help})
}

// wants reports a wrong type with what would help.
func (v Value) wants(what string) {
	help := ""
	switch {
	case v.kind == Null && len(v.vars) > 0:
		help = "put it in quotes if the empty text is meant"
	case v.kind == Null:
		help = "leave the key out to get the default"
	case what == "a text" && v.kind < Text && v.shown():
		help = fmt.Sprintf("quote it: %q", v.text)
	case what == "a text" && v.kind < Text:
		help = `put it in quotes: "${` + strings.Join(v.vars[:min(1, len(v.vars))], "") + `}"`
	case what == "a list" && v.kind == Text && v.shown():
		help = "a list of one is written [" + quote(v.text) + "]"
	case v.kind == Text && classify(v.text, false) != Text && v.shown():
		help = "leave the quotes out"
	}
	v.wantsHelp(what, help)
}

// wantsHelp is wants with a given help.
func (v Value) wantsHelp(what, help string) { v.wantsNote(what, "", help) }

// wantsNote is wantsHelp with more behind what is there.
func (v Value) wantsNote(what, note, help string) {
	there := v.Show()
	if v.kind == Text && v.shown() {
		there = "the text " + there
	}
	v.fail(RuleType, fmt.Sprintf("%s must be %s, not %s%s", v.Label(), what, there, note), help)
}

// Decode decodes the value into what into points to, as if it were a field's.
func (v Value) Decode(into any) { v.d.decode(v.n, reflect.ValueOf(into).Elem(), v.at) }
