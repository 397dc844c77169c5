// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package process

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/renewd/renewd/daemon"
)

// Command is a program to run. Its fields may hold secrets: it must not be printed.
type Command struct {
	Args       []string          // the program, looked up in renewd's own PATH unless it has a slash, and its arguments
	Env        map[string]string // added to renewd's own environment less all RENEWD_*
	DropOutput bool              // standard output is not read, and not bounded
	PassStderr bool              // standard error goes to renewd's own, unread; false: it is counted and dropped
}

// Check returns what is wrong with the text of Args and Env as joined *daemon.FieldError of the fields command and env.
// It does not look for the program: that may be mounted later.
func (c Command) Check() error {
	var errs []error
	if len(c.Args) == 0 || c.Args[0] == "" {
		errs = append(errs, &daemon.FieldError{Field: "command", Problem: "the program is missing",
			Help: "a list: the program and its arguments, one element each"})
	}
	for i, arg := range c.Args {
		if strings.ContainsRune(arg, 0) {
			errs = append(errs, &daemon.FieldError{Field: fmt.Sprintf("command[%d]", i), Problem: "holds a NUL character", Help: "no argument, variable or path can have one"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			errs = append(errs, &daemon.FieldError{Field: "env", Problem: fmt.Sprintf("%.200q is no name of a variable", name), Help: "a name has at least one character and no ="})
		} else if strings.ContainsRune(c.Env[name], 0) {
			errs = append(errs, &daemon.FieldError{Field: "env." + name, Problem: "holds a NUL character", Help: "no argument, variable or path can have one"})
		}
	}
	return errors.Join(errs...)
}

// String names the program, quoted, and nothing else.
func (c Command) String() string {
	if len(c.Args) == 0 {
		return "none"
	}
	return fmt.Sprintf("%.200q", c.Args[0])
}

// Format implements fmt.Formatter: every verb prints String, since arguments and environment may hold secrets.
func (c Command) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// environment is renewd's own less RENEWD_*, which may hold the whole configuration, plus extra. Of a variable that is
// there twice os/exec takes the last.
func environment(extra map[string]string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "RENEWD_") })
	for name, value := range extra {
		env = append(env, name+"="+value)
	}
	return env
}
