// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package trial runs renewd with one token from a real issuer: a small configuration, the file that the token is published to,
// and a reader who looks at that file all the while. It knows nothing of the program's packages and of no issuer.
package trial

import (
	"context"
	"encoding/json"
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

// Trial is a folder with a configuration of one token, named api and published to out/token.
type Trial struct {
	Dir     string
	Secrets []string // what no output may contain

	t      *testing.T
	binary string
}

// Build builds renewd into a folder of its own and calls run with its path: the body of a TestMain.
func Build(run func(binary string) int) int {
	dir, err := os.MkdirTemp("", "renewd-trial-")
	if err == nil {
		defer os.RemoveAll(dir)
		var binary string
		if binary, err = program.Build(context.Background(), dir); err == nil {
			return run(binary)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// New writes the configuration. source is the text of the mapping below the token's source, and more that of further fields
// of the token, or nothing. DIR stands for the trial's folder in both.
func New(t *testing.T, binary, source, more string) *Trial {
	t.Helper()
	tr := &Trial{Dir: t.TempDir(), t: t, binary: binary}
	tr.Must(os.Mkdir(tr.Path("out"), 0o755))
	tr.Write("config.yaml", strings.ReplaceAll("version: 1\ntokens:\n  - name: api\n    source: "+source+"\n    "+more+
		"\n    publish: [{file: DIR/out/token}]\nstatus: {listen: \"127.0.0.1:0\"}\n", "DIR", tr.Dir))
	return tr
}

// Must fails the test if there is an error.
func (r *Trial) Must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// Path returns the path of a file in the trial's folder.
func (r *Trial) Path(name string) string { return filepath.Join(r.Dir, name) }

// Write writes a file of the trial's folder anew and renames it into place.
func (r *Trial) Write(name, text string) {
	r.t.Helper()
	r.Must(os.WriteFile(r.Path(".new"), []byte(text), 0o600))
	r.Must(os.Rename(r.Path(".new"), r.Path(name)))
}

// Token returns the published token.
func (r *Trial) Token() string {
	r.t.Helper()
	data, err := os.ReadFile(r.Path("out/token"))
	r.Must(err)
	return string(data)
}

// Record is what stands beside the published token.
type Record struct {
	Type                string
	IssuedAt, ExpiresAt time.Time
}

// Record returns the record of the published token.
func (r *Trial) Record() Record {
	r.t.Helper()
	text, err := os.ReadFile(r.Path("out/.token.renewd"))
	r.Must(err)
	var both struct{ Current Record }
	r.Must(json.Unmarshal(text, &both))
	return both.Current
}

// Life returns how long the published token lives, by its record.
func (r *Trial) Life() time.Duration {
	r.t.Helper()
	record := r.Record()
	return record.ExpiresAt.Sub(record.IssuedAt)
}

// Do runs a subcommand of renewd to its end, and fails the test unless it exits with the code. It returns all that was said.
func (r *Trial) Do(code int, args ...string) string {
	r.t.Helper()
	cmd := r.command(args...)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		r.t.Fatal(err)
	} else if got := cmd.ProcessState.ExitCode(); got != code {
		r.t.Fatalf("renewd %s: exit code %d, want %d (%v)\n%s", args[0], got, code, exit, out)
	}
	r.silent(string(out))
	return string(out)
}

// Run starts renewd run. It is killed at the end of the test at the latest, and its output is searched for secrets.
func (r *Trial) Run() *program.Process {
	r.t.Helper()
	p, err := program.Start(r.command("run", "--log-level", "DEBUG"), r.Path("log"))
	r.Must(err)
	r.t.Cleanup(func() {
		p.Kill()
		r.silent(p.Log())
		if r.t.Failed() {
			log := p.Log()
			r.t.Logf("renewd said (the end of it):\n%s", log[max(0, len(log)-3000):])
		}
	})
	r.Await("renewd listens", func() bool { return p.Address() != "" })
	return p
}

// command is a subcommand with none of the variables that configure renewd, and no proxy.
func (r *Trial) command(args ...string) *exec.Cmd {
	cmd := exec.Command(r.binary, append(args, "--config", r.Path("config.yaml"))...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RENEWD_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return cmd
}

// silent looks for secrets.
func (r *Trial) silent(said string) {
	r.t.Helper()
	for _, secret := range r.Secrets {
		if strings.Contains(said, secret) {
			r.t.Errorf("a secret was printed:\n%s", said)
		}
	}
}

// Await waits until something holds, and fails the test if it does not within a minute: only what is wrong takes so long.
func (r *Trial) Await(what string, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not within a minute: %s", what)
		}
	}
}
