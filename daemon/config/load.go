// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/format"
	"github.com/renewd/renewd/daemon/notify"
	"github.com/renewd/renewd/daemon/source"
)

// Loader turns the text of a configuration into a Config.
type Loader struct {
	Lookup  func(name string) (string, bool) // what ${NAME} stands for; nil: nothing is set
	Version string                           // of renewd, which sources tell their servers
}

// MaxBytes is the longest configuration that is read.
const MaxBytes = 16 << 20

// Load returns the configuration in data, or an error of type *strict.Error with all mistakes in it. name is what the
// error calls the text: a path, or the name of a variable.
func (l Loader) Load(name string, data []byte) (*Config, error) {
	f := &file{}
	o := l.options(name)
	c := checker{Document: strict.Decode(o, data, f), title: name, version: l.Version, lookup: o.Lookup, file: f}
	config := c.config()
	if err := c.Err(); err != nil {
		return nil, err
	}
	config.SHA256 = digest(data)
	for _, w := range c.Warnings() {
		config.Warnings = append(config.Warnings, Warning{Name: name, Line: w.Line, Column: w.Column, Text: w.Text})
	}
	return config, nil
}

// Asked returns where the daemon of a configuration can be asked, also if there are mistakes in the rest of it: that is
// when one wants to ask.
func (l Loader) Asked(data []byte) Status {
	f := &file{}
	strict.Decode(l.options(""), data, f)
	return Status(f.Status)
}

// Schema returns the JSON Schema of the configuration, indented and with a line end.
func (l Loader) Schema() ([]byte, error) {
	s := strict.Schema(l.options(""), &file{})
	s["title"] = "renewd configuration"
	text, err := json.MarshalIndent(s, "", "  ")
	return append(text, '\n'), err
}

// Reference returns the tables of the reference page, in Markdown.
func (l Loader) Reference() string { return strict.Reference(l.options(""), &file{}) }

// options says how the document is read.
func (l Loader) options(name string) strict.Options {
	o := strict.Options{Name: name, MaxBytes: MaxBytes, Lookup: l.Lookup}
	if o.Lookup == nil {
		o.Lookup = func(string) (string, bool) { return "", false }
	}
	sources, formats, notifiers := map[string]func() any{}, map[string]func() any{}, map[string]func() any{}
	for kind, k := range source.Kinds() {
		sources[kind] = k.Default
	}
	for kind, k := range format.Kinds() {
		formats[kind] = k.Default
	}
	for kind, k := range notify.Kinds() {
		notifiers[kind] = k.Default
	}
	o.Choices = map[string]strict.Choice{"source": {Kinds: sources}, "format": {Kinds: formats, Bare: true}, "notifier": {Kinds: notifiers}}
	return o
}

// digest returns the SHA-256 of data in hexadecimal digits.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// fingerprint returns a digest of v that does not depend on how the document wrote it.
func (c *checker) fingerprint(path string, v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		c.Report(path, strict.Mistake{Rule: strict.RuleValue, Problem: "this has no fingerprint: " + err.Error()})
	}
	return digest(text)
}

// reportAll reports what New of a kind found, with path before its fields.
func (c *checker) reportAll(path string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			c.reportAll(path, e)
		}
		return
	}
	e, ok := errors.AsType[*daemon.FieldError](err)
	if !ok {
		e = &daemon.FieldError{Problem: err.Error()}
	}
	problem := e.Problem
	if e.Field != "" {
		path, problem = path+"."+e.Field, e.Error()
	}
	c.Report(path, strict.Mistake{Rule: strict.RuleValue, Problem: problem, Help: e.Help})
}
