// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Reference returns Markdown that describes the document which Decode accepts for example: a table for each mapping, from
// the same tags and defaults as Schema.
func Reference(o Options, example any) string {
	r := reference{Options: o, seen: map[string]bool{}}
	r.table("", reflect.ValueOf(example).Elem())
	return r.String()
}

// reference is a page in the making.
type reference struct {
	Options
	strings.Builder
	seen map[string]bool // choices that are described already
}

// section is a mapping that gets a table of its own, after the one where it was met.
type section struct {
	path   string
	value  reflect.Value
	choice string
}

// table writes the table of a struct, and then those of the mappings in it.
func (r *reference) table(path string, v reflect.Value) {
	title := "The top level"
	if path != "" {
		title = "`" + path + "`"
	}
	fmt.Fprintf(r, "### %s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", title)
	var below []section
	for _, f := range fields(v.Type()) {
		field, key := v.FieldByIndex(f.Index), f.Tag.Get("yaml")
		standard := "–"
		if f.Tag.Get("required") == "true" {
			standard = "required"
		} else if d, ok := defaultOf(field); ok {
			standard = code(fmt.Sprint(d))
		}
		kind, more := r.describe(field, f.Tag, strings.TrimPrefix(path+"."+key, "."))
		fmt.Fprintf(r, "| `%s` | %s | %s | %s |\n", key, kind, standard, cell(f.Tag.Get("doc")))
		if more != nil {
			below = append(below, *more)
		}
	}
	r.WriteString("\n")
	for _, s := range below {
		if s.choice == "" {
			r.table(s.path, s.value)
		} else if !r.seen[s.choice] {
			r.choice(s)
		}
	}
}

// choice writes the kinds of a OneOf, each with its table.
func (r *reference) choice(s section) {
	r.seen[s.choice] = true
	kinds := r.Choices[s.choice].Kinds
	names := slices.Sorted(maps.Keys(kinds))
	fmt.Fprintf(r, "### `%s`\n\nOne of", s.path)
	for i, name := range names {
		fmt.Fprintf(r, "%s `%s`", strings.Repeat(",", min(i, 1)), name)
	}
	r.WriteString(".\n\n")
	for _, name := range names {
		if config := options(kinds[name]); config != nil {
			r.table(s.path+"."+name, reflect.ValueOf(config).Elem())
		}
	}
}

// describe names the type of a value, and returns the section that describes it further.
func (r *reference) describe(v reflect.Value, tag reflect.StructTag, path string) (string, *section) {
	if c, ok := v.Addr().Interface().(Custom); ok {
		title, _ := c.Schema()["title"].(string)
		return cell(title), nil
	}
	if names := tag.Get("enum"); names != "" {
		return "`" + strings.ReplaceAll(names, ",", "` `") + "`", nil
	}
	switch v.Type() {
	case oneOfType:
		what := tag.Get("choice")
		if r.Choices[what].Bare {
			return "the name of a " + what + ", or a mapping with that one key", &section{path: path, choice: what}
		}
		return "a mapping with one key, the kind of " + what, &section{path: path, choice: what}
	case durationType:
		return "duration", nil
	}
	switch v.Kind() {
	case reflect.Slice:
		of, more := r.describe(fresh(v.Type().Elem()).Elem(), tag, path+"[]")
		return "list: " + of, more
	case reflect.Map:
		of, more := r.describe(fresh(v.Type().Elem()).Elem(), tag, path+".NAME")
		return "mapping of names: " + of, more
	case reflect.Struct:
		return "mapping", &section{path: path, value: v}
	case reflect.Pointer:
		return r.describe(fresh(v.Type().Elem()).Elem(), tag, path)
	case reflect.Interface:
		if tag.Get("pattern") != "" {
			return "text or number", nil
		}
		return "any value", nil
	case reflect.String:
		return "text", nil
	case reflect.Bool:
		return "`true` `false`", nil
	}
	return "number", nil
}

// code sets a default in code style; the empty text as a pair of quotes.
func code(text string) string {
	if text == "" {
		text = `""`
	}
	return "`" + cell(text) + "`"
}

// cell makes a text fit into a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
