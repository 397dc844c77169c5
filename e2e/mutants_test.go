// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v4"
)

// mutant is an example with one node changed.
type mutant struct{ what, text string }

// structure matches the mistakes that a schema can express, so that both must find them: unknown and absent keys and another
// type than the one that belongs there.
var structure = regexp.MustCompile(`^unknown |has no key "|must be .*, not `)

// structural reports whether a mistake is one that a schema can express. What a variable stands for it cannot know.
func structural(mistake string) bool {
	return structure.MatchString(mistake) && !strings.Contains(mistake, "the value of ${")
}

// TestSchemaAgreesWithCheck changes every node of every example in many ways. What the schema refuses check refuses, or an
// editor would underline what works. What only check refuses must be a mistake of meaning, which a schema cannot express.
func TestSchemaAgreesWithCheck(t *testing.T) {
	t.Parallel()
	schema := configSchema(t)
	var mutants []mutant
	for name, text := range examples(t) {
		mutants = append(mutants, mutantsOf(t, name, text)...)
	}
	var mu sync.Mutex
	both, neither, meaning := 0, 0, 0
	next := make(chan mutant)
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for m := range next {
				refusal := conforms(schema, m.text)
				mistakes, err := checked(m.text)
				mu.Lock()
				switch {
				case err != nil:
					t.Errorf("%s: %v", m.what, err)
				case refusal != nil && len(mistakes) > 0:
					both++
				case refusal == nil && len(mistakes) == 0:
					neither++
				case refusal != nil:
					t.Errorf("%s: only the schema refuses it: %v\n%s", m.what, refusal, m.text)
				default:
					meaning++
					for _, mistake := range mistakes {
						if structural(mistake) {
							t.Errorf("%s: only check refuses it, for a mistake that a schema can express: %s\n%s", m.what, mistake, m.text)
						}
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range mutants {
		next <- m
	}
	close(next)
	workers.Wait()
	t.Logf("%d documents: %d refused by both, %d accepted by both, %d refused by check alone", len(mutants), both, neither, meaning)
}

// mutantsOf changes each node of a document in turn.
func mutantsOf(t *testing.T, name, text string) []mutant {
	t.Helper()
	var list []mutant
	paths := pathsOf(parse(t, text), nil)
	for _, path := range paths {
		for change, mutate := range mutations() {
			doc := parse(t, text)
			changed, ok := replace(doc, path, mutate)
			if !ok {
				continue
			}
			out, err := yaml.Marshal(changed)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, mutant{name + ": " + strings.Join(path, ".") + ": " + change, string(out)})
		}
	}
	return list
}

func parse(t *testing.T, text string) any {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// remove is what a mutation returns for a node that is to go.
type remove struct{}

// mutations returns ways to change a node, by name. The second result says whether one applies to this node.
func mutations() map[string]func(old any) (any, bool) {
	value := func(v any) func(any) (any, bool) {
		return func(any) (any, bool) { return v, true }
	}
	return map[string]func(any) (any, bool){
		"removed":        value(remove{}),
		"null":           value(nil),
		"empty text":     value(""),
		"text":           value("nonsense"),
		"variable":       value("${POD_NAME}"),
		"unset":          value("${UNSET}"),
		"zero":           value(0),
		"number":         value(42),
		"negative":       value(-1),
		"fraction":       value(1.5),
		"true":           value(true),
		"duration":       value("20m"),
		"bad duration":   value("20 m"),
		"empty list":     value([]any{}),
		"list of texts":  value([]any{"a", "b"}),
		"list of maps":   value([]any{map[string]any{"a": "b"}}),
		"empty mapping":  value(map[string]any{}),
		"mapping":        value(map[string]any{"a": "b"}),
		"an unknown key": func(old any) (any, bool) { return with(old, "unknown", "x") },
		"twice": func(old any) (any, bool) {
			l, ok := old.([]any)
			return append(slices.Clone(l), l...), ok && len(l) > 0
		},
	}
}

func with(old any, key string, value any) (any, bool) {
	m, ok := old.(map[string]any)
	if !ok {
		return nil, false
	}
	m = maps.Clone(m)
	m[key] = value
	return m, true
}

// pathsOf returns the path of every node below and including v. The elements are keys and positions.
func pathsOf(v any, at []string) [][]string {
	paths := [][]string{at}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			paths = append(paths, pathsOf(v[key], append(slices.Clone(at), key))...)
		}
	case []any:
		for i := range v {
			paths = append(paths, pathsOf(v[i], append(slices.Clone(at), strconv.Itoa(i)))...)
		}
	}
	return paths
}

// replace returns v with the node at path mutated.
func replace(v any, path []string, mutate func(any) (any, bool)) (any, bool) {
	if len(path) == 0 {
		return mutate(v)
	}
	switch v := v.(type) {
	case map[string]any:
		child, ok := replace(v[path[0]], path[1:], mutate)
		if _, gone := child.(remove); gone {
			delete(v, path[0])
		} else {
			v[path[0]] = child
		}
		return v, ok
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil {
			return v, false
		}
		child, ok := replace(v[i], path[1:], mutate)
		if _, gone := child.(remove); gone {
			return slices.Delete(v, i, i+1), ok
		}
		v[i] = child
		return v, ok
	}
	return v, false
}
