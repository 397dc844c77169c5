// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/renewd/renewd/daemon/config/strict"
)

// maxBytes is the largest file that is read.
const maxBytes = 1 << 20

// codes gives the mistakes that package strict finds the codes of the policy. The code of any other is its rule.
var codes = map[strict.Rule]string{
	strict.RuleSyntax: "LP001", strict.RuleRoot: "LP002", strict.RuleDocuments: "LP003", strict.RuleEncoding: "LP004",
	strict.RuleSize: "LP005", strict.RuleAliases: "LP006", strict.RuleMissing: "LP007", strict.RuleUnknown: "LP010",
	strict.RuleDuplicate: "LP011", strict.RuleType: "LP015", strict.RuleValue: "LP015",
}

// maxMarks bounds the memory that reading a policy takes to some 10 MiB: a pod has 32, and a policy must not end the process.
const maxMarks = 1 << 15

func options(name string) strict.Options {
	return strict.Options{Name: name, MaxBytes: maxBytes, MaxMarks: maxMarks,
		Code: func(r strict.Rule) string {
			if code, ok := codes[r]; ok {
				return code
			}
			return string(r)
		},
		Open: func(key string) bool { return key == "token" || strings.HasPrefix(key, "token.") }, // areas
	}
}

// source is a text to be read as a policy, and what is known around it.
type source struct {
	name   string
	data   []byte
	areas  []Area
	tokens []string // nil: not known
	now    time.Time
	since  time.Time // what "for" counts from

	fleeting bool // it is no file's, so that "for" begins again with each start of the process
}

// parse decodes and checks a policy. The policy may be used only if the document has no mistakes.
func (s source) parse() (*policy, *strict.Document) {
	p := newDecoded()
	c := checker{source: s, policy: p}
	c.Document = strict.Decode(options(s.name), s.data, p)
	if c.Failed("") && !c.Written("version") && c.Err() == nil {
		return p, c.Document
	}
	p.complete(!c.Written("handlers"))
	c.expressions()
	if n := len(p.Handlers); n > maxHandlers {
		c.fail("handlers", "LP021", "", "%d handlers are too many; %d are allowed", n, maxHandlers)
		return p, c.Document
	}
	c.formats()
	for _, name := range slices.Sorted(maps.Keys(p.Handlers)) {
		if h := p.Handlers[name]; c.Written("handlers." + name) {
			c.handler("handlers."+name, &h)
		}
	}
	c.distinct()
	p.places = map[string]position{}
	if c.Written("level") {
		p.places[""] = c.position("level")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Areas)) {
		c.area(name, p.Areas[name])
	}
	c.reached()
	return p, c.Document
}

// maxHandlers bounds the goroutines and open files of a policy.
const maxHandlers = 32

// checker checks the meaning of what was decoded. It says nothing where the decoder found a mistake already.
type checker struct {
	*strict.Document
	source
	policy *policy
}

func (c *checker) fail(path, code, help, form string, args ...any) {
	if !c.Failed(path) {
		c.Report(path, strict.Mistake{Rule: strict.Rule(code), Problem: fmt.Sprintf(form, args...), Help: help})
	}
}

func (c *checker) warn(path, code, form string, args ...any) {
	c.Warn(path, strict.Mistake{Rule: strict.Rule(code), Problem: fmt.Sprintf(form, args...)})
}

func (c *checker) position(path string) position {
	line, column := c.Position(path)
	return position{line, column}
}

// within checks a number against its bounds; free is allowed besides.
func within[N size | span](c *checker, path string, n, least, most, free N) {
	if n != free && (n < least || n > most) {
		key := path[strings.LastIndexByte(path, '.')+1:]
		c.fail(path, "LP021", "", "%s must be within %v and %v, not %v", key, least, most, n)
	}
}

// belongs reports the keys of a struct that are written though they belong to another kind of it.
func (c *checker) belongs(at, kind string, t reflect.Type) {
	for f := range t.Fields() {
		key := f.Tag.Get("yaml")
		if only := f.Tag.Get("only"); only != "" && only != kind && c.Written(at+"."+key) {
			c.ReportKey(at+"."+key, strict.Mistake{Rule: strict.RuleUnknown, Help: "leave it out",
				Problem: fmt.Sprintf("%s has no meaning here: it belongs to %s, not to %s", key, only, kind)})
		}
	}
}

// formats checks the formats. A format called json is JSON unless it says otherwise.
func (c *checker) formats() {
	for name, f := range c.policy.Formats {
		at := "formats." + name
		if name == "json" && !c.Written(at+".style") {
			f.Style = "json"
			c.policy.Formats[name] = f
		}
		c.belongs(at, f.Style, reflect.TypeFor[format]())
	}
}

// handler checks one handler.
func (c *checker) handler(at string, h *handler) {
	if h.Type == "" {
		return // reported by the decoder
	}
	c.belongs(at, h.Type, reflect.TypeFor[handler]())
	if _, ok := c.policy.Formats[h.Format]; !ok {
		c.fail(at+".format", "LP014", strict.Suggest(h.Format, slices.Sorted(maps.Keys(c.policy.Formats))), "unknown format %q", h.Format)
	}
	within(c, at+".maxLine", h.MaxLine, 1<<10, 64<<10, 64<<10)
	if h.Type != "file" {
		return
	}
	if !path.IsAbs(h.Path) || hasControl(h.Path) || slices.Contains(strings.Split(h.Path, "/"), "..") {
		c.fail(at+".path", "LP030", "for example /var/log/renewd", "path must be an absolute directory without .. and control characters")
	}
	if h.Name == "" || h.Name == "." || h.Name == ".." || len(h.Name) > 200 || strings.Contains(h.Name, "/") || hasControl(h.Name) {
		c.fail(at+".name", "LP030", "for example renewd.log",
			"name must be a file name of at most 200 bytes without separators and control characters")
	}
	if h.Mode&0o200 == 0 {
		c.fail(at+".mode", "LP031", `for example "0640"`, "the owner must be able to write the file")
	}
	if h.DirMode&0o300 != 0o300 {
		c.fail(at+".dirMode", "LP031", `for example "0750"`, "the owner must be able to make files in the directory")
	}
	r := h.Rotate
	within(c, at+".rotate.maxSize", r.MaxSize, 64<<10, 16<<30, 64<<10)
	within(c, at+".rotate.every", r.Every, span(time.Minute), longestSpan, 0)
	within(c, at+".rotate.maxAge", r.MaxAge, span(time.Hour), longestSpan, 0)
	if r.MaxTotal < r.MaxSize && !c.Failed(at+".rotate") {
		c.warn(at+".rotate.maxTotal", "LP203", "maxTotal %v is below maxSize %v: a full backup does not stay", r.MaxTotal, r.MaxSize)
	}
}

// reached says where lines go nowhere, and which handlers get none.
func (c *checker) reached() {
	named, byDefault := map[string]bool{}, false
	for _, a := range c.policy.Areas {
		for _, h := range a.Handlers {
			named[h] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.policy.Handlers)) {
		h := c.policy.Handlers[name]
		if byDefault = byDefault || h.ByDefault; !h.ByDefault && !named[name] && !c.Failed("handlers."+name) {
			c.warn("handlers."+name, "LP202", "the handler gets no lines: it is not a default, and no area names it")
		}
	}
	if !byDefault && !c.Failed("handlers") {
		c.warn("handlers", "LP202", "an area that names no handlers logs nowhere: none is a default")
	}
	for i, k := range c.policy.Redact.Keys {
		if len(appendFolded(nil, k)) == 0 {
			c.fail(fmt.Sprintf("redact.keys[%d]", i), "LP015", "", "%q names no field", k)
		}
	}
}

// hasControl reports whether a name holds what no name should.
func hasControl(name string) bool {
	return !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// distinct reports handlers that name one file, or what another one has beside its file. Other spellings are found when the
// files are opened.
func (c *checker) distinct() {
	first := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.policy.Handlers)) {
		h := c.policy.Handlers[name]
		if h.Type != "file" {
			continue
		}
		file := path.Join(h.Path, h.Name)
		if other, ok := first[file]; ok {
			c.ReportKey("handlers."+name, strict.Mistake{Rule: "LP103", Problem: fmt.Sprintf("handlers %s and %s lead to one file", other, name)})
		}
		first[file] = name
	}
	for _, file := range slices.Sorted(maps.Keys(first)) {
		for _, other := range slices.Sorted(maps.Keys(first)) {
			if hasBeside(file, other) {
				c.fail("handlers."+first[other]+".name", "LP103", "for example audit.log", "%.200q is a name that handler %s gives its lock or its backups",
					path.Base(other), first[file])
			}
		}
	}
}

// area checks one entry under areas.
func (c *checker) area(name string, a area) {
	at := "areas." + name
	c.places(name, at, a)
	token, isToken := strings.CutPrefix(name, "token.")
	declared := slices.ContainsFunc(c.areas, func(d Area) bool { return d.Name == name })
	switch {
	case declared:
	case !isToken || token == "":
		help := strict.Suggest(name, areaNames(c.areas))
		if name == "root" {
			help = "the level of everything is the key level at the top"
		}
		c.ReportKey(at, strict.Mistake{Rule: "LP013", Problem: fmt.Sprintf("unknown area %.70q", name), Help: help})
	case c.tokens != nil && !slices.Contains(c.tokens, token):
		c.warn(at, "LP205", "no token %.70q is configured", token)
	}
	for i, h := range a.Handlers {
		if _, ok := c.policy.Handlers[h]; !ok {
			known := slices.Sorted(maps.Keys(c.policy.Handlers))
			c.fail(fmt.Sprintf("%s.handlers[%d]", at, i), "LP014", strict.Suggest(h, known), "unknown handler %.70q", h)
		}
	}
	if a.Until != nil && a.For != nil {
		c.fail(at, "LP015", "leave one of them out", "until and for exclude each other")
	} else if a.For != nil {
		within(c, at+".for", *a.For, span(time.Second), longestSpan, span(time.Second))
	}
	if end := a.ends(c.since); !end.IsZero() && !end.After(c.now) && !c.Failed(at) {
		c.warn(at, "LP201", "the time of the entry ended at %s; it counts as not written", end.UTC().Format(time.RFC3339))
	} else if a.For != nil && c.fleeting && !c.Failed(at) {
		c.warn(at, "LP202", "without a file, for begins again with each start; write until")
	} else if a.Handlers == nil && a.Level == nil && !c.Failed(at) {
		c.warn(at, "LP202", "the entry has no effect: it has neither a level nor handlers")
	} else if a.Handlers == nil && a.Level != nil && a.Until == nil && a.For == nil && c.idle(name, a) && !c.Failed(at) {
		c.warn(at, "LP202", "the entry has no effect: the area inherits the same level")
	}
}

// places remembers where the level of an area stands.
func (c *checker) places(name, at string, a area) {
	if a.Level == nil {
		return
	}
	if c.Written(at + ".level") {
		at += ".level"
	}
	c.policy.places[name] = c.position(at)
}

// idle reports whether an area would have the same level without its entry.
func (c *checker) idle(name string, a area) bool {
	for parent := parentOf(name); parent != ""; parent = parentOf(parent) {
		if b, ok := c.policy.Areas[parent]; ok && b.Level != nil {
			return b.Until == nil && b.For == nil && *b.Level == *a.Level
		}
	}
	return c.policy.Level == *a.Level
}
