// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/e2e/internal/program"
)

// renewd is the path of the binary, which TestMain builds once.
var renewd string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	if os.Getenv(insideImage) != "" {
		return m.Run() // the image has the binary
	}
	dir, err := os.MkdirTemp("", "renewd-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		renewd, err = program.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// newKey makes a key of the test's own.
func newKey(t *testing.T, dir string) program.Key {
	t.Helper()
	key, err := program.NewKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// write writes a file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// rewrite writes a file anew and renames it into place, so that nobody reads a half.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.Rename(write(t, filepath.Dir(path), ".new", text), path); err != nil {
		t.Fatal(err)
	}
}

// run starts `renewd run` with a configuration in dir, and more arguments. It is killed at the end of the test if it still runs, and what it
// said is shown if the test failed.
func run(t *testing.T, dir, config string, more ...string) *program.Process {
	t.Helper()
	path := write(t, dir, "config.yaml", config)
	args := append([]string{"run", "--log-level", "INFO", "--config", path}, more...)
	p, err := program.Start(command(args...), filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			log := p.Log()
			t.Logf("renewd said (the end of it):\n%s", log[max(0, len(log)-2000):])
		}
	})
	return p
}

// listening waits for the process to say where it listens.
func listening(t *testing.T, p *program.Process) {
	t.Helper()
	eventually(t, func() error {
		if p.Address() == "" {
			return errors.New("renewd does not listen")
		}
		return nil
	})
}

// stop ends the process as Kubernetes does.
func stop(t *testing.T, p *program.Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

// command is a command of renewd with none of the variables that configure it.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(renewd, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RENEWD_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return cmd
}

// output runs a command to its end. A code other than 0 is an error with what the command said.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s%s", filepath.Base(cmd.Path), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// eventually asks until there is no error, and fails the test with the last one after a minute: only what is wrong takes so long.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// read returns the text of a file.
func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// exists waits for files to be there.
func exists(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		eventually(t, func() error {
			_, err := os.Stat(path)
			return err
		})
	}
}
