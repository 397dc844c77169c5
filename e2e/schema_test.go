// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/renewd/renewd/e2e/internal/program"
)

// configSchema compiles what `renewd schema config` prints.
func configSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := output(command("schema", "config"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// conforms validates a YAML text as an editor does: it sees the document before variables are expanded.
func conforms(schema *jsonschema.Schema, text string) error {
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return err
	}
	asJSON, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return err
	}
	return schema.Validate(instance)
}

// mistake is how check reports what is wrong in the text, apart from what is wrong behind a path: keys and directories of
// the examples are not there.
var mistake = regexp.MustCompile(`(?m)^RENEWD_CONFIG_YAML:\d+:\d+: error: (.*)$`)

// checked returns the mistakes that `renewd check` finds in a text.
func checked(text string) ([]string, error) {
	cmd := command("check")
	cmd.Env = append(cmd.Env, "RENEWD_CONFIG_YAML="+text, "POD_NAMESPACE=shop", "POD_NAME=orders-0",
		"KUBERNETES_SERVICE_HOST=10.96.0.1", "KUBERNETES_SERVICE_PORT=443", "SPIFFE_ENDPOINT_SOCKET=unix:///run/spire/agent/api.sock",
		"RENEWD_TTL=20m", "RENEWD_REFRESH_INTERVAL=10m")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var mistakes []string
	for _, found := range mistake.FindAllStringSubmatch(stderr.String(), -1) {
		mistakes = append(mistakes, found[1])
	}
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return nil, err
	}
	if len(mistakes) > 0 && cmd.ProcessState.ExitCode() != 78 {
		return nil, fmt.Errorf("exit code %d for mistakes in the text", cmd.ProcessState.ExitCode())
	}
	behind := strings.Contains(stderr.String(), "renewd: token ") || strings.Contains(stderr.String(), "renewd: read log policy: ")
	if len(mistakes) == 0 && err != nil && !behind {
		return nil, fmt.Errorf("check says no and not why: %s", stderr.String())
	}
	return mistakes, nil
}

// examples returns the documented examples by name.
func examples(t *testing.T) map[string]string {
	t.Helper()
	module, err := program.Module()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(module, "docs", "examples", "*.yaml"))
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d examples, %v", len(paths), err)
	}
	texts := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(path)] = string(text)
	}
	return texts
}

func TestSchemaAcceptsExamples(t *testing.T) {
	schema := configSchema(t)
	for name, text := range examples(t) {
		t.Run(name, func(t *testing.T) {
			if err := conforms(schema, text); err != nil {
				t.Error(err)
			}
			if mistakes, err := checked(text); err != nil || len(mistakes) > 0 {
				t.Errorf("check: %q, %v", mistakes, err)
			}
		})
	}
}

func TestSchemaRefuses(t *testing.T) {
	schema := configSchema(t)
	const good = `version: 1
tokens:
  - name: orders
    source: {sign: {algorithm: ES256, keyFile: k, ttl: 30m}}
    refresh: {at: 70%-80%}
    publish: [{file: token, mode: "0600"}]
`
	if err := conforms(schema, good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"another version":           {"version: 1", "version: 2"},
		"the version as a text":     {"version: 1", `version: "1"`},
		"no version":                {"version: 1\n", ""},
		"an unknown key on top":     {"version: 1", "version: 1\ntoken: []"},
		"an unknown key in sign":    {"algorithm: ES256", "algoritm: ES256"},
		"an unknown algorithm":      {"ES256", "ES257"},
		"no key":                    {"keyFile: k, ", ""},
		"a duration without a unit": {"ttl: 30m", "ttl: 30"},
		"no duration":               {"ttl: 30m", "ttl: soon"},
		"two kinds of source":       {"source: {", "source: {file: {path: x}, "},
		"no kind of source":         {"source: {sign: {algorithm: ES256, keyFile: k, ttl: 30m}}", "source: {}"},
		"an unknown kind of source": {"source: {sign:", "source: {signs:"},
		"a bare mode":               {`mode: "0600"`, "mode: 0600"},
		"no percentage":             {"70%-80%", "70-80"},
		"a mapping for a list":      {`[{file: token, mode: "0600"}]`, "{file: token}"},
		"an unknown format":         {"file: token", "file: token, format: xml"},
		"no name":                   {"name: orders\n    ", ""},
		"a key without a value":     {"refresh: {at: 70%-80%}", "refresh:"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, c.old, c.new, 1)
			if bad == good {
				t.Fatal("nothing was changed")
			}
			if conforms(schema, bad) == nil {
				t.Error("the schema accepts it")
			}
			if mistakes, err := checked(bad); err != nil || len(mistakes) == 0 {
				t.Errorf("check: %q, %v", mistakes, err)
			}
		})
	}
}
