// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

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

// TestNumbersAreThoseOfTheTables looks for each load of the text in a table of the same document.
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
	if len(inText) < 5 {
		t.Errorf("only %d loads found in the text", len(inText))
	}
	for _, n := range inText {
		if !slices.Contains(inTables, n) {
			t.Errorf("the text speaks of %s, which is in no table", n)
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
