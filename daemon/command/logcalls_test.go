// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// loggers are the folders whose code logs, with the areas that their lines belong to.
var loggers = map[string][]string{
	"..":                      {"token", "daemon"},
	"../notify":               {"notify"},
	"../status":               {"status"},
	".":                       {"daemon", "config"},
	"../../watcher":           {"watcher"},
	"../../watcher/logpolicy": {"policy", "token", "log"},
}

// logCalls finds what the code logs. A function that takes a message as a parameter and logs it counts as a way to log:
// what its callers give it is looked at instead.
type logCalls struct {
	t       *testing.T
	set     *token.FileSet
	files   map[string][]*ast.File // by folder
	through map[string]int         // "folder function", or "function" if exported: which argument is the message
	found   map[string][]logCall   // by folder
}

// logCall is one call.
type logCall struct {
	message, level string // level is "" if the code works it out
	fields         []string
	at             token.Position
}

func readLogCalls(t *testing.T) *logCalls {
	t.Helper()
	c := &logCalls{t: t, set: token.NewFileSet(), files: map[string][]*ast.File{}, through: map[string]int{}}
	for folder := range loggers {
		names, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(c.set, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			c.files[folder] = append(c.files[folder], file)
		}
	}
	for known := -1; known < len(c.through); { // until no further function turns out to be a way to log
		known = len(c.through)
		c.found = map[string][]logCall{}
		for folder, files := range c.files {
			for _, file := range files {
				for _, d := range file.Decls {
					if f, ok := d.(*ast.FuncDecl); ok {
						c.function(folder, f)
					}
				}
			}
		}
	}
	return c
}

// function collects what one function logs.
func (c *logCalls) function(folder string, f *ast.FuncDecl) {
	ast.Inspect(f, func(n ast.Node) bool {
		message, level := c.message(folder, n)
		if message == nil {
			return true
		}
		call := logCall{level: level, fields: zapFields(n), at: c.set.Position(n.Pos())}
		switch m := message.(type) {
		case *ast.BasicLit:
			call.message, _ = strconv.Unquote(m.Value)
			c.found[folder] = append(c.found[folder], call)
			return true
		case *ast.Ident:
			if i := slices.Index(parameters(f), m.Name); i >= 0 {
				key := f.Name.Name
				if !f.Name.IsExported() {
					key = folder + " " + key
				}
				c.through[key] = i
				return true
			}
		}
		c.t.Errorf("%v: the message is not constant", call.at)
		return true
	})
}

func parameters(f *ast.FuncDecl) (names []string) {
	for _, p := range f.Type.Params.List {
		for _, n := range p.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

// message returns the message of a node that logs, or nil, and its level, if that is plain to see.
func (c *logCalls) message(folder string, n ast.Node) (message ast.Expr, level string) {
	switch n := n.(type) {
	case *ast.CompositeLit:
		switch lastName(n.Type) {
		case "Entry": // of zapcore
			return element(n, "Message", -1), ""
		case "outcome":
			if strings.HasSuffix(folder, "logpolicy") {
				return element(n, "message", 1), levelIn(n.Elts)
			}
		}
	case *ast.CallExpr:
		name, at := lastName(n.Fun), -1
		byLogger := false
		if s, ok := n.Fun.(*ast.SelectorExpr); ok {
			byLogger = slices.Contains([]string{"log", "Log", "Logger", "Named", "With", "root"}, lastName(s.X))
		}
		switch name {
		case "Debug", "Info", "Warn", "Error", "DPanic", "Panic", "Fatal":
			if byLogger || len(n.Args) > 0 && isText(n.Args[0]) {
				at, level = 0, strings.Replace(strings.ToUpper(name), "WARN", "WARNING", 1)
			}
		case "Log", "Check":
			if byLogger {
				at = 1
			}
		case "Sugar":
			c.t.Errorf("%v: a sugared logger has no fields to look at", c.set.Position(n.Pos()))
		default:
			if i, ok := c.through[folder+" "+name]; ok {
				at, level = i, levelIn(n.Args)
			} else if i, ok := c.through[name]; ok {
				at, level = i, levelIn(n.Args)
			}
		}
		if at >= 0 && at < len(n.Args) {
			return n.Args[at], level
		}
	}
	return nil, ""
}

// lastName returns the name that an expression ends in: log for q.log().
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		return lastName(e.Fun)
	}
	return ""
}

// element returns the value of a field in a literal, by its name or its place.
func element(c *ast.CompositeLit, name string, at int) ast.Expr {
	for i, e := range c.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); !ok && i == at {
			return e
		} else if ok && lastName(kv.Key) == name {
			return kv.Value
		}
	}
	return nil
}

// levelIn returns the level constant among expressions.
func levelIn(list []ast.Expr) string {
	for _, e := range list {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			e = kv.Value
		}
		if id, ok := e.(*ast.Ident); ok && slices.Contains([]string{"Debug", "Info", "Warning", "Error", "Critical"}, id.Name) {
			return strings.ToUpper(id.Name)
		}
	}
	return ""
}

func isText(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	return ok && lit.Kind == token.STRING
}

// zapFields returns the names of the fields that are made within a node.
func zapFields(n ast.Node) (names []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		s, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || lastName(s.X) != "zap" {
			return true
		}
		if s.Sel.Name == "Error" {
			names = append(names, "error")
		} else if isText(call.Args[0]) && s.Sel.Name != "StackSkip" { // its text is no name: the trace is a part of the line
			name, _ := strconv.Unquote(call.Args[0].(*ast.BasicLit).Value)
			names = append(names, name)
		}
		return true
	})
	return names
}
