// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/process"
)

// Exec is the options of exec: run a command after every write. What it prints is dropped.
type Exec struct {
	Command []string          `yaml:"command" required:"true" doc:"The program and its arguments, one list element each; there is no shell. It finds RENEWD_TOKEN_NAME, RENEWD_TOKEN_FILE and RENEWD_TOKEN_EXPIRES_AT in its environment."`
	Timeout time.Duration     `yaml:"timeout" doc:"The command and all that it started are killed after this time, at most 10m."`
	Env     map[string]string `yaml:"env" doc:"Variables added to renewd's own environment, of which RENEWD_* is left out. RENEWD_TOKEN_* cannot be set."`
}

type command struct {
	command func() process.Command // a closure, so that printing it cannot show arguments or environment
	timeout time.Duration
}

func newExec(options any) (Notifier, error) {
	o := *options.(*Exec)
	c := process.Command{Args: o.Command, Env: maps.Clone(o.Env), DropOutput: true}
	errs := []error{c.Check(), checkTimeout(o.Timeout)}
	for name := range o.Env {
		if strings.HasPrefix(name, "RENEWD_TOKEN_") {
			errs = append(errs, &daemon.FieldError{Field: "env." + name, Problem: "is set by renewd itself", Help: "choose another name"})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &command{func() process.Command { return c }, o.Timeout}, nil
}

// Notify runs the command and waits for its end.
func (c *command) Notify(ctx context.Context, n Note) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	run := c.command()
	run.Env = maps.Clone(run.Env)
	if run.Env == nil {
		run.Env = map[string]string{}
	}
	maps.Copy(run.Env, map[string]string{"RENEWD_TOKEN_NAME": n.Name, "RENEWD_TOKEN_FILE": n.Path, "RENEWD_TOKEN_EXPIRES_AT": ""})
	if !n.ExpiresAt.IsZero() {
		run.Env["RENEWD_TOKEN_EXPIRES_AT"] = n.ExpiresAt.UTC().Format(time.RFC3339)
	}
	if _, err := run.Run(ctx); err != nil {
		return fmt.Errorf("run %w", err)
	}
	return nil
}

// String returns "exec" and the program.
func (c *command) String() string { return "exec " + c.command().String() }
