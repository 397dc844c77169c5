// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package documents runs the commands that docs/kubernetes.md shows, as a reader would who copies them one after the other. It
// knows nothing of what they should bring about: that they exit with 0 is what it checks.
package documents

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/renewd/renewd/e2e/kubernetes/internal/cluster"
)

// Script is what a document shows, in its order: commands, and files of which the first line is a comment with their name.
type Script struct {
	Commands []string
	files    map[string]string
}

// Read reads the document.
func Read(project string) (*Script, error) {
	data, err := os.ReadFile(filepath.Join(project, "docs", "kubernetes.md"))
	if err != nil {
		return nil, err
	}
	s := &Script{files: map[string]string{}}
	for _, m := range regexp.MustCompile("(?s)```(sh|yaml)\n(.*?)```").FindAllStringSubmatch(string(data), -1) {
		if m[1] == "yaml" {
			name, found := strings.CutPrefix(strings.SplitN(m[2], "\n", 2)[0], "# ")
			if !found {
				return nil, fmt.Errorf("this file has no name in its first line: %s", m[2])
			}
			s.files[name] = m[2]
			continue
		}
		for line := range strings.Lines(m[2]) {
			if !strings.HasPrefix(line, "helm ") && !strings.HasPrefix(line, "kubectl ") {
				return nil, fmt.Errorf("neither helm nor kubectl: %s", line)
			}
			s.Commands = append(s.Commands, strings.TrimSpace(line))
		}
	}
	if len(s.Commands) == 0 {
		return nil, errors.New("the document shows no commands")
	}
	return s, nil
}

// Write writes the files into dir.
func (s *Script) Write(dir string) error {
	for name, text := range s.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Run runs one command in dir by a shell, with the charts in the folder charts in place of the published ones. It returns
// what the command printed, also with an error.
func Run(ctx context.Context, lab *cluster.Cluster, charts, dir, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	command = strings.ReplaceAll(command, "oci://ghcr.io/renewd/charts", charts)
	shell := lab.Command(ctx, "helm")
	shell.Path = "/bin/bash"
	shell.Args = []string{"bash", "-euc", `helm() { "$PROGRAMS/helm" "$@"; }; kubectl() { "$PROGRAMS/control" kubectl "$@"; }; ` + command}
	shell.Env = append(shell.Env, "PROGRAMS="+lab.Programs)
	shell.Dir = dir
	shell.WaitDelay = time.Second
	out, err := shell.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return string(out), nil
}
