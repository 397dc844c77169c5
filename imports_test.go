// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/renewd/renewd"

// plan says which folder may import which of ours. Arrows point inward: what is above may know what is below. A source, a
// sink and a format never import another one, and daemon, watcher and logpolicy meet only in daemon/command.
//
// A name that ends in /... stands for all folders below it that have no line of their own.
var plan = map[string][]string{
	".":      {"daemon/command"},
	"daemon": {"daemon/schedule", "daemon/claims"},
	"daemon/command": {
		"daemon", "daemon/schedule", "daemon/claims", "daemon/config", "daemon/config/strict", "daemon/source", "daemon/format",
		"daemon/sink/...", "daemon/notify", "daemon/simulate", "daemon/status", "watcher", "watcher/logpolicy",
	},
	"daemon/config":        {"daemon", "daemon/schedule", "daemon/config/strict", "daemon/source", "daemon/format", "daemon/notify"},
	"daemon/config/strict": {},
	"daemon/schedule":      {},
	"daemon/claims":        {},
	"daemon/source":        {"daemon", "daemon/source/..."},
	"daemon/source/...":    {"daemon", "daemon/claims", "daemon/source/internal/..."},
	"daemon/source/exec":   {"daemon", "daemon/claims", "daemon/process", "daemon/source/internal/..."},
	"daemon/process":       {"daemon"},
	"daemon/format":        {"daemon", "daemon/claims"},
	"daemon/sink/...":      {"daemon", "daemon/sink/internal/..."},
	"daemon/notify":        {"daemon", "daemon/process"},
	"daemon/simulate":      {"daemon/schedule"},
	"daemon/status":        {},
	"docs/readers":         {},
	"watcher":              {},
	"watcher/logpolicy":    {"daemon/config/strict"},
}

// onlyIn names the folders that may import a library from outside, for libraries that are kept in one place.
var onlyIn = map[string][]string{
	"github.com/fsnotify/fsnotify":     {"watcher"},
	"github.com/golang-jwt/jwt/v5":     {"daemon/source/internal/keyfile"},
	"github.com/go-jose/go-jose/v4":    {"daemon/source/internal/keyfile"},
	"github.com/spf13/cobra":           {"daemon/command"},
	"go.yaml.in/yaml/v4":               {"daemon/config/strict"},
	"golang.org/x/net":                 {"daemon/source/spiffe"},
	"gopkg.in/natefinch/lumberjack.v2": {"watcher/logpolicy"},
}

func TestImportsFollowThePlan(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "e2e" || name != "." && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		folder := path.Dir(filepath.ToSlash(name))
		allowed, ok := lookUp(folder)
		if !ok {
			if !seen[folder] {
				t.Errorf("folder %s is not in the plan of imports_test.go: say there what it may import, and in ARCHITECTURE.md what it is for", folder)
			}
			seen[folder] = true
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			check(t, name, folder, strings.Trim(spec.Path.Value, `"`), allowed)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, name, folder, imported string, allowed []string) {
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		if !matches(ours, allowed) {
			t.Errorf("%s imports %s, which the plan does not allow.\n%s may import: %s", name, ours, folder, strings.Join(allowed, ", "))
		}
		return
	}
	for library, folders := range onlyIn {
		if (imported == library || strings.HasPrefix(imported, library+"/")) && !matches(folder, folders) {
			t.Errorf("%s imports %s, which is kept in %s", name, library, strings.Join(folders, ", "))
		}
	}
}

func lookUp(folder string) ([]string, bool) {
	if allowed, ok := plan[folder]; ok {
		return allowed, true
	}
	for pattern, allowed := range plan {
		if strings.HasSuffix(pattern, "/...") && matches(folder, []string{pattern}) {
			return allowed, true
		}
	}
	return nil, false
}

// matches reports whether the folder is one of the patterns.
func matches(folder string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		below, all := strings.CutSuffix(p, "/...")
		return folder == p || all && strings.HasPrefix(folder, below+"/")
	})
}
