// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package outage takes renewd, as it is shipped, through a bad day in a few minutes: the issuer is down, then refuses, files
// are wrong, a directory is in the way, the process is gone. It scrapes the metrics each second and keeps what it saw, as
// time series that Prometheus' own tools read. It judges nothing.
package outage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/renewd/renewd/e2e/internal/program"
)

// Run takes the binary through the day, in dir, with tokens that live as long as told: at least five seconds, and the
// whole takes about six lives. What it returns is one scrape a second.
func Run(ctx context.Context, binary, dir string, life time.Duration) (*Recording, error) {
	d := &day{binary: binary, dir: dir, life: life, issuer: newIssuer(life)}
	defer d.issuer.Close()
	if err := d.prepare(); err != nil {
		return nil, err
	}
	if err := d.start(); err != nil {
		return nil, err
	}
	defer func() { d.process.Kill() }()
	r := &Recording{start: time.Now()}
	for _, s := range d.steps() {
		if s.begin != nil {
			if err := s.begin(); err != nil {
				return nil, fmt.Errorf("begin of %s: %w", s.name, err)
			}
		}
		end := time.Now().Add(max(time.Duration(s.lives*float64(life)), 3*time.Second))
		for time.Now().Before(end) {
			r.scrape(s.name, d.process)
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Until(r.start.Add(time.Duration(len(r.scrapes)) * time.Second))):
			}
		}
	}
	return r, nil
}

// day is the program and its surroundings.
type day struct {
	binary, dir string
	life        time.Duration
	issuer      *issuer
	process     *program.Process
}

type step struct {
	name  string
	lives float64 // how long it takes
	begin func() error
}

// steps tell the day. After the outage, before the refusal and for lines in the log somebody asks for a refresh at once;
// everything else happens by itself.
func (d *day) steps() []step {
	quietly := func(m mood) func() error {
		return func() error { d.issuer.set(m); return nil }
	}
	asked := func(m mood) func() error {
		return func() error { d.issuer.set(m); return d.process.Signal(syscall.SIGUSR1) }
	}
	return []step{
		{"healthy", 1.25, nil},
		{"outage", 1.5, quietly(down)},
		{"recovered", 1, asked(well)},
		{"refused", 0.5, asked(refusing)},
		{"accepted", 0.4, quietly(well)},
		{"unwritable", 0.25, d.block},
		{"writable", 0.4, d.unblock},
		{"wrong configuration", 0.25, func() error { return d.append("config.yaml", "nonsense: true\n") }},
		{"right configuration", 0.1, func() error { return d.write("config.yaml", d.config()) }},
		{"wrong log policy", 0.25, func() error { return d.append("policy.yaml", "nonsense: true\n") }},
		{"right log policy", 0.1, func() error { return d.write("policy.yaml", policy(d.dir)) }},
		{"log removed", 0.1, d.removeLog},
		{"log written", 0.4, asked(well)},
		{"gone", 0.25, func() error { d.process.Kill(); return nil }},
		{"back", 0.25, d.start},
	}
}

func (d *day) config() string {
	return strings.NewReplacer("DIR", d.dir, "ISSUER", d.issuer.URL, "LIFE", d.life.String()).Replace(`version: 1
tokens:
  - name: orders
    source: {oauth2: {tokenURL: ISSUER/token, clientID: orders, clientSecretFile: DIR/secret}}
    refresh: {keep: 2s}
    publish: [{file: DIR/orders}]
    notify: [{exec: {command: ["true"]}}]
  - name: reports
    source: {sign: {algorithm: ES256, keyFile: DIR/signing.pem, claims: {iss: reports}, ttl: LIFE, backdate: 0s}}
    refresh: {keep: 2s}
    publish: [{file: DIR/out/reports}]
status: {listen: "127.0.0.1:0", socket: DIR/socket}
logPolicy: DIR/policy.yaml
`)
}

func policy(dir string) string {
	return strings.ReplaceAll(`version: 1
level: INFO
areas:
  token.orders: {level: DEBUG, for: 1h}
handlers:
  console: {type: stream}
  main: {type: file, path: DIR/log, name: renewd.log}
`, "DIR", dir)
}

func (d *day) prepare() error {
	if err := os.Mkdir(filepath.Join(d.dir, "out"), 0o755); err != nil {
		return err
	}
	if _, err := program.NewKey(d.dir); err != nil {
		return err
	}
	for name, text := range map[string]string{"secret": "open sesame", "config.yaml": d.config(), "policy.yaml": policy(d.dir)} {
		if err := d.write(name, text); err != nil {
			return err
		}
	}
	return nil
}

// start starts the program and waits until it listens.
func (d *day) start() error {
	cmd := exec.Command(d.binary, "run", "--log-level", "INFO", "--config", filepath.Join(d.dir, "config.yaml"))
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "RENEWD_") })
	output := filepath.Join(d.dir, fmt.Sprintf("output-%d", time.Now().UnixNano()))
	var err error
	if d.process, err = program.Start(cmd, output); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); d.process.Address() == ""; time.Sleep(10 * time.Millisecond) {
		if d.process.Over() || time.Now().After(end) {
			d.process.Kill()
			return fmt.Errorf("renewd does not listen:\n%s", d.process.Log())
		}
	}
	return nil
}

// block puts a file in the place of the directory that reports is published to.
func (d *day) block() error {
	out := filepath.Join(d.dir, "out")
	if err := os.Rename(out, out+".away"); err != nil {
		return err
	}
	return d.write("out", "in the way")
}

func (d *day) unblock() error {
	out := filepath.Join(d.dir, "out")
	if err := os.Remove(out); err != nil {
		return err
	}
	return os.Rename(out+".away", out)
}

// removeLog removes the log file with fresh lines in it, at a moment when the program has just looked whether it is there.
func (d *day) removeLog() error {
	path := filepath.Join(d.dir, "log", "renewd.log")
	before, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := d.process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	const lines = 500 // bytes, of several lines: the first one makes it look
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if now, err := os.Stat(path); err != nil || now.Size() >= before.Size()+lines {
			break
		}
	}
	return os.Remove(path)
}

// write writes a file anew and renames it into place.
func (d *day) write(name, text string) error {
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (d *day) append(name, more string) error {
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		return err
	}
	return d.write(name, string(text)+more)
}
