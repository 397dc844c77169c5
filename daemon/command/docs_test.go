// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

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
	for end := time.Now().Add(time.Minute); l.State().Generation == 0; time.Sleep(time.Millisecond) {
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
	for end := time.Now().Add(time.Minute); len(shown) < len(documented) && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
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
