// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package schema checks manifests against the schemas of the newest Kubernetes: unknown fields, wrong types, missing fields.
// The schemas are made of the OpenAPI document in Kubernetes' own module. What a field may hold beyond its type only an API
// server knows.
package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yannh/kubeconform/pkg/validator"
)

// Module is where the OpenAPI document comes from. It is only downloaded, never built.
const Module = "k8s.io/kubernetes@v1.37.2"

// Validator checks manifests.
type Validator struct{ validator.Validator }

// New writes the schemas into dir, which the caller removes, and returns a Validator that uses them.
func New(dir string) (*Validator, error) {
	out, err := exec.Command("go", "mod", "download", "-json", Module).Output()
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", Module, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, fmt.Errorf("download %s: %w", Module, err)
	}
	document, err := os.ReadFile(filepath.Join(module.Dir, "api", "openapi-spec", "swagger.json"))
	if err != nil {
		return nil, err
	}
	if err := write(document, dir); err != nil {
		return nil, err
	}
	v, err := validator.New([]string{filepath.Join(dir, "{{.ResourceKind}}{{.KindSuffix}}.json")}, validator.Opts{Strict: true})
	return &Validator{v}, err
}

// Check returns what is wrong with the objects of a manifest. A kind that Kubernetes does not have is a mistake, but for
// those of the groups in foreign.
func (v *Validator) Check(name, manifest string, foreign ...string) error {
	var errs []error
	checked := 0
	for _, r := range v.Validate(name, readCloser{strings.NewReader(manifest)}) {
		signature, err := r.Resource.Signature()
		if err != nil || r.Status == validator.Empty {
			errs = append(errs, err)
			continue
		}
		checked++
		group, _, _ := strings.Cut(signature.Version, "/")
		if r.Status == validator.Valid || slices.Contains(foreign, group) {
			continue
		}
		errs = append(errs, fmt.Errorf("%s %s: %w", signature.Kind, signature.Name, r.Err))
	}
	if checked == 0 {
		errs = append(errs, fmt.Errorf("%s holds no object", name))
	}
	return errors.Join(errs...)
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// definition is one type of the OpenAPI document.
type definition = map[string]any

// write makes a file of each kind, under the name that kubeconform looks for: KIND-GROUP-VERSION.json, of the group its first
// label.
func write(document []byte, dir string) error {
	var swagger struct {
		Definitions map[string]definition `json:"definitions"`
	}
	if err := json.Unmarshal(document, &swagger); err != nil {
		return fmt.Errorf("the OpenAPI document: %w", err)
	}
	r := resolver{definitions: swagger.Definitions}
	for name, d := range swagger.Definitions {
		kinds, _ := d["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 {
			continue // options and lists that all groups share
		}
		kind := kinds[0].(map[string]any)
		group, _, _ := strings.Cut(kind["group"].(string), ".")
		file := strings.Join(nonEmpty(kind["kind"].(string), group, kind["version"].(string)), "-") + ".json"
		text, err := json.Marshal(r.resolve(map[string]any{"$ref": "#/definitions/" + name}, nil))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, strings.ToLower(file)), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func nonEmpty(texts ...string) (out []string) {
	for _, text := range texts {
		if text != "" {
			out = append(out, text)
		}
	}
	return out
}

// resolver writes schemas without references.
type resolver struct{ definitions map[string]definition }

// resolve returns a schema with its references inlined and no fields but those it names. path is what it is inside of: a type
// inside of itself, as in custom resource definitions, may be anything.
func (r resolver) resolve(schema definition, path []string) definition {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/definitions/")
		if slices.Contains(path, name) {
			return definition{}
		}
		if strings.HasSuffix(name, ".api.resource.Quantity") {
			return definition{"type": []string{"string", "number"}}
		}
		return r.resolve(r.definitions[name], append(path, name))
	}
	if schema["format"] == "int-or-string" {
		return definition{"type": []string{"string", "integer"}}
	}
	out := definition{}
	for _, key := range []string{"type", "required", "enum"} {
		if value, ok := schema[key]; ok {
			out[key] = value
		}
	}
	if items, ok := schema["items"].(definition); ok {
		out["items"] = r.resolve(items, path)
	}
	if more, ok := schema["additionalProperties"].(definition); ok {
		out["additionalProperties"] = r.resolve(more, path)
	}
	if properties, ok := schema["properties"].(definition); ok {
		resolved := definition{}
		for name, p := range properties {
			resolved[name] = r.resolve(p.(definition), path)
		}
		out["properties"], out["additionalProperties"] = resolved, false
	}
	return out
}
