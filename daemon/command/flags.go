// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/renewd/renewd/daemon/config/strict"
)

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

// durationFlag adds a flag for a duration.
func durationFlag(f *pflag.FlagSet, into *time.Duration, name string, value time.Duration, usage string) {
	*into = value
	f.Var((*longDuration)(into), name, usage)
}

// longDuration is a flag that takes days, as durations of the configuration do.
type longDuration time.Duration

// String is empty for zero, which stands for none: so no help names it as the default.
func (d *longDuration) String() string {
	if *d == 0 {
		return ""
	}
	return strict.FormatDuration(time.Duration(*d))
}

func (d *longDuration) Type() string { return "duration" }

func (d *longDuration) Set(text string) error {
	parsed, err := strict.ParseDuration(text)
	*d = longDuration(parsed)
	return err
}
