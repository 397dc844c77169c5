// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package strict decodes one YAML document into a Go value without bending anything: unknown and repeated keys, wrong
// types, merge keys, tags and ambiguous numbers are mistakes, all are found in one pass, and each has its file, line and
// column. The same struct tags give a JSON Schema and a reference page. It does no I/O, knows nothing of what is
// configured, and says nothing of whether a value makes sense: the caller adds such mistakes by path with
// Document.Report.
//
// A field is described by its tags: yaml:"keyFile" is its key (fields without it are ignored), doc:"one sentence",
// required:"true", enum:"HS256,HS384" the values allowed, choice:"source" the Choice of a OneOf,
// example:"127.0.0.1:80" what to write instead of a number that is no text. Targets are string,
// bool, the integers, float64, time.Duration, structs, pointers, slices, maps with string keys, OneOf, types that
// implement Custom, and any, which keeps the types of YAML: int64, json.Number beyond it, float64, bool, string, nil,
// []any and map[string]any. A field of type any with the tag pattern:"^[a-z0-9]+$" is described as a text of that form or a
// positive number; whoever decodes checks that.
//
// By convention a key that ends in "File", or is "path", holds a path; a key or a text that looks like a secret is never
// shown.
package strict

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Options says how a document is read. The same Options serve Decode, Schema and Reference.
type Options struct {
	Name     string                           // of the document in error messages: a path, or a variable's name
	MaxBytes int                              // a longer document is refused before it is parsed; 0 refuses every document
	MaxMarks int                              // the characters , : [ { and line ends that a document may hold; 0: about a million
	Lookup   func(name string) (string, bool) // what ${NAME} stands for; nil: it has no meaning and stays as it is
	Choices  map[string]Choice                // by the choice tag of OneOf fields
	Code     func(Rule) string                // shown as error[CODE]; nil, or an empty answer, shows none
	Open     func(key string) bool            // keys that hold no secret, whatever their names look like; nil: none
}

// Choice is a mapping with exactly one key, which says the kind.
type Choice struct {
	Kinds map[string]func() any // by name: returns a pointer to a struct that holds the defaults; nil: no options
	Bare  bool                  // the name alone is accepted too, and is the only form of a kind without options
}

// OneOf is the decoded form of a Choice. The field needs a choice tag; in a slice or map the tag holds for the elements.
type OneOf struct {
	Kind   string
	Config any // what Choice.Kinds returned, filled in; nil for a kind without options
}

// Defaulter is implemented by a pointer to a struct whose zero value is not its default. Default is called on a zero
// value that decoding makes for an element of a slice or map or behind a pointer, before the document is applied.
type Defaulter interface{ Default() }

// Custom is implemented by a pointer to a type that decodes itself.
type Custom interface {
	// DecodeValue sets the receiver from v and reports mistakes with v.Fail. It is called once for each place where
	// the document writes the value, also if the value is null.
	DecodeValue(v Value)
	// Schema returns the JSON Schema of the type. Its title is the type's name in the reference.
	Schema() map[string]any
	// String returns the value as the document would write it.
	String() string
}

// Document is a decoded document: its mistakes and the places of its values. It is not safe for concurrent use.
type Document struct {
	options  Options
	data     []byte
	lines    []string        // of data; filled at the first mistake
	masks    map[int]mask    // of the lines shown, by number
	target   reflect.Type    // of what is decoded into
	mappings map[string]bool // keys that may stand, and whether for a mapping; filled at the first need
	strange  map[int]int     // the columns at which the values of unknown keys begin, by line
	root     *yaml.Node
	members  map[*yaml.Node]map[string]int // where the keys of a mapping stand; filled at the first need
	problems []Problem
	warnings []Problem
	full     bool
	inAlias  int
	expanded int
}

const (
	maxAliased  = 100  // nodes reached through aliases, in the whole document
	maxDepth    = 64   // of flow collections, and of block collections
	maxProblems = 1000 // reported for one document
	maxLine     = 4096 // bytes; a longer line is not shown
)

// Decode applies the document data to what into points to, which holds the defaults. Mistakes are in the Document: into
// may be used only if Err returns nil. Slices and maps are replaced, not merged; empty ones become nil.
func Decode(o Options, data []byte, into any) *Document {
	d := &Document{options: o, data: data, target: reflect.TypeOf(into).Elem()}
	if root := d.load(); root != nil {
		d.root = root
		d.decode(root, reflect.ValueOf(into).Elem(), place{})
	}
	return d
}

// Report adds the mistake m at the value of path, such as "tokens[0].source.sign.ttl", or at its nearest ancestor that
// the document writes. Text that came from the environment, or that a secret key holds, is taken out of it.
func (d *Document) Report(path string, m Mistake) {
	d.add(d.spanOf(path), path, d.withoutValue(path, m))
}

// ReportKey is Report with the place of the key instead of the value.
func (d *Document) ReportKey(path string, m Mistake) {
	at := d.spanOf(path)
	if d.root != nil {
		if key, _, rest := d.find(path); key != nil && rest == "" {
			at = d.spanOfNode(key)
		}
	}
	d.add(at, path, d.withoutValue(path, m))
}

// Warn adds a warning, which is no part of Err. Everything else is as for Report.
func (d *Document) Warn(path string, m Mistake) {
	d.warn(d.spanOf(path), path, d.withoutValue(path, m))
}

func (d *Document) warn(at span, path string, m Mistake) {
	p := d.problem(at, path, m)
	p.Warning = true
	d.warnings = append(d.warnings, p)
}

// Written reports whether the document writes a value at path, be it null.
func (d *Document) Written(path string) bool {
	if d.root == nil {
		return false
	}
	_, _, rest := d.find(path)
	return rest == ""
}

// Failed reports whether a mistake is known at path or below, or the document could not be read to its end, so that a
// check of what stands there would be idle.
func (d *Document) Failed(path string) bool {
	return d.root == nil || d.full || slices.ContainsFunc(d.problems, func(p Problem) bool { return within(p.path, path) })
}

// within reports whether path is top or lies below it.
func within(path, top string) bool {
	rest, ok := strings.CutPrefix(path, top)
	return ok && (rest == "" || top == "" || rest[0] == '.' || rest[0] == '[')
}

// Position returns line and column, both counted from 1 and the column in runes, of the value at path or of its nearest
// ancestor that the document writes.
func (d *Document) Position(path string) (line, column int) {
	s := d.spanOf(path)
	return s.line, s.column
}

// Err returns nil or an *Error with all mistakes, sorted by position and each said once.
func (d *Document) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	return &Error{Problems: d.sorted(d.problems), Cut: d.full}
}

// Warnings returns the warnings, sorted by position.
func (d *Document) Warnings() []Problem { return d.sorted(d.warnings) }
