// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Command tuning makes the pictures and the tables of docs/tuning.md: it runs `renewd simulate` and `renewd plan`, and
// writes what they said to docs/tuning/*.svg and between the marks of the document. Equal programs give equal files.
//
//	cd e2e && go run ./tuning
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/renewd/renewd/e2e/internal/program"
)

func main() {
	if err := write(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "tuning:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context) error {
	module, err := program.Module()
	if err != nil {
		return err
	}
	files, err := generate(ctx, module)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(module, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the document and its pictures, by their paths below the module.
func generate(ctx context.Context, module string) (map[string]string, error) {
	dir, err := os.MkdirTemp("", "renewd-tuning-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binary, err := program.Build(ctx, dir)
	if err != nil {
		return nil, err
	}
	s := &study{ctx: ctx, binary: binary, dir: dir, known: map[string][]answer{}}
	pictures := s.pictures()
	tables := s.tables()
	if s.err != nil {
		return nil, s.err
	}
	const document = "docs/tuning.md"
	text, err := os.ReadFile(filepath.Join(module, document))
	if err != nil {
		return nil, err
	}
	pictures[document], err = fill(string(text), tables)
	return pictures, err
}
