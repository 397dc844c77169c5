// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// print writes a result to standard output.
func (a *app) print(text []byte) error {
	if _, err := a.stdout.Write(text); err != nil {
		return &exit{code: exitOther, err: err}
	}
	return nil
}

// printJSON writes a result as JSON.
func (a *app) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return &exit{code: exitOther, err: err}
	}
	return a.print(append(text, '\n'))
}

// plural writes a number with what is counted.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprint(n, " ", noun, "s")
}

// outputFlag adds --output: a form for people, or json.
func outputFlag(c *cobra.Command, forPeople string) *choice {
	return choiceFlag(c, pflag.Flag{Name: "output", Shorthand: "o", DefValue: forPeople}, forPeople, "json")
}

// choice is a flag with a few values.
type choice struct {
	flag   string
	value  string
	values []string
}

// choiceFlag adds a flag that has one of the values, of which f names the default.
func choiceFlag(c *cobra.Command, f pflag.Flag, values ...string) *choice {
	o := &choice{flag: f.Name, values: values}
	c.Flags().StringVarP(&o.value, f.Name, f.Shorthand, f.DefValue, "`form`: "+strings.Join(values, " or "))
	suggest(c, f.Name, values...)
	return o
}

func (o *choice) json() bool { return o.value == "json" }

func (o *choice) check() error {
	if !slices.Contains(o.values, o.value) {
		return &exit{code: exitUsage, err: fmt.Errorf("--%s: %.40q is neither %s", o.flag, o.value, strings.Join(o.values, " nor "))}
	}
	return nil
}
