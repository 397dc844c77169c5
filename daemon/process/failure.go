// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/renewd/renewd/daemon"
)

func (c Command) failure(class daemon.Class, err error) *daemon.Failure {
	return &daemon.Failure{Class: class, Err: fmt.Errorf("command %v: %w", c, err)}
}

// notStarted tells a program that is not there, which hurrying cannot help, from a machine short of something.
func (c Command) notStarted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return c.failure(daemon.ClassUnavailable, fmt.Errorf("not started: %w", context.Cause(ctx)))
	}
	// The wrappers repeat the program's name, uncut.
	if e, ok := errors.AsType[*exec.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	f := c.failure(daemon.ClassConfig, fmt.Errorf("not started: %w", err))
	switch {
	case slices.ContainsFunc([]error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY},
		func(target error) bool { return errors.Is(err, target) }):
		f.Class = daemon.ClassUnavailable
	case errors.Is(err, exec.ErrDot):
		f.Hint = "write ./ in front of the program to run it from the working directory"
	case strings.ContainsAny(c.Args[0], " \t"):
		f.Hint = "there is no shell: write the program and each argument as elements of the list"
	case errors.Is(err, fs.ErrPermission):
		f.Hint = "the file needs the permission to execute, and its file system must not be mounted noexec"
	case errors.Is(err, syscall.ENOEXEC):
		f.Hint = "the file is no program for this machine; a script needs a first line such as #!/bin/sh"
	default:
		f.Hint = "add the program, and for a script its interpreter, to the image; renewd's own image has no shell and no tools"
	}
	return f
}

// ended describes a program that did not exit with status 0.
func (c Command) ended(err error, stderr int64) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return c.failure(daemon.ClassUnavailable, err)
	}
	if c.PassStderr {
		return c.failure(daemon.ClassUnavailable, errors.New(exit.ProcessState.String()))
	}
	return c.failure(daemon.ClassUnavailable,
		fmt.Errorf("%s, with %d bytes on standard error", exit.ProcessState.String(), stderr))
}
