// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/renewd/renewd/daemon/status"
	"github.com/renewd/renewd/watcher/logpolicy"
)

func (a *app) logPolicy() *cobra.Command {
	c := &cobra.Command{
		Use:   "log-policy",
		Short: "Check, compare, explain and override the log policy",
		Long: "Check, compare and explain log policies, and give an area of a running daemon another level for a while. A log policy says\n" +
			"what is logged, in which form and where to; a running daemon obeys it as soon as it changes.",
		Args: knownCommand, SuggestionsMinimumDistance: 2,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.policyCheck(), a.policyDiff(), a.policyExplain(), a.policySet())
	return c
}

// offline returns a policy engine that logs nothing. Of the configuration, if one is given, it knows the tokens.
func (a *app) offline(c *cobra.Command) (*logpolicy.Switch, error) {
	s := logpolicy.New(logpolicy.Options{Areas: areas()})
	if f := c.Flags().Lookup("config"); f == nil || !given(f) {
		return s, nil
	}
	conf, err := a.load(c)
	if err != nil {
		return nil, err
	}
	l := logging{Switch: s}
	l.know(conf.Tokens)
	return s, nil
}

func (a *app) policyCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a log policy by the code that a reload uses",
		Long: "Validate a log policy by the code that a reload uses. All mistakes are said at once, with line and column; then the exit\n" +
			"code is 78.",
		Example:           "  renewd log-policy check log-policy.yaml\n  renewd log-policy check log-policy.yaml --format json --env",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completePolicies(1),
	}
	env := c.Flags().Bool("env", false, "also look at the directories and files that it names; nothing is created")
	format := choiceFlag(c, pflag.Flag{Name: "format", DefValue: "text"}, "text", "json")
	c.Flags().StringVarP(&a.from.path, "config", "c", "", "configuration `file`, which makes the tokens' names known")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := format.check(); err != nil {
			return err
		}
		s, err := a.offline(c)
		if err != nil {
			return err
		}
		data, err := readFile("log policy", args[0], logpolicy.MaxBytes)
		if err != nil {
			return err
		}
		found := s.Check(args[0], data, *env)
		bad := found != nil && len(found.Problems) > 0
		switch {
		case format.json():
			if err := a.printMistakes(found); err != nil || !bad {
				return err
			}
			return &exit{code: exitConfig}
		case bad:
			return &exit{code: exitConfig, err: found}
		case found != nil:
			fmt.Fprintln(a.stderr, found)
		}
		return a.print([]byte("the log policy is valid\n"))
	}
	return c
}

// printMistakes writes mistakes and warnings as JSON.
func (a *app) printMistakes(found *logpolicy.Rejected) error {
	type mistake struct {
		Line    int    `json:"line"`
		Column  int    `json:"column"`
		Code    string `json:"code"`
		Text    string `json:"text"`
		Help    string `json:"help,omitempty"`
		Warning bool   `json:"warning"`
	}
	list := []mistake{}
	if found != nil {
		for _, p := range append(found.Problems, found.Warnings...) {
			list = append(list, mistake{p.Line, p.Column, p.Code, p.Text, p.Help, p.Warning})
		}
	}
	return a.printJSON(list)
}

func (a *app) policyDiff() *cobra.Command {
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Show what a reload from one log policy to another would change",
		Long: "Show what a reload from one log policy to another would change, one change a line. It exits 0 if nothing would, 1 if\n" +
			"something would.",
		Example:           "  renewd log-policy diff old.yaml new.yaml",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completePolicies(2),
	}
	c.RunE = func(_ *cobra.Command, args []string) error {
		var texts [2][]byte
		for i, path := range args {
			var err error
			if texts[i], err = readFile("log policy", path, logpolicy.MaxBytes); err != nil {
				return err
			}
		}
		changes, err := logpolicy.New(logpolicy.Options{Areas: areas()}).Diff(args[0], texts[0], args[1], texts[1])
		if err != nil {
			return &exit{code: exitConfig, err: err}
		}
		if len(changes) == 0 {
			return nil
		}
		if err := a.print([]byte(strings.Join(changes, "\n") + "\n")); err != nil {
			return err
		}
		return &exit{code: exitOther}
	}
	return c
}

func (a *app) policyExplain() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain [AREA]",
		Short: "Show which line of which layer decides an area's level",
		Long: "Show which line of which layer decides an area's level, the layers that it beats, and where its lines go.\n\n" +
			"It asks the running daemon through its admin socket, or with --file works on a file alone.",
		Example: "  renewd log-policy explain token.orders -c config.yaml\n" +
			"  renewd log-policy explain token --file log-policy.yaml",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeArea,
	}
	file := c.Flags().String("file", "", "explain this log policy `file`, without a daemon")
	a.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		area := strings.Join(args, "")
		if *file == "" {
			client, err := a.adminClient(c)
			if err != nil {
				return err
			}
			text, err := client.Levels(c.Context(), area)
			if err != nil {
				return &exit{code: exitOther, err: err, help: askHelp(err)}
			}
			return a.print([]byte(text))
		}
		s, err := a.offline(c)
		if err != nil {
			return err
		}
		data, err := readFile("log policy", *file, logpolicy.MaxBytes)
		if err != nil {
			return err
		}
		list, err := s.ExplainText(*file, data, area)
		if bad, ok := errors.AsType[*logpolicy.Rejected](err); ok {
			return &exit{code: exitConfig, err: bad}
		}
		if err != nil {
			return &exit{code: exitOther, err: err}
		}
		return a.print([]byte(explained(list) + "\n"))
	}
	return c
}

// explained writes explanations as text, one after the other.
func explained(list []logpolicy.Explanation) string {
	var texts []string
	for _, e := range list {
		texts = append(texts, e.String())
	}
	return strings.Join(texts, "\n")
}

func (a *app) policySet() *cobra.Command {
	c := &cobra.Command{
		Use:   "set AREA=LEVEL",
		Short: "Give an area another level for a while, in a running daemon",
		Long: "Give an area another level for a while, in a running daemon, through its admin socket. It ends by itself, and with the\n" +
			"process. The areas are those of the log policy; root is the top level. It prints the level that is in force now, and\n" +
			"where that comes from, as `renewd log-policy explain` does.",
		Example: "  renewd log-policy set token=DEBUG --for 15m -c config.yaml\n" +
			"  renewd log-policy set token --for 0s -c config.yaml",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeLevel,
	}
	var duration time.Duration
	durationFlag(c.Flags(), &duration, "for", 0, "how long, 1s to 24h; 0s ends it now (required)")
	a.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		area, level, ok := strings.Cut(args[0], "=")
		if !ok && duration == 0 {
			ok = true // ending needs no level
		}
		if !ok || area == "" || !c.Flags().Changed("for") || duration < 0 || duration > 0 && duration < time.Second || duration > 24*time.Hour {
			return &exit{code: exitUsage, err: errors.New("want AREA=LEVEL --for 1s to 24h"), help: "for example: renewd log-policy set token=DEBUG --for 15m"}
		}
		client, err := a.adminClient(c)
		if err != nil {
			return err
		}
		if _, err := client.SetLevel(c.Context(), area, level, duration); err != nil {
			return &exit{code: exitOther, err: err, help: askHelp(err)}
		}
		text, err := client.Levels(c.Context(), area)
		if err != nil {
			return &exit{code: exitOther, err: err}
		}
		now, _, _ := strings.Cut(text, "\n")
		return a.print([]byte(now + "\n"))
	}
	return c
}

// adminClient returns a client of the admin socket that the configuration names, also if that is broken otherwise.
func (a *app) adminClient(c *cobra.Command) (*status.Client, error) {
	conf, err := a.load(c)
	client := a.askable(conf)
	switch {
	case client.Socket != "":
		return &status.Client{Socket: client.Socket}, nil
	case err != nil:
		return nil, err
	}
	return nil, &exit{code: exitUsage, err: errors.New("the configuration has no admin socket"), help: socketHelp}
}
