// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

// revealed says how often each function takes a secret out of its Secret, and with that where one can be printed. Each use sends,
// signs, checks, compares or publishes it. A new one needs its line here, and a reason why its value ends in no text for people.
var revealed = map[string]int{
	"daemon/check.go Verify":                            2,
	"daemon/check.go provenExpiry":                      1,
	"daemon/check.go text":                              1,
	"daemon/format/dockerconfig.go Encode":              1,
	"daemon/format/env.go Encode":                       1,
	"daemon/format/execcredential.go Encode":            1,
	"daemon/format/header.go Encode":                    1,
	"daemon/format/json.go Encode":                      1,
	"daemon/format/netrc.go Encode":                     1,
	"daemon/format/raw.go Encode":                       1,
	"daemon/format/template.go fieldOf":                 1,
	"daemon/secret.go Digest":                           1,
	"daemon/secret.go Equal":                            2,
	"daemon/secret.go IsZero":                           1,
	"daemon/sink/directory/files.go Encode":             1,
	"daemon/source/internal/contract/contract.go token": 1,
	"daemon/source/internal/endpoint/quote.go clean":    1,
	"daemon/source/kubernetes/kubernetes.go attempt":    1,
	"daemon/source/kubernetes/kubernetes.go open":       1,
	"daemon/source/oauth2/client.go authenticate":       2,
	"daemon/source/oauth2/client.go awkward":            2,
	"daemon/source/oauth2/client.go secrets":            1,
	"daemon/source/oauth2/grant.go grant":               3,
	"daemon/source/oauth2/refresh.go digest":            1,
	"daemon/source/oauth2/refresh.go use":               1,
	"daemon/source/oauth2/state.go save":                1,
	"daemon/source/spiffe/spiffe.go token":              1,
	"daemon/source/vault/vault.go login":                1,
	"daemon/source/vault/vault.go signed":               2,
}

func TestSecretsAreRevealedOnlyWhereTheyAreUsed(t *testing.T) {
	found := map[string]int{}
	for _, root := range []string{"main.go", "daemon", "watcher"} {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				place := filepath.ToSlash(name)
				if f, ok := decl.(*ast.FuncDecl); ok {
					place += " " + f.Name.Name
				}
				ast.Inspect(decl, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Reveal" {
						found[place]++
					}
					return true
				})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if maps.Equal(found, revealed) {
		return
	}
	for place, n := range found {
		if revealed[place] != n {
			t.Errorf("%s reveals a secret %d times; %d are known", place, n, revealed[place])
		}
	}
	for place, n := range revealed {
		if found[place] == 0 {
			t.Errorf("%s reveals no secret any more; %d are in the list", place, n)
		}
	}
}
