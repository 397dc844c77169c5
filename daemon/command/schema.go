// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/watcher/logpolicy"
)

func (a *app) schema() *cobra.Command {
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema",
		Long:  "Print a JSON Schema (draft 2020-12), for editors and for checks before anything runs.",
		Args:  knownCommand, SuggestionsMinimumDistance: 2,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:     "config",
		Short:   "Print the JSON Schema of the configuration",
		Example: "  renewd schema config > renewd.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := loader().Schema()
			if err != nil {
				return &exit{code: exitOther, err: err}
			}
			return a.print(text)
		},
	})
	c.AddCommand(&cobra.Command{
		Use:     "log-policy",
		Short:   "Print the JSON Schema of the log policy",
		Example: "  renewd schema log-policy > log-policy.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := json.MarshalIndent(logpolicy.Schema(), "", "  ")
			if err != nil {
				return &exit{code: exitOther, err: err}
			}
			return a.print(append(text, '\n'))
		},
	})
	return c
}
