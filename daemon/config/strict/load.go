// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxMarks bounds the characters that can begin or end a value, unless Options.MaxMarks does, and so the nodes that the parser
// builds: measured, it takes about 250 bytes of memory for each.
const maxMarks = 1 << 20

// load returns the root mapping of the one document in d.data, or nil after reporting why there is none.
func (d *Document) load() *yaml.Node {
	if !d.readable() {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(d.data), yaml.WithPlugin(limits{}))
	if err != nil {
		d.syntax(err)
		return nil
	}
	var first, second yaml.Node
	if err := loader.Load(&first); errors.Is(err, io.EOF) {
		d.add(span{line: 1, column: 1}, "", Mistake{Rule: RuleRoot, Problem: "the document is empty"})
		return nil
	} else if err != nil {
		d.syntax(err)
		return nil
	}
	if err := loader.Load(&second); err == nil {
		d.add(span{line: second.Line, column: second.Column, width: 3}, "",
			Mistake{Rule: RuleDocuments, Problem: "a second document begins here", Help: "only one document is read"})
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return nil
	}
	return d.mapping(first.Content[0])
}

// mapping returns n if it can be the root.
func (d *Document) mapping(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		return n
	}
	m := Mistake{Rule: RuleRoot, Problem: "the top level must be a mapping of keys to values"}
	if n.Kind == yaml.ScalarNode && classify(n.Value, quoted(n)) == Null {
		m.Problem = "the document is empty"
	}
	d.add(d.spanOfNode(n), "", m)
	return nil
}

// readable checks everything that needs no parser: size, encoding, control characters, number of values.
func (d *Document) readable() bool {
	size := len(d.data)
	d.data = bytes.TrimPrefix(d.data, []byte("\ufeff"))
	top := span{line: 1, column: 1}
	if size > d.options.MaxBytes {
		d.data = nil // an excerpt of something of this size says nothing
		d.add(top, "", Mistake{Rule: RuleSize, Problem: fmt.Sprintf("%d bytes are too many; %d are allowed", size, d.options.MaxBytes)})
		return false
	}
	marks := 0
	for i := 0; i < len(d.data); {
		r, n := utf8.DecodeRune(d.data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			d.add(d.spanOfOffset(i), "", Mistake{Rule: RuleEncoding, Problem: "not UTF-8"})
			return false
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfeff, r == 0xfffe, r == 0xffff:
			d.add(d.spanOfOffset(i), "", Mistake{Rule: RuleEncoding, Problem: fmt.Sprintf("control character %U", r),
				Help: `in a double-quoted text it can be written as an escape, such as "\x1b"`})
			return false
		case strings.ContainsRune(",:[{\n", r):
			marks++
		}
		i += n
	}
	if marks > cmp.Or(d.options.MaxMarks, maxMarks) {
		d.add(top, "", Mistake{Rule: RuleSize, Problem: "too many values"})
		return false
	}
	return true
}

// syntax reports an error of the parser. Its text is the parser's, except where that repeats the document.
func (d *Document) syntax(err error) {
	m, at := Mistake{Rule: RuleSyntax, Problem: "not valid YAML"}, span{line: 1, column: 1}
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		mark := e.Mark
		if mark.Line == 0 {
			mark = e.ContextMark
		}
		at.line, at.column = max(mark.Line, 1), max(mark.Column, 1)
		m.Problem = "not valid YAML: " + e.Message
		if e.ContextMsg != "" && e.ContextMark.Line > 0 {
			m.Problem += fmt.Sprintf(", %s that began at %d:%d", e.ContextMsg, e.ContextMark.Line, e.ContextMark.Column)
		}
		switch {
		case errors.Is(err, errDeep) || strings.Contains(e.Message, errDeep.Error()):
			m = Mistake{Rule: RuleAliases, Problem: errDeep.Error()}
		case strings.HasPrefix(e.Message, "unknown anchor"):
			m.Problem = "an alias that no anchor before it defines"
			m.Help = "quote the text if it is not an alias"
		case strings.Contains(e.Message, "cannot start any token"):
			m.Help = "quote the text; indent with spaces, not with tabs"
		case d.options.Lookup != nil && strings.Contains(d.line(min(at.line, d.count())), "${"):
			m.Help = `inside { } and [ ] a variable needs quotes: "${NAME}"`
		}
	}
	d.add(d.inFile(at), "", m)
}

var errDeep = fmt.Errorf("more than %d levels of nesting", maxDepth)

// limits is the plugin that bounds the parser. Aliases are bounded by the walk, since the parser does not expand them.
type limits struct{}

// CheckDepth refuses deep nesting.
func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errDeep
	}
	return nil
}

// CheckAlias accepts everything.
func (limits) CheckAlias(int, int) error { return nil }
