// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/renewd/renewd/daemon/format"
	"github.com/renewd/renewd/daemon/source"
	"github.com/renewd/renewd/watcher/logpolicy"
)

// suggest makes the shell propose the values of a flag.
func suggest(c *cobra.Command, flag string, values ...string) {
	propose(c, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

func propose(c *cobra.Command, flag string, values cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err) // the flag was declared just before
	}
}

// complete gives every flag and argument of a command what the shell proposes for it: where nothing can be known, nothing,
// rather than the files of the directory.
func (a *app) complete(c *cobra.Command) {
	for flag, values := range map[string][]string{
		"algorithm": algorithms(),
		"format":    plainFormats(),
		"key-id":    {"auto", "none"},
		"log-level": levels(),
		"mode":      {"0600", "0640", "0644"},
		"spread":    {"true", "false"},
	} {
		f := c.Flags().Lookup(flag)
		if _, done := c.GetFlagCompletionFunc(flag); f != nil && !done {
			suggest(c, flag, values...)
		}
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if _, done := c.GetFlagCompletionFunc(f.Name); done || f.Value.Type() == "bool" {
			return
		}
		name, _ := pflag.UnquoteUsage(f)
		switch {
		case f.Name == "config" || f.Name == "log-policy":
			_ = c.MarkFlagFilename(f.Name, "yaml", "yml") // it exists
		case name != "file" && name != "path":
			suggest(c, f.Name)
		}
	})
	if c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range c.Commands() {
		a.complete(sub)
	}
}

// completeTokens proposes the tokens of the configuration that are not named yet.
func (a *app) completeTokens(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return slices.DeleteFunc(a.tokenNames(c), func(name string) bool { return slices.Contains(args, name) }), cobra.ShellCompDirectiveNoFileComp
}

// completeToken proposes the tokens of the configuration where one can be named.
func (a *app) completeToken(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.tokenNames(c), cobra.ShellCompDirectiveNoFileComp
}

// tokenNames returns the names in the configuration that the command line so far leads to; none if it cannot be read.
func (a *app) tokenNames(c *cobra.Command) (names []string) {
	if fromEnvironment(c, nil) != nil {
		return nil
	}
	conf, err := a.load(c)
	if err != nil {
		return nil
	}
	for _, t := range conf.Tokens {
		names = append(names, t.Name)
	}
	return names
}

// areaNames returns the areas that a log policy can name, with what each covers.
func (a *app) areaNames(c *cobra.Command) (names []cobra.Completion) {
	for _, area := range areas() {
		names = append(names, cobra.CompletionWithDesc(area.Name, area.Covers))
	}
	for _, name := range a.tokenNames(c) {
		names = append(names, cobra.CompletionWithDesc("token."+name, "the refresh of this token"))
	}
	return names
}

func (a *app) completeArea(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.areaNames(c), cobra.ShellCompDirectiveNoFileComp
}

// completeLevel proposes AREA=LEVEL, one half after the other.
func (a *app) completeLevel(c *cobra.Command, args []string, begun string) (list []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if area, _, ok := strings.Cut(begun, "="); ok {
		for _, level := range levels() {
			list = append(list, area+"="+level)
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
	for _, area := range append(a.areaNames(c), cobra.CompletionWithDesc("root", "the top level")) {
		name, covers, _ := strings.Cut(area, "\t")
		list = append(list, cobra.CompletionWithDesc(name+"=", covers))
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completePolicies proposes as many log policy files as a command takes.
func completePolicies(most int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	}
}

func levels() (list []string) {
	for _, l := range []logpolicy.Level{logpolicy.Debug, logpolicy.Info, logpolicy.Warning, logpolicy.Error, logpolicy.Critical, logpolicy.Off} {
		list = append(list, l.String())
	}
	return list
}

// algorithms returns those that the sources with a key know.
func algorithms() []string {
	config := reflect.TypeOf(source.Kinds()["sign"].Default()).Elem()
	field, _ := config.FieldByName("Algorithm")
	return strings.Split(field.Tag.Get("enum"), ",")
}

// plainFormats returns the formats that need no options: a flag can name them.
func plainFormats() []string {
	list := maps.Collect(maps.All(format.Kinds()))
	maps.DeleteFunc(list, func(_ string, k format.Kind) bool { return k.Default != nil })
	return slices.Sorted(maps.Keys(list))
}
