// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedCommandsAreRun looks for every command of the documents in the scripts and in the gate, so that none is
// shown which nobody runs.
func TestDocumentedCommandsAreRun(t *testing.T) {
	run := commandsThatAreRun(t)
	found := 0
	for _, name := range documents(t) {
		for _, command := range documented(t, name) {
			found++
			if !isRun(command, run) {
				t.Errorf("%s shows a command that no script runs: %s", name, command)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands found in the documents", found)
	}
	if _, err := os.Stat("e2e/kubernetes/internal/documents"); err != nil {
		t.Errorf("nobody runs the commands of docs/kubernetes.md: %v", err)
	}
}

// documented returns the commands of a document: the lines of its sh blocks, and what stands as `renewd …` in a text. Those
// that docs/kubernetes.md has for helm and kubectl need a cluster: e2e/kubernetes runs that document line by line. Of the
// runbooks' what is run in a container counts; e2e/charts has kubectl itself read the rest.
func documented(t *testing.T, name string) (commands []string) {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	cluster := commandsOnACluster(t)
	inline := regexp.MustCompile("`(renewd [a-z-]+ [^`]+)`")
	block := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			if block == "" {
				block = line
			} else {
				block = ""
			}
		case cluster[line]:
		case strings.HasPrefix(name, "docs/runbooks/") && strings.HasPrefix(line, "kubectl "):
			if _, inside, found := strings.Cut(line, " -- /"); found {
				commands = append(commands, inside)
			}
		case block == "```sh" && strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#"):
			commands = append(commands, strings.TrimSpace(line))
		case block == "":
			for _, m := range inline.FindAllStringSubmatch(line, -1) {
				if m[1] == strings.ToLower(m[1]) { // capitals stand for what a reader fills in
					commands = append(commands, m[1])
				}
			}
		}
	}
	return commands
}

// commandsOnACluster returns the lines of docs/kubernetes.md for helm and kubectl.
func commandsOnACluster(t *testing.T) map[string]bool {
	data, err := os.ReadFile("docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "helm ") || strings.HasPrefix(line, "kubectl ") {
			found[strings.TrimRight(line, "\n")] = true
		}
	}
	return found
}

func commandsThatAreRun(t *testing.T) (lines []string) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	verb := regexp.MustCompile(`^(! )?(exec|until|exits [0-9]+( -nobody)?) (sh -c '(exec )?)?`)
	for _, name := range append(files, ".ci/run") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			line = verb.ReplaceAllString(line, "")
			lines = append(lines, strings.ReplaceAll(line, "go test -race ", "go test "))
		}
	}
	return lines
}

// isRun reports whether one of the lines begins with the command. In a pod the configuration comes from variables, so a
// script may name its file.
func isRun(command string, lines []string) bool {
	command = strings.Replace(command, "go run . ", "renewd ", 1)
	for _, line := range lines {
		for _, line := range []string{line, strings.Replace(line, " -c config.yaml", "", 1)} {
			if line == command || strings.HasPrefix(line, command+" ") {
				return true
			}
		}
	}
	return false
}
