// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	oneOfType    = reflect.TypeFor[OneOf]()
	customType   = reflect.TypeFor[Custom]()
)

// fields returns the fields that a document may write.
func fields(t reflect.Type) []reflect.StructField {
	var list []reflect.StructField
	for f := range t.Fields() {
		if f.Tag.Get("yaml") != "" {
			list = append(list, f)
		}
	}
	return list
}

// fresh returns a pointer to a new value with its defaults.
func fresh(t reflect.Type) reflect.Value {
	p := reflect.New(t)
	if d, ok := p.Interface().(Defaulter); ok {
		d.Default()
	}
	return p
}

// decode sets into from n.
func (d *Document) decode(n *yaml.Node, into reflect.Value, at place) {
	if n.Kind == yaml.AliasNode {
		d.inAlias++
		defer func() { d.inAlias-- }()
	}
	v, ok := d.value(n, at)
	if !ok {
		return
	}
	switch {
	case reflect.PointerTo(into.Type()).Implements(customType):
		into.Addr().Interface().(Custom).DecodeValue(v)
	case into.Type() == oneOfType:
		v.choose(into.Addr().Interface().(*OneOf))
	case into.Type() == durationType:
		v.decodeDuration(into)
	default:
		v.decodeKind(into)
	}
}

// decodeKind sets a value of a built-in kind.
func (v Value) decodeKind(into reflect.Value) {
	switch into.Kind() {
	case reflect.String:
		v.decodeString(into)
	case reflect.Bool:
		if v.kind != Bool {
			v.wants("true or false")
			return
		}
		into.SetBool(strings.EqualFold(v.text, "true"))
	case reflect.Float64:
		v.decodeFloat(into)
	case reflect.Slice:
		v.decodeSlice(into)
	case reflect.Map:
		v.decodeMap(into)
	case reflect.Struct:
		v.decodeStruct(into)
	case reflect.Pointer:
		p := fresh(into.Type().Elem())
		v.d.decode(v.n, p.Elem(), v.at)
		into.Set(p)
	case reflect.Interface:
		if a := v.any(); a != nil {
			into.Set(reflect.ValueOf(a))
		} else {
			into.SetZero()
		}
	default:
		v.decodeInt(into)
	}
}

// decodeSlice replaces a slice.
func (v Value) decodeSlice(into reflect.Value) {
	if v.kind != List {
		v.wants("a list")
		return
	}
	into.SetZero()
	for i, n := range v.n.Content {
		p := fresh(into.Type().Elem())
		v.d.decode(n, p.Elem(), v.at.element(i))
		into.Set(reflect.Append(into, p.Elem()))
	}
}

// decodeMap replaces a map.
func (v Value) decodeMap(into reflect.Value) {
	if v.kind != Mapping {
		v.wants("a mapping")
		return
	}
	into.SetZero()
	for _, e := range v.entries() {
		if into.IsNil() {
			into.Set(reflect.MakeMap(into.Type()))
		}
		p := fresh(into.Type().Elem())
		v.d.decode(e.value, p.Elem(), v.at.child(e.key, v.at.tag))
		into.SetMapIndex(reflect.ValueOf(e.key).Convert(into.Type().Key()), p.Elem())
	}
}

// decodeStruct sets the fields that are written and reports keys that are unknown or missing.
func (v Value) decodeStruct(into reflect.Value) {
	if v.kind != Mapping {
		v.wants("a mapping")
		return
	}
	byKey := map[string]reflect.StructField{}
	var names []string
	for _, f := range fields(into.Type()) {
		key := f.Tag.Get("yaml")
		byKey[key] = f
		names = append(names, key)
	}
	seen := map[string]bool{}
	for _, e := range v.entries() {
		seen[e.key] = true
		if f, ok := byKey[e.key]; ok {
			v.d.decode(e.value, into.FieldByIndex(f.Index), v.at.child(e.key, f.Tag))
			continue
		}
		where := " in " + v.at.path
		if v.at.path == "" {
			where = " at the top level"
		}
		if len(nearest(e.key, names)) == 0 {
			v.d.distrust(e.value)
		}
		e.fail(RuleUnknown, fmt.Sprintf("unknown key %s%s", quote(e.key), where), suggestKey(e.key, names))
	}
	for _, name := range names {
		if byKey[name].Tag.Get("required") == "true" && !seen[name] {
			v.d.add(v.d.spanOf(v.at.path), v.at.child(name, "").path, Mistake{Rule: RuleMissing,
				Problem: fmt.Sprintf("%s has no key %q", v.Label(), name), Help: byKey[name].Tag.Get("doc")})
		}
	}
}

// suggestKey is Suggest for keys, where the list would be long: it is given only if no key is near.
func suggestKey(key string, names []string) string {
	if near := nearest(key, names); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	return Known(names)
}

// any returns the value with the type that YAML gives it.
func (v Value) any() any {
	switch v.kind {
	case Bool:
		return strings.EqualFold(v.text, "true")
	case Number:
		n, _ := v.number()
		return n
	case Text:
		return v.text
	case List:
		list := make([]any, len(v.n.Content))
		for i, n := range v.n.Content {
			v.d.decode(n, reflect.ValueOf(&list[i]).Elem(), v.at.element(i))
		}
		return list
	case Mapping:
		m := map[string]any{}
		for _, e := range v.entries() {
			var item any
			v.d.decode(e.value, reflect.ValueOf(&item).Elem(), v.at.child(e.key, ""))
			m[e.key] = item
		}
		return m
	}
	return nil
}

// entry is one key of a mapping with its value. A mistake is reported at the key.
type entry struct {
	Value
	key   string
	value *yaml.Node
}

// entries returns the keys of a mapping that can be used, and reports the others.
func (v Value) entries() []entry {
	list := make([]entry, 0, len(v.n.Content)/2)
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(v.n.Content); i += 2 {
		n := v.n.Content[i]
		key := Value{d: v.d, n: n, at: v.at.child(n.Value, ""), kind: Text, text: n.Value}
		switch {
		case !v.d.spend(n, v.at.path):
			return list
		case n.Kind == yaml.ScalarNode && n.Value == "<<" && !quoted(n):
			key.fail(RuleSyntax, "merge keys are not accepted", "write the keys out")
		case n.Kind != yaml.ScalarNode || n.Style&yaml.TaggedStyle != 0:
			key.fail(RuleSyntax, "a key must be a plain text", "quote it")
		case classify(n.Value, quoted(n)) != Text:
			key.fail(RuleType, "a key must be a text, not "+quote(n.Value), "quote it")
		case first[n.Value] != nil:
			was := first[n.Value]
			key.fail(RuleDuplicate, fmt.Sprintf("duplicate key %s", quote(n.Value)),
				fmt.Sprintf("it is first written at %d:%d", was.Line, was.Column))
		default:
			first[n.Value] = n
			list = append(list, entry{key, n.Value, v.n.Content[i+1]})
		}
	}
	return list
}

// withoutValue takes the value at path out of a mistake if it must not be shown.
func (d *Document) withoutValue(path string, m Mistake) Mistake {
	if d.root == nil {
		return m
	}
	key, n := d.locate(path)
	if n = resolve(n); n.Kind != yaml.ScalarNode {
		return m
	}
	text, vars, _, problem := expand(n.Value, d.options.Lookup)
	if problem != nil || len(text) < 4 {
		return m
	}
	switch {
	case len(vars) > 0:
		text, vars = strings.TrimSpace(text), vars[:1]
	case key != nil && d.options.secret(key.Value):
		vars = nil
	default:
		return m
	}
	instead := hiddenText
	if len(vars) > 0 {
		instead = "${" + vars[0] + "}"
	}
	m.Problem = strings.ReplaceAll(m.Problem, text, instead)
	m.Help = strings.ReplaceAll(m.Help, text, instead)
	return m
}
