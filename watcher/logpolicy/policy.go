// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"time"

	"github.com/renewd/renewd/daemon/config/strict"
)

// policy is a decoded file. The field comments that a user needs are the doc tags. A tag only:"file" names the type or
// style that a key belongs to.
type policy struct {
	Version    versionOne          `yaml:"version" required:"true" doc:"Version of this format. Write version: 1."`
	Level      Level               `yaml:"level" doc:"Least level of a line, for areas without one of their own."`
	Areas      map[string]area     `yaml:"areas" doc:"Overrides by area; the nearest dotted ancestor wins."`
	Handlers   map[string]handler  `yaml:"handlers" doc:"Where lines go. Default: console alone, a stream to stderr."`
	Formats    map[string]format   `yaml:"formats" doc:"How lines look. text and json always exist."`
	Exceptions exceptions          `yaml:"exceptions" doc:"How errors and panics are logged."`
	Redact     redaction           `yaml:"redact" doc:"What to hide besides the built-in rules."`
	places     map[string]position // of the level of an area; "" is the root
}

// position is where a value stands in the file.
type position struct{ line, column int }

// area overrides an area's level, its handlers, or both.
type area struct {
	Level    *Level   `yaml:"level" doc:"Least level of a line."`
	Handlers []string `yaml:"handlers" doc:"The handlers that get the lines. Default: those of the nearest ancestor."`
	Until    *moment  `yaml:"until" doc:"From then on the whole entry counts as not written."`
	For      *span    `yaml:"for" doc:"The same, counted from when the file was put in place."`
}

// DecodeValue implements strict.Custom: an area is a mapping or a level alone.
func (a *area) DecodeValue(v strict.Value) {
	if v.Kind() == strict.Mapping {
		type long area // without methods, so that it is decoded by its fields
		v.Decode((*long)(a))
		return
	}
	if l := decodeLevel(v, `area "`+v.Label()+`"`, suggestLevel); l == notSet {
		fail(v, "LP012", "NOTSET is the floor of a handler, not a level", suggestLevel(""))
	} else {
		a.Level = new(l)
	}
}

// Schema implements strict.Custom.
func (a *area) Schema() map[string]any {
	type long area
	return map[string]any{"title": "a level, or a mapping with `level`, `handlers`, `until`, `for`",
		"anyOf": []any{new(Level).Schema(), strict.Schema(strict.Options{}, new(long))}}
}

// String implements strict.Custom.
func (a *area) String() string { return "" }

// handler is an output.
type handler struct {
	Type      string  `yaml:"type" required:"true" enum:"stream,file" doc:"Kind of output: stream or file."`
	Stream    string  `yaml:"stream" enum:"stderr,stdout" only:"stream" doc:"Which stream."`
	Path      string  `yaml:"path" only:"file" doc:"Directory, absolute."`
	Name      string  `yaml:"name" only:"file" doc:"Name of the file in that directory."`
	Mode      mode    `yaml:"mode" only:"file" doc:"Of the file and its backups, exact under any umask."`
	DirMode   mode    `yaml:"dirMode" only:"file" doc:"Of directories that renewd creates."`
	Level     floor   `yaml:"level" doc:"Floor on top of the area's level; NOTSET is none."`
	Format    string  `yaml:"format" doc:"A name under formats."`
	ByDefault bool    `yaml:"default" doc:"false: only the areas that name this handler write to it."`
	OnError   string  `yaml:"onError" enum:"stderr,drop" doc:"What becomes of a line that cannot be written."`
	MaxLine   size    `yaml:"maxLine" doc:"A longer line is cut and says so; 1KiB to 64KiB."`
	Rotate    *rotate `yaml:"rotate" only:"file" doc:"When the file is set aside and what stays of it."`
}

// rotate is when a file is set aside and which backups stay.
type rotate struct {
	MaxSize  size `yaml:"maxSize" doc:"Before a line that would make the file larger; 64KiB to 16GiB."`
	Every    span `yaml:"every" doc:"At each multiple of this duration in UTC, at least 1m; 0: never."`
	Keep     keep `yaml:"keep" doc:"How many backups stay, 1 to 10000; none keeps no backup."`
	MaxAge   span `yaml:"maxAge" doc:"Older backups go, 1h to 36500d; 0: no limit."`
	MaxTotal size `yaml:"maxTotal" doc:"All backups together; the oldest goes first."`
	Compress bool `yaml:"compress" doc:"Compress backups with gzip."`
}

// format is how a line looks.
type format struct {
	Style    string  `yaml:"style" enum:"percent,json" doc:"A pattern of Python's logging, or JSON."`
	Pattern  pattern `yaml:"pattern" only:"percent" doc:"Fields as %(name)s; at most 4096 bytes."`
	DateFmt  datefmt `yaml:"datefmt" only:"percent" doc:"strftime form of asctime; empty: RFC 3339 with milliseconds."`
	Fields   string  `yaml:"fields" enum:"append,omit" only:"percent" doc:"Structured fields at the end of the line as logfmt, or not at all."`
	Severity string  `yaml:"severity" enum:"otel,none" only:"json" doc:"otel adds severity_number."`
}

type exceptions struct {
	Level  Level `yaml:"level" doc:"Level of an error that ends a piece of work, unless the call says otherwise."`
	Trace  Level `yaml:"trace" doc:"Attach a stack trace from this level on; OFF: only to panics."`
	Panics Level `yaml:"panics" doc:"Level of a recovered panic."`
}

type redaction struct {
	Keys     []string     `yaml:"keys" doc:"Names of fields, in any case, also inside nested values."`
	Patterns []expression `yaml:"patterns" doc:"Regular expressions (RE2) for texts."`
}

// Default implements strict.Defaulter.
func (h *handler) Default() {
	*h = handler{Stream: "stderr", Path: "/var/log/renewd", Name: "renewd.log", Mode: 0o640, DirMode: 0o750, Level: floor(notSet),
		Format: "text", ByDefault: true, OnError: "stderr", MaxLine: 64 << 10, Rotate: new(rotate)}
	h.Rotate.Default()
}

// Default implements strict.Defaulter.
func (r *rotate) Default() { *r = rotate{MaxSize: 10 << 20, Keep: 5, MaxTotal: 100 << 20} }

// Default implements strict.Defaulter.
func (f *format) Default() {
	*f = format{Style: "percent", Pattern: standardPattern(), Fields: "append", Severity: "otel"}
}

// newPolicy returns the built-in policy: WARNING, stderr, text.
func newPolicy() *policy {
	p := &policy{Level: Warning, Exceptions: exceptions{Level: Error, Trace: Critical, Panics: Critical}}
	p.complete(true)
	return p
}

// complete adds the handler and the formats that exist without being written.
func (p *policy) complete(console bool) {
	if console {
		h := handler{}
		h.Default()
		h.Type = "stream"
		p.Handlers = map[string]handler{"console": h}
	}
	if p.Formats == nil {
		p.Formats = map[string]format{}
	}
	for name, style := range map[string]string{"text": "percent", "json": "json"} {
		if _, ok := p.Formats[name]; !ok {
			f := format{}
			f.Default()
			f.Style = style
			p.Formats[name] = f
		}
	}
}

// ends returns when an entry ends; since is what "for" counts from. The zero time is never.
func (a *area) ends(since time.Time) time.Time {
	switch {
	case a.Until != nil:
		return a.Until.Time
	case a.For != nil:
		return since.Add(time.Duration(*a.For))
	}
	return time.Time{}
}

// Schema returns the JSON Schema (draft 2020-12) of the log policy, ready for encoding/json.
func Schema() map[string]any { return strict.Schema(options(""), newDecoded()) }

// Reference returns the Markdown reference of the log policy: every key with its default and meaning.
func Reference() string { return strict.Reference(options(""), newDecoded()) }

// newDecoded returns what a file is decoded onto: only what holds for every file.
func newDecoded() *policy { return &policy{Level: Warning, Exceptions: newPolicy().Exceptions} }
