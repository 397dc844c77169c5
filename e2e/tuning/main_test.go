// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/renewd/renewd/e2e/internal/program"
)

// TestPageShowsWhatTheProgramSays makes the document and its pictures anew and compares them with those in the repository.
func TestPageShowsWhatTheProgramSays(t *testing.T) {
	t.Parallel()
	module, err := program.Module()
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(t.Context(), module)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			t.Error(err)
		} else if string(got) != want {
			t.Errorf("%s is not what the program says now: cd e2e && go run ./tuning", name)
		}
	}
	committed, err := filepath.Glob(filepath.Join(module, "docs/tuning/*"))
	if err != nil || len(committed) != len(files)-1 {
		t.Errorf("docs/tuning has %q, and %d files are made: %v", committed, len(files)-1, err)
	}
}

// TestNumbersAreThoseOfTheTables looks for each load of the text, and of the comments on the chart's values, in a table of the
// document.
func TestNumbersAreThoseOfTheTables(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/tuning.md")
	if err != nil {
		t.Fatal(err)
	}
	numbers := regexp.MustCompile(`[0-9.]+×`)
	inTables, inText := []string{"1×"}, []string{} // what one is, the text itself says
	for line := range strings.Lines(string(data)) {
		found := numbers.FindAllString(line, -1)
		if strings.HasPrefix(line, "|") {
			inTables = append(inTables, found...)
		} else {
			inText = append(inText, found...)
		}
	}
	values, err := os.ReadFile("../../charts/renewd/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	inValues := numbers.FindAllString(string(values), -1)
	if len(inText) < 5 || len(inValues) < 5 {
		t.Errorf("only %d loads found in the text, %d in the values", len(inText), len(inValues))
	}
	for _, n := range append(inText, inValues...) {
		if !slices.Contains(inTables, n) {
			t.Errorf("the text speaks of %s, which is in no table", n)
		}
	}
}

// TestValuesAreThoseOfTheChart lays the values that the document shows over those of the chart: it has every one of them, and
// its schema takes what comes of it.
func TestValuesAreThoseOfTheChart(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/tuning.md")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.NewCompiler().Compile("../../charts/renewd/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := os.ReadFile("../../charts/renewd/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(token:.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) == 0 {
		t.Error("the document shows no values")
	}
	for _, block := range blocks {
		var all map[string]any
		var shown map[string]map[string]any
		if err := yaml.Unmarshal(defaults, &all); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(block[1]), &shown); err != nil {
			t.Fatal(err)
		}
		token, ok := all["token"].(map[string]any)
		if !ok {
			t.Fatalf("the chart's token is %v", all["token"])
		}
		token["audience"] = "orders" // required of everybody
		for key, value := range shown["token"] {
			if _, ok := token[key]; !ok {
				t.Errorf("the chart has no value token.%s", key)
			}
			token[key] = value
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		values, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(values); err != nil {
			t.Errorf("%s\n%v", block[1], err)
		}
	}
}

// TestPicturesAreForEverybody reads each picture as XML: it says what it shows to those who do not see it, follows the
// reader's scheme, and loads nothing.
func TestPicturesAreForEverybody(t *testing.T) {
	t.Parallel()
	pictures, err := filepath.Glob("../../docs/tuning/*.svg")
	if err != nil || len(pictures) == 0 {
		t.Fatal("no pictures", err)
	}
	for _, name := range pictures {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts, decoder, element := map[string]string{}, xml.NewDecoder(strings.NewReader(string(data))), ""
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			switch token := token.(type) {
			case xml.StartElement:
				element = token.Name.Local
				for _, a := range token.Attr {
					if strings.Contains(a.Value, "://") && a.Value != "http://www.w3.org/2000/svg" {
						t.Errorf("%s: %s refers to %s", name, element, a.Value)
					}
				}
			case xml.CharData:
				texts[element] += strings.TrimSpace(string(token))
			}
		}
		if len(texts["title"]) < 20 || len(texts["desc"]) < 80 {
			t.Errorf("%s: title %q, description %q", name, texts["title"], texts["desc"])
		}
		if style := texts["style"]; !strings.Contains(style, "prefers-color-scheme:dark") || strings.Contains(style, "url(") || strings.Contains(style, "@import") {
			t.Errorf("%s: style %q", name, style)
		}
	}
}
