// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// choose decodes a OneOf.
func (v Value) choose(into *OneOf) {
	what := v.at.tag.Get("choice")
	choice := v.d.options.Choices[what]
	names := slices.Sorted(maps.Keys(choice.Kinds))
	switch {
	case v.kind == Text && choice.Bare:
		v.bare(into, what, choice)
	case v.kind != Mapping:
		v.wantsHelp("a mapping with one key, the kind of "+what, Known(names))
	case len(v.n.Content) != 2:
		v.fail(RuleValue, fmt.Sprintf("%s must have exactly one kind of %s, not %d", v.Label(), what, len(v.n.Content)/2), Known(names))
	default:
		for _, e := range v.entries() {
			kind, ok := choice.Kinds[e.key]
			if !ok {
				e.fail(RuleUnknown, fmt.Sprintf("unknown %s %s", what, quote(e.key)), Suggest(e.key, names))
				return
			}
			into.Kind = e.key
			if into.Config = options(kind); into.Config == nil {
				e.fail(RuleUnknown, fmt.Sprintf("%s %s has no options", what, e.key), "write the name alone: "+e.key)
				return
			}
			v.d.decode(e.value, reflect.ValueOf(into.Config).Elem(), v.at.child(e.key, ""))
		}
	}
}

// bare decodes a kind that is written as its name alone.
func (v Value) bare(into *OneOf, what string, choice Choice) {
	kind, ok := choice.Kinds[v.text]
	if !ok {
		v.fail(RuleUnknown, fmt.Sprintf("unknown %s %s", what, v.Show()), v.suggest(v.text, slices.Sorted(maps.Keys(choice.Kinds))))
		return
	}
	into.Kind, into.Config = v.text, options(kind)
	if into.Config == nil {
		return
	}
	for _, f := range fields(reflect.TypeOf(into.Config).Elem()) {
		if f.Tag.Get("required") == "true" {
			v.fail(RuleMissing, fmt.Sprintf("%s %s needs options", what, v.text),
				fmt.Sprintf("write {%s: {%s: …}}", v.text, f.Tag.Get("yaml")))
			return
		}
	}
}

// options returns a new configuration of a kind, or nil.
func options(kind func() any) any {
	if kind == nil {
		return nil
	}
	return kind()
}
