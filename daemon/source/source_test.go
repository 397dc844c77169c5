// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryKindIsHeldToTheContract(t *testing.T) {
	for name := range Kinds() {
		files, err := filepath.Glob(filepath.Join(strings.ToLower(name), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var tests strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
		if !strings.Contains(tests.String(), "contract.Test(t, ") {
			t.Errorf("no test in the folder of %s calls contract.Test", name)
		}
	}
}

// A nil pointer in an interface would be taken for a source.
func TestNoKindMakesASourceOfAMistake(t *testing.T) {
	for name, kind := range Kinds() {
		// A default has none of the keys that are required.
		s, err := kind.New(kind.Default(), Context{Lookup: func(string) (string, bool) { return "", false }})
		if err == nil || s != nil {
			t.Errorf("%s: source %v, error %v", name, s, err)
		}
	}
}
