// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package command is the command line: one file per subcommand, some with a second one that draws what it prints. It joins
// the parts, and is the only package that knows every other one. It decides nothing about tokens.
//
// What the subcommands share: where the configuration comes from (origin.go, single.go), the tokens that it makes (kept.go,
// clash.go), kinds of flags (flags.go), how results are printed (print.go, terminal.go). What runs behind run and demo is
// service.go, with bind.go, reload.go, board.go, log.go, policystate.go and memory.go.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/renewd/renewd/daemon"
)

// Exit codes, after sysexits.h.
const (
	exitOther       = 1
	exitUsage       = 64
	exitUnavailable = 69
	exitWrite       = 73
	exitRefused     = 77
	exitConfig      = 78
)

// Main runs the command line and returns the exit code. Results go to stdout, everything else to stderr.
func Main(args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr}
	root := a.root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	strictArgs(root)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	failure, ok := errors.AsType[*exit](err)
	if _, unwritten := errors.AsType[*fs.PathError](err); !ok && unwritten {
		failure = &exit{code: exitOther, err: err}
	} else if !ok {
		// What did not come from a command of ours came from reading the command line.
		failure = &exit{code: exitUsage, err: err, help: "`renewd --help` lists the commands and `renewd COMMAND --help` its flags"}
	}
	if failure.err != nil {
		fmt.Fprintf(stderr, "%v\n", prefixed(failure.err))
	}
	if failure.help != "" {
		fmt.Fprintf(stderr, "  help: %s\n", failure.help)
	}
	return failure.code
}

// prefixed marks a one-line error as ours; the configuration's mistakes say themselves where they come from.
func prefixed(err error) string {
	if text := err.Error(); strings.Contains(text, "\n") {
		return text
	}
	return "renewd: " + err.Error()
}

// app is what all commands share.
type app struct {
	stdout, stderr io.Writer
	from           origin // where the configuration comes from
}

// exit is an error that knows the exit code. A nil err ends with the code and says nothing.
type exit struct {
	code int
	err  error
	help string
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// codeOf returns the exit code of a class.
func codeOf(c daemon.Class) int {
	switch c {
	case daemon.ClassConfig:
		return exitConfig
	case daemon.ClassRefused:
		return exitRefused
	case daemon.ClassWrite:
		return exitWrite
	case daemon.ClassThrottled, daemon.ClassUnavailable:
		return exitUnavailable
	}
	return exitOther
}

// worst returns the code that stands for several failures: the first of 78, 77, 73, 69, 1.
func worst(codes []int) int {
	for _, code := range []int{exitConfig, exitRefused, exitWrite, exitUnavailable, exitOther} {
		if slices.Contains(codes, code) {
			return code
		}
	}
	return 0
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "renewd",
		Short: "Keeps service tokens fresh in files",
		Long: "renewd obtains or signs a token, publishes it atomically to a file, and replaces it before it expires.\n" +
			"Applications only read the file. Start with `renewd demo`.",
		SilenceUsage: true, SilenceErrors: true, SuggestionsMinimumDistance: 2,
		PersistentPreRunE: fromEnvironment,
		Example: "  renewd demo\n" +
			"  renewd run --sign-key key.pem --ttl 30m --out ./token\n" +
			"  renewd run -c config.yaml",
		Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetUsageFunc(a.usage)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if c.HasSubCommands() {
			return cmp.Or(knownCommand(c, c.Flags().Args()), err) // a flag of a command that there is not is no mistake of its own
		}
		return err
	})
	root.AddGroup(groups()...)
	root.SetHelpCommandGroupID("about")
	root.SetCompletionCommandGroupID("about")
	for group, list := range map[string][]*cobra.Command{
		"keep":    {a.run(), a.once(), a.demo()},
		"look":    {a.status(), a.wait(), a.healthcheck()},
		"tell":    {a.refresh(), a.logPolicy()},
		"prepare": {a.check(), a.plan(), a.simulate(), a.schema()},
		"about":   {a.version()},
	} {
		for _, c := range list {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	a.complete(root)
	return root
}

// strictArgs has every command say what it takes if it is given something else, and the two that cobra makes refuse what they do
// not know.
func strictArgs(c *cobra.Command) {
	for _, sub := range c.Commands() {
		switch {
		case sub.Name() == "help":
			sub.Run, sub.RunE = nil, func(sub *cobra.Command, args []string) error {
				found, rest, err := sub.Root().Find(args)
				if err = cmp.Or(err, knownCommand(found, rest)); err != nil {
					return err
				}
				found.InitDefaultHelpFlag()
				found.InitDefaultVersionFlag()
				return found.Help()
			}
		case sub.Name() == "completion":
			sub.Args, sub.RunE = knownCommand, func(sub *cobra.Command, _ []string) error { return sub.Help() }
		}
		if fits := sub.Args; fits != nil {
			sub.Args = func(sub *cobra.Command, args []string) error {
				err := fits(sub, args)
				if _, ours := errors.AsType[*exit](err); err == nil || ours {
					return err
				}
				return &exit{code: exitUsage, err: fmt.Errorf("%s does not take %s", strings.TrimPrefix(sub.CommandPath(), "renewd "), plural(len(args), "argument")),
					help: "usage: " + sub.UseLine()}
			}
		}
		strictArgs(sub)
	}
}

// knownCommand refuses a command that there is not, with those that it may have been meant for.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	help := "`" + c.CommandPath() + " --help` lists the commands"
	if like := c.SuggestionsFor(args[0]); args[0] != "" && len(like) > 0 {
		help = "did you mean " + strings.Join(like, " or ") + "?"
	}
	return &exit{code: exitUsage, err: fmt.Errorf("unknown command %.40q", strings.TrimPrefix(c.CommandPath()+" "+args[0], "renewd ")), help: help}
}

// fromEnvironment gives each flag that was not on the command line the value of its variable: --refresh-at is
// RENEWD_REFRESH_AT. An empty variable counts as one that is not set: templates of pods write those.
func fromEnvironment(c *cobra.Command, _ []string) error {
	var errs []error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		name := variable(f.Name)
		value := os.Getenv(name)
		if f.Changed || value == "" {
			return
		}
		if err := f.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			return
		}
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		f.Annotations[byVariable] = nil
	})
	return errors.Join(errs...)
}

// byVariable marks a flag whose value came from its variable.
const byVariable = "renewd-by-variable"

func given(f *pflag.Flag) bool {
	_, byVar := f.Annotations[byVariable]
	return f.Changed || byVar
}

func variable(flag string) string {
	return "RENEWD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
