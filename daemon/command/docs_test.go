// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

// loggers are the folders whose code logs, with the areas that their lines belong to.
var loggers = map[string][]string{
	"..":                      {"token", "daemon"},
	"../notify":               {"notify"},
	"../status":               {"status"},
	".":                       {"daemon", "config"},
	"../../watcher":           {"watcher"},
	"../../watcher/logpolicy": {"policy", "token"},
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

// documentedLine is a row of docs/logs.md.
type documentedLine struct {
	area, level string
	fields      []string
	found       bool
}

func documentedLines(t *testing.T) map[string]*documentedLine {
	t.Helper()
	lines := map[string]*documentedLine{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([a-z]+)(?:\\.NAME)?` \\| ([^|]+) \\| ([^|]*)\\| ([^|]+) \\|$")
	for _, m := range row.FindAllStringSubmatch(readPage(t, "logs"), -1) {
		if lines[m[1]] != nil {
			t.Errorf("docs/logs.md has %q twice", m[1])
		}
		lines[m[1]] = &documentedLine{area: m[2], level: m[3], fields: strings.Fields(strings.ReplaceAll(m[4], "`", ""))}
	}
	return lines
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name + ".md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What is logged is an interface: docs/logs.md has every message, and no other, with its area, level and fields.
func TestLogsAreDocumented(t *testing.T) {
	lines, calls := documentedLines(t), readLogCalls(t)
	for folder, list := range calls.found {
		fields := map[string]bool{}
		for _, call := range list {
			if call.message != strings.ToLower(call.message) || call.message == "" {
				t.Errorf("%v: the message %q is not in lower case", call.at, call.message)
			}
			line := lines[call.message]
			if line == nil {
				t.Errorf("%v: docs/logs.md does not have %q", call.at, call.message)
				continue
			}
			line.found = true
			if !slices.Contains(loggers[folder], line.area) {
				t.Errorf("%v: docs/logs.md has %q in the area %s", call.at, call.message, line.area)
			}
			if !strings.Contains(line.level, call.level) {
				t.Errorf("%v: docs/logs.md has %q at %s", call.at, call.message, line.level)
			}
			for _, f := range call.fields {
				if !slices.Contains(line.fields, f) {
					t.Errorf("%v: docs/logs.md has %q without the field %s", call.at, call.message, f)
				}
			}
			for _, f := range line.fields {
				fields[f] = true
			}
		}
		var made []string
		for _, file := range calls.files[folder] {
			made = append(made, zapFields(file)...)
		}
		made = slices.Compact(slices.Sorted(slices.Values(made)))
		if documented := slices.Sorted(maps.Keys(fields)); !slices.Equal(made, documented) {
			t.Errorf("%s logs the fields\n%q\nand docs/logs.md has for its lines\n%q", folder, made, documented)
		}
	}
	for message, line := range lines {
		if !line.found {
			t.Errorf("docs/logs.md has %q, which nothing logs", message)
		}
	}
	if len(calls.found) != len(loggers) {
		t.Errorf("of %d folders only %d log", len(loggers), len(calls.found))
	}
}

// The page of the log policy names the areas that there are, in the words of the program, and each of them has lines.
func TestAreasAreDocumented(t *testing.T) {
	var rows strings.Builder
	for _, a := range areas() {
		fmt.Fprintf(&rows, "| `%s` | %s |\n", a.Name, a.Covers)
	}
	if text := readPage(t, "log-policy"); !strings.Contains(text, "| area | covers |\n|---|---|\n"+rows.String()+"\n") {
		t.Errorf("docs/log-policy.md does not have\n%s", rows.String())
	}
	used := map[string]bool{}
	for _, line := range documentedLines(t) {
		used[line.area] = true
	}
	if len(used) != len(areas()) {
		t.Errorf("lines of %v", used)
	}
}

// full is a stream on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// runCounted runs a service, with standard error on a full disk, whose log did all that is counted.
func runCounted(t *testing.T) (address string, stop func()) {
	t.Helper()
	t.Setenv("GOGC", "100") // so that the service leaves the runtime of the tests alone
	t.Setenv("GOMAXPROCS", "2")
	dir := t.TempDir()
	policy := fmt.Sprintf("version: 1\nhandlers:\n  console: {type: stream}\n  main: {type: file, path: %s, rotate: {maxSize: 64KiB}}\n", dir)
	conf := fmt.Sprintf("version: 1\ntokens: [{name: orders, source: {sign: {keyFile: %[1]s/absent}}, publish: [{file: %[1]s/token}]}]\n"+
		"status: {listen: \"127.0.0.1:0\"}\nlogPolicy: %[1]s/log-policy.yaml\n", dir)
	if err := os.WriteFile(dir+"/log-policy.yaml", []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{stdout: io.Discard, stderr: full{}}
	parsed, err := a.parse("config.yaml", []byte(conf))
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.newLogging(&logFlags{poll: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := newService(a, l)
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.begin(ctx, &loaded{Config: parsed}); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = s.run() })
	for end := time.Now().Add(5 * time.Second); l.State().Generation == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the policy is not in force")
		}
	}
	for range 3 {
		s.log.Warn(strings.Repeat("long ", 8_000), zap.String("password", "secret"))
	}
	l.Recovered("daemon", "a panic")
	if err := l.SetLevel("token", "DEBUG", time.Minute); err != nil {
		t.Error(err)
	}
	return s.doors["tcp 127.0.0.1:0"].Addr(), func() { cancel(); running.Wait() }
}

// docs/metrics.md names every family of the log, its policy and the watcher, and no other. Package status compares the rest.
func TestLogMetricsAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`(renewd_(?:log|watch)_[a-z_]+)`").FindAllStringSubmatch(readPage(t, "metrics"), -1) {
		documented[m[1]] = true
	}
	address, stop := runCounted(t)
	defer stop()
	family := regexp.MustCompile(`(?m)^# TYPE (renewd_(?:log|watch)_\S+)`)
	shown := map[string]bool{}
	for end := time.Now().Add(5 * time.Second); len(shown) < len(documented) && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		answer, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range family.FindAllStringSubmatch(string(text), -1) {
			shown[m[1]] = true
		}
	}
	if !maps.Equal(shown, documented) || len(shown) == 0 {
		t.Errorf("docs/metrics.md names\n%q\nand there are\n%q", slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(shown)))
	}
}
