// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Rule names what a mistake breaks, so that a caller can give it a code.
type Rule string

// The rules of this package. Callers may add their own.
const (
	RuleSyntax    Rule = "syntax"    // not YAML, or a part of YAML that is not accepted: tags, merge keys
	RuleRoot      Rule = "root"      // the root is not a mapping
	RuleDocuments Rule = "documents" // more than one document
	RuleEncoding  Rule = "encoding"  // not UTF-8, or a control character
	RuleSize      Rule = "size"      // too many bytes or values
	RuleAliases   Rule = "aliases"   // too many aliased nodes, or nested too deeply
	RuleUnknown   Rule = "unknown"   // unknown key, or kind of a choice
	RuleDuplicate Rule = "duplicate" // duplicate key
	RuleMissing   Rule = "missing"   // required key
	RuleType      Rule = "type"      // wrong type
	RuleValue     Rule = "value"     // none of the values allowed, malformed, or out of range
	RuleVariable  Rule = "variable"  // ${NAME} is unset or malformed
)

// Mistake says what is wrong and what would be right.
type Mistake struct {
	Rule    Rule
	Problem string // in lower case, without the position
	Help    string // may be empty
}

// Problem is a Mistake with its place.
type Problem struct {
	Name         string
	Line, Column int // from 1; the column in runes
	Rule         Rule
	Code         string // of Options.Code
	Text, Help   string
	Warning      bool

	path    string
	at      span
	excerpt string // the source line and the caret under it; may be empty
}

// String returns the problem as it is shown: position and text, source line, caret, help. It does not end in a line end.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.Name, p.Line, p.Column)
	if p.Warning {
		b.WriteString("warning")
	} else {
		b.WriteString("error")
	}
	if p.Code != "" {
		b.WriteString("[" + p.Code + "]")
	}
	b.WriteString(": " + p.Text + p.excerpt)
	if p.Help != "" {
		b.WriteString("\n  help: " + p.Help)
	}
	return b.String()
}

// Error is all mistakes of a document.
type Error struct {
	Problems []Problem // sorted by position
	Cut      bool      // there were more than are listed
}

// Error returns every problem and, on the last line, how many they are.
func (e *Error) Error() string {
	var b strings.Builder
	for _, p := range e.Problems {
		b.WriteString(p.String() + "\n")
	}
	switch {
	case e.Cut:
		fmt.Fprintf(&b, "%d errors, and more", len(e.Problems))
	case len(e.Problems) == 1:
		b.WriteString("1 error")
	default:
		fmt.Fprintf(&b, "%d errors", len(e.Problems))
	}
	return b.String()
}

// sorted returns the problems by position, without those that repeat another. The source lines come only now, when it is known
// what must not be shown of them.
func (d *Document) sorted(list []Problem) []Problem {
	list = slices.Clone(list)
	for i := range list {
		list[i].excerpt = d.excerpt(list[i].at)
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), strings.Compare(a.Text, b.Text)) < 0
	})
	return slices.CompactFunc(list, func(a, b Problem) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Text == b.Text
	})
}

// span is a place in the document and how many runes the caret marks there.
type span struct {
	line, column, width int
	hide                bool // what stands there must not be shown
}

// add records a mistake, up to maxProblems.
func (d *Document) add(at span, path string, m Mistake) {
	if len(d.problems) >= maxProblems {
		d.full = true
		return
	}
	d.problems = append(d.problems, d.problem(at, path, m))
}

// problem gives m its place. Whatever has the shape of a secret is taken out of its texts.
func (d *Document) problem(at span, path string, m Mistake) Problem {
	p := Problem{Name: d.options.Name, Line: at.line, Column: at.column, Rule: m.Rule,
		Text: redact(m.Problem), Help: redact(m.Help), path: path, at: at}
	if d.options.Code != nil {
		p.Code = d.options.Code(m.Rule)
	}
	return p
}

// spanOf returns the place of the value at path, or of its nearest ancestor that is written.
func (d *Document) spanOf(path string) span {
	if d.root == nil {
		return span{line: 1, column: 1}
	}
	key, value := d.locate(path)
	if key != nil && !inline(value) {
		return d.spanOfNode(key)
	}
	return d.spanOfNode(value)
}

// inline reports whether the value is better shown than its key: it stands in one place, and something is there.
func inline(n *yaml.Node) bool {
	if n.Kind == yaml.ScalarNode || n.Kind == yaml.AliasNode {
		return n.Value != "" || quoted(n)
	}
	return n.Style&yaml.FlowStyle != 0
}

// locate walks down path as far as the document goes, and returns the last value with its key, if it has one.
func (d *Document) locate(path string) (key, value *yaml.Node) {
	key, value, _ = d.find(path)
	return key, value
}

// find is locate; rest is what the document does not write of path.
func (d *Document) find(path string) (key, value *yaml.Node, rest string) {
	value = d.root
	for path != "" {
		n := resolve(value)
		if n.Kind == yaml.SequenceNode {
			digits, rest, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
			i, err := strconv.Atoi(digits)
			if err != nil || i < 0 || i >= len(n.Content) {
				break
			}
			key, value, path = nil, n.Content[i], strings.TrimPrefix(rest, ".")
			continue
		}
		found, ok := d.member(n, path)
		if !ok {
			break
		}
		key, value = n.Content[found], n.Content[found+1]
		path = strings.TrimPrefix(path[len(key.Value):], ".")
	}
	return key, value, path
}

// member returns where in n the key stands that path begins with. Keys may hold dots themselves: the longest that fits is meant,
// and of the same ones the first.
func (d *Document) member(n *yaml.Node, path string) (at int, ok bool) {
	if n.Kind != yaml.MappingNode {
		return 0, false
	}
	keys := d.members[n]
	if keys == nil {
		keys = make(map[string]int, len(n.Content)/2)
		for i := len(n.Content) - 2; i >= 0; i -= 2 {
			keys[n.Content[i].Value] = i
		}
		if d.members == nil {
			d.members = map[*yaml.Node]map[string]int{}
		}
		d.members[n] = keys
	}
	for end := len(path); end > 0 && !ok; end = strings.LastIndexAny(path[:end], ".[") {
		at, ok = keys[path[:end]]
	}
	return at, ok
}

// resolve returns what an alias stands for. The parser lets no alias stand for another.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// spanOfNode returns where n begins and, if it can be told, how long it is on that line.
func (d *Document) spanOfNode(n *yaml.Node) span {
	s := span{line: n.Line, column: n.Column, width: 1}
	if len(d.line(s.line)) > maxLine {
		return s // counting its runes for every mistake would take long
	}
	if s = d.inFile(s); n.Kind == yaml.ScalarNode || n.Kind == yaml.AliasNode {
		s.width = scalarWidth(from(d.line(s.line), s.column), n)
	}
	return s
}

// from returns what a line holds from a column on.
func from(line string, column int) string {
	for i := range line {
		if column--; column == 0 {
			return line[i:]
		}
	}
	return ""
}

// scalarWidth returns how many runes of text, which begins with the scalar or alias n, belong to it.
func scalarWidth(text string, n *yaml.Node) int {
	switch {
	case n.Kind == yaml.AliasNode:
		return utf8.RuneCountInString(n.Value) + 1
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(text); i++ {
			if text[i] == '\\' {
				i++
			} else if text[i] == '"' {
				return utf8.RuneCountInString(text[:i+1])
			}
		}
		return utf8.RuneCountInString(text)
	case n.Style&yaml.SingleQuotedStyle != 0:
		if i := strings.IndexByte(text[min(1, len(text)):], '\''); i >= 0 {
			return utf8.RuneCountInString(text[:i+2])
		}
		return utf8.RuneCountInString(text)
	case strings.HasPrefix(text, n.Value):
		return max(1, utf8.RuneCountInString(n.Value))
	}
	return 1
}

// spanOfOffset returns the place of a byte.
func (d *Document) spanOfOffset(offset int) span {
	before := splitLines(strings.ToValidUTF8(string(d.data[:offset]), "?"))
	return d.inFile(span{line: len(before), column: utf8.RuneCountInString(before[len(before)-1]) + 1, width: 1})
}

// inFile moves a place behind the end of the document, or of a line, to that end.
func (d *Document) inFile(s span) span {
	s.line = min(max(s.line, 1), d.count())
	s.column = min(max(s.column, 1), utf8.RuneCountInString(d.line(s.line))+1)
	return s
}

// count returns the number of lines.
func (d *Document) count() int {
	if d.lines == nil {
		d.lines = splitLines(string(d.data))
	}
	return len(d.lines)
}

// line returns a line, counted from 1, without its end.
func (d *Document) line(n int) string {
	if n > d.count() {
		return ""
	}
	return d.lines[n-1]
}

// splitLines splits at what the parser counts as a line end: also a lone CR, U+0085, U+2028 and U+2029.
func splitLines(text string) []string {
	ends := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")
	return strings.Split(ends.Replace(text), "\n")
}

// excerpt returns the source line with a caret under it, each after a line end. A caret under something hidden is
// left out, and so is everything far from it in a long line. A very long line is not shown at all.
func (d *Document) excerpt(at span) string {
	const before, most = 60, 120
	if len(d.data) == 0 || len(d.line(at.line)) > maxLine {
		return ""
	}
	m := d.masked(at.line)
	runes, hidden := []rune(m.line), m.hidden
	if at.hide && at.column <= len(runes) && (hidden < 0 || at.column-1 < hidden) {
		hidden = at.column - 1
		runes = append(runes[:hidden], []rune(hiddenText)...)
	}
	if len(runes) == 0 {
		return ""
	}
	from := 0
	if len(runes) > most {
		from = min(max(0, at.column-1-before), len(runes)-1)
		runes = runes[from:min(from+most, len(runes))]
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = ' '
		}
	}
	out := fmt.Sprintf("\n%5d | %s", at.line, string(runes))
	column := at.column - 1 - from
	if column > len(runes) || hidden >= 0 && at.column-1 >= hidden {
		return out
	}
	width := max(1, min(at.width, len(runes)-column))
	return out + "\n      | " + strings.Repeat(" ", column) + strings.Repeat("^", width)
}
