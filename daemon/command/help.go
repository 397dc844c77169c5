// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The groups of commands, in the order of the help.
func groups() []*cobra.Group {
	return []*cobra.Group{
		{ID: "keep", Title: "Keep tokens fresh:"},
		{ID: "look", Title: "Look at a daemon, or at its files:"},
		{ID: "tell", Title: "Tell a daemon:"},
		{ID: "prepare", Title: "Before it runs:"},
		{ID: "about", Title: "About the program:"},
	}
}

const rootNotes = `Every flag has a variable: --refresh-at is RENEWD_REFRESH_AT. The flag outranks the variable, and that the configuration.

Exit codes: 0 done; 1 something else, or a probe that says no; 64 the command line is wrong; 69 the issuer is unavailable,
or time is up; 73 a token cannot be written; 77 the issuer refused; 78 the configuration, the log policy, or what they point
to is wrong.`

// usage prints how a command is called: cobra's own, but for the flags of a single token, which are a group, and for lines that
// fit the terminal.
func (a *app) usage(c *cobra.Command) error {
	out := c.OutOrStderr()
	fmt.Fprintln(out, "Usage:")
	if c.Runnable() && !c.HasAvailableSubCommands() {
		fmt.Fprintln(out, "  "+c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintln(out, "  "+c.CommandPath()+" COMMAND [flags]")
	}
	if c.HasExample() {
		fmt.Fprintf(out, "\nExamples:\n%s\n", c.Example)
	}
	listCommands(out, c)
	width := min(max(60, screenOf(a.stdout).columns), 120)
	flags, single := groupFlags(c)
	for _, g := range []struct {
		title string
		flags *pflag.FlagSet
	}{{"Flags:", flags}, {"One token by flags, without a configuration:", single}} {
		if g.flags.HasAvailableFlags() {
			fmt.Fprintf(out, "\n%s\n%s\n", g.title, strings.TrimRight(g.flags.FlagUsagesWrapped(width), "\n"))
		}
	}
	if !c.HasParent() {
		fmt.Fprintf(out, "\n%s\n", rootNotes)
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(out, "\n`%s COMMAND --help` says more about a command.\n", c.CommandPath())
	}
	return nil
}

// listCommands prints the commands below c by their groups.
func listCommands(out io.Writer, c *cobra.Command) {
	list := c.Commands()
	section := func(title, id string) {
		fmt.Fprintf(out, "\n%s\n", title)
		for _, sub := range list {
			if sub.GroupID == id && sub.IsAvailableCommand() {
				fmt.Fprintf(out, "  %-*s %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	for _, g := range c.Groups() {
		section(g.Title, g.ID)
	}
	if len(c.Groups()) == 0 && c.HasAvailableSubCommands() {
		section("Commands:", "")
	}
}

// groupFlags returns the flags that a command lists, and those of them that make a token without a configuration.
func groupFlags(c *cobra.Command) (flags, single *pflag.FlagSet) {
	flags, single = pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	single.SortFlags = false
	for _, k := range allFlags() {
		if f := c.Flags().Lookup(k.flag); f != nil && f.Usage == k.usage {
			single.AddFlag(f)
		}
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if single.Lookup(f.Name) == nil {
			flags.AddFlag(f)
		}
	})
	return flags, single
}
