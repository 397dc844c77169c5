// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Diff returns what differs between two policies, one change a line, with defaults filled in: comments and order do not
// count. An error is a *Rejected of the first text that is not valid.
func (s *Switch) Diff(oldName string, oldData []byte, newName string, newData []byte) ([]string, error) {
	var pair [2]*policy
	for i, text := range []source{s.source(oldName, oldData), s.source(newName, newData)} {
		p, doc := text.parse()
		if doc.Err() != nil {
			return nil, rejected(doc, "Policy is not valid.", s.hider(p))
		}
		pair[i] = p
	}
	list, hide := changes(pair[0], pair[1]), s.hider(pair[:]...)
	for i := range list {
		list[i] = hide(list[i])
	}
	return list, nil
}

// changes returns "areas.token: INFO→DEBUG" for each value that differs, sorted.
func changes(old, now *policy) []string {
	a, b := map[string]string{}, map[string]string{}
	x, y := *old, *now
	x.Handlers, y.Handlers = common("handlers.", x.Handlers, y.Handlers, a, b)
	x.Formats, y.Formats = common("formats.", x.Formats, y.Formats, a, b)
	flatten(a, "", "", reflect.ValueOf(x))
	flatten(b, "", "", reflect.ValueOf(y))
	all := maps.Clone(a)
	maps.Copy(all, b)
	var list []string
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if a[path] != b[path] {
			list = append(list, fmt.Sprintf("%s: %s→%s", path, cmp.Or(a[path], "none"), cmp.Or(b[path], "none")))
		}
	}
	return list
}

// common returns the entries of two maps that have the same name, and says of the others only that they are there.
func common[V any](prefix string, x, y map[string]V, a, b map[string]string) (both, too map[string]V) {
	both, too = maps.Clone(x), maps.Clone(y)
	for name := range x {
		if _, ok := y[name]; !ok {
			a[prefix+name] = "present"
			delete(both, name)
		}
	}
	for name := range y {
		if _, ok := x[name]; !ok {
			b[prefix+name] = "present"
			delete(too, name)
		}
	}
	return both, too
}

// flatten writes every value of v to out, by path. Keys that belong to another kind of handler or style of format are
// left out.
func flatten(out map[string]string, path, kind string, v reflect.Value) {
	if text, ok := v.Interface().(fmt.Stringer); ok && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		out[path] = text.String()
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			flatten(out, path, kind, v.Elem())
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			flatten(out, strings.TrimPrefix(path+"."+key.String(), "."), "", v.MapIndex(key))
		}
	case reflect.Slice:
		var list []string
		for i := range v.Len() {
			list = append(list, fmt.Sprint(v.Index(i).Interface()))
		}
		if list != nil {
			out[path] = "[" + strings.Join(list, ", ") + "]"
		}
	case reflect.Struct:
		for _, name := range []string{"Type", "Style"} {
			if f := v.FieldByName(name); f.IsValid() {
				kind = f.String()
			}
		}
		for f, value := range v.Fields() {
			if only := f.Tag.Get("only"); f.Tag.Get("yaml") == "" || only != "" && only != kind {
				continue
			}
			key := strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), ".")
			if v.Type() == reflect.TypeFor[area]() && f.Name == "Level" {
				key = path // the short form is the name of the level
			}
			flatten(out, key, kind, value)
		}
	default:
		if d, ok := v.Interface().(time.Duration); ok {
			out[path] = d.String()
			return
		}
		out[path] = fmt.Sprint(v.Interface())
	}
}
