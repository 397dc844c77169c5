// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package exec obtains a token from the output of a command: the bare token, or an ExecCredential of Kubernetes. It runs
// no shell, and it never prints what the command printed.
package exec

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
	"github.com/renewd/renewd/daemon/process"
)

// Config is the mapping below exec. Start from Default.
type Config struct {
	Command []string          `yaml:"command" required:"true" doc:"The program and its arguments, one list element each; there is no shell."`
	Output  string            `yaml:"output" enum:"raw,execCredential" doc:"What the command prints: raw, the token and at most one line end; or execCredential, a client.authentication.k8s.io/v1 or v1beta1 ExecCredential."`
	Env     map[string]string `yaml:"env" doc:"Variables added to renewd's own environment, of which RENEWD_* is left out."`
	Stderr  string            `yaml:"stderr" enum:"discard,pass" doc:"Standard error of the command: discard, counted and dropped; or pass, written to renewd's own standard error, unread and unredacted."`
}

const (
	raw            = "raw"
	execCredential = "execCredential"
	discard        = "discard"
	pass           = "pass"
)

// Default returns the configuration that applies where the file is silent. It has no command.
func Default() Config { return Config{Output: raw, Stderr: discard} }

// Source runs the command once in each attempt. It implements daemon.Source. It does not implement daemon.Inputs: what a
// command reads is the command's business.
type Source struct {
	run        func(context.Context) ([]byte, error) // a closure, so that printing a Source cannot show arguments or environment
	credential bool
	hint       string
}

// New checks the text of c and starts nothing. Errors are joined *daemon.FieldError.
func New(c Config) (*Source, error) {
	command := process.Command{Args: c.Command, Env: maps.Clone(c.Env), PassStderr: c.Stderr == pass}
	errs := []error{command.Check()}
	if c.Output != raw && c.Output != execCredential {
		errs = append(errs, &daemon.FieldError{Field: "output", Problem: "unknown", Help: "raw or execCredential"})
	}
	if c.Stderr != discard && c.Stderr != pass {
		errs = append(errs, &daemon.FieldError{Field: "stderr", Problem: "unknown", Help: "discard or pass"})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s := &Source{credential: c.Output == execCredential}
	if s.credential {
		command.Env = withExecInfo(command.Env)
	}
	if !command.PassStderr {
		s.hint = "stderr: pass shows what the command says on standard error"
	}
	s.run = command.Run
	return s, nil
}

// Token runs the command and reads its output. It is killed with all that it started when ctx ends. Errors are a
// *daemon.Failure: ClassConfig if the command cannot be started, ClassMalformed if what it printed is no living token,
// otherwise ClassUnavailable.
func (s *Source) Token(ctx context.Context) (daemon.Token, error) {
	start := time.Now().Round(0)
	out, err := s.run(ctx)
	if err != nil {
		return daemon.Token{}, &daemon.Failure{
			Class: daemon.ClassOf(err),
			Hint:  cmp.Or(daemon.HintOf(err), s.hint),
			Err:   fmt.Errorf("run %w", err),
		}
	}
	read := readRaw
	if s.credential {
		read = readCredential
	}
	a, err := read(out, start)
	if err == nil {
		err = a.boundByClaims(start)
	}
	if err == nil {
		err = a.alive(time.Now())
	}
	if err != nil {
		return daemon.Token{}, &daemon.Failure{
			Class: daemon.ClassMalformed,
			Hint:  "run the command by hand, as the user that renewd runs as, and compare its output with the setting of output",
			Err:   fmt.Errorf("read the output of the command: %w", err),
		}
	}
	return daemon.Token{
		Value: daemon.NewSecret(a.token), Type: "Bearer", IssuedAt: start, ExpiresAt: a.expires, Notices: a.notices,
	}, nil
}

// answer is what the output of a command says.
type answer struct {
	token   string
	expires time.Time // the earliest bound; zero: none
	notices []string
}

func readRaw(out []byte, _ time.Time) (answer, error) {
	rest, ended := bytes.CutSuffix(out, []byte("\n"))
	if ended {
		rest = bytes.TrimSuffix(rest, []byte("\r")) // a carriage return alone is no line end
	}
	if len(rest) == 0 {
		return answer{}, errors.New("empty")
	}
	return answer{token: string(rest)}, nil
}

// bound makes at the expiry if it is earlier than what is known.
func (a *answer) bound(at time.Time) {
	if !at.IsZero() && (a.expires.IsZero() || at.Before(a.expires)) {
		a.expires = at
	}
}

// boundByClaims adds the exp of a token that is a JWT.
func (a *answer) boundByClaims(now time.Time) error {
	c, err := claims.Parse(a.token)
	if errors.Is(err, claims.ErrOpaque) {
		return nil
	}
	if err != nil {
		return err
	}
	expires, notice := c.Expiry(now)
	a.bound(expires)
	a.notices = append(a.notices, c.Notices...)
	if notice != "" {
		a.notices = append(a.notices, notice)
	}
	return nil
}

// alive refuses a token whose earliest bound is not in the future.
func (a *answer) alive(now time.Time) error {
	if a.expires.IsZero() || a.expires.After(now) {
		return nil
	}
	return fmt.Errorf("the token expired at %s, %s ago by this machine's clock",
		a.expires.UTC().Format(time.RFC3339), now.Sub(a.expires).Round(time.Second))
}
