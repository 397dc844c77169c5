// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package strict

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Schema returns the JSON Schema (draft 2020-12) of the document that Decode accepts for example, a pointer to a struct
// that holds the defaults. It is ready for encoding/json.
func Schema(o Options, example any) map[string]any {
	s := o.schema(reflect.ValueOf(example).Elem(), "")
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	return s
}

// schema describes one value.
func (o Options) schema(v reflect.Value, tag reflect.StructTag) map[string]any {
	if c, ok := v.Addr().Interface().(Custom); ok {
		return o.orVariable(maps.Clone(c.Schema()))
	}
	if names := tag.Get("enum"); names != "" && v.Kind() == reflect.String {
		return o.orVariable(map[string]any{"enum": strings.Split(names, ",")})
	} else if names != "" && v.CanInt() {
		return o.orVariable(map[string]any{"enum": json.RawMessage("[" + names + "]")})
	}
	switch v.Type() {
	case oneOfType:
		return o.choiceSchema(o.Choices[tag.Get("choice")])
	case durationType:
		return o.orVariable(map[string]any{"type": []string{"string", "integer"}, "maximum": 0, "minimum": 0,
			"pattern": `^(0|[0-9]+d|([0-9]+d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`})
	}
	switch v.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return o.orVariable(map[string]any{"type": "boolean"})
	case reflect.Float64:
		return o.orVariable(map[string]any{"type": "number"})
	case reflect.Slice:
		return map[string]any{"type": "array", "items": o.schema(fresh(v.Type().Elem()).Elem(), tag)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": o.schema(fresh(v.Type().Elem()).Elem(), tag)}
	case reflect.Struct:
		return o.structSchema(v)
	case reflect.Pointer:
		return o.schema(fresh(v.Type().Elem()).Elem(), tag)
	case reflect.Interface:
		if pattern := tag.Get("pattern"); pattern != "" {
			return o.orVariable(map[string]any{"type": []string{"string", "integer"}, "minimum": 1, "pattern": pattern})
		}
		return map[string]any{}
	}
	return o.orVariable(map[string]any{"type": "integer"})
}

// orVariable lets a scalar be ${NAME} as well, where variables are expanded.
func (o Options) orVariable(s map[string]any) map[string]any {
	if o.Lookup == nil {
		return s
	}
	return map[string]any{"anyOf": []any{s, map[string]any{"type": "string", "pattern": `\$\{[A-Z][A-Z0-9_]*\}`}}}
}

// structSchema describes a struct with the defaults that v holds.
func (o Options) structSchema(v reflect.Value) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range fields(v.Type()) {
		key, field := f.Tag.Get("yaml"), v.FieldByIndex(f.Index)
		p := o.schema(field, f.Tag)
		if doc := f.Tag.Get("doc"); doc != "" {
			p["description"] = doc
		}
		if f.Tag.Get("required") == "true" {
			required = append(required, key)
		} else if value, ok := defaultOf(field); ok {
			p["default"] = value
		}
		properties[key] = p
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// choiceSchema describes a OneOf.
func (o Options) choiceSchema(c Choice) map[string]any {
	properties, bare := map[string]any{}, []string{}
	for _, kind := range slices.Sorted(maps.Keys(c.Kinds)) {
		config := options(c.Kinds[kind])
		if config == nil {
			bare = append(bare, kind)
			continue
		}
		p := o.structSchema(reflect.ValueOf(config).Elem())
		if p["required"] == nil {
			bare = append(bare, kind)
		}
		properties[kind] = p
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false,
		"minProperties": 1, "maxProperties": 1}
	if !c.Bare {
		return s
	}
	return map[string]any{"anyOf": []any{o.orVariable(map[string]any{"enum": bare}), s}}
}

// defaultOf returns a scalar's value as the document would write it. Other values have no default to show.
func defaultOf(v reflect.Value) (any, bool) {
	if c, ok := v.Addr().Interface().(Custom); ok {
		return c.String(), true
	}
	if v.Type() == durationType {
		return FormatDuration(time.Duration(v.Int())), true
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
		return nil, false
	}
	return v.Interface(), true
}
