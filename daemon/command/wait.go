// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// waitEvery is how often wait looks at the disk.
const waitEvery = 100 * time.Millisecond

func (a *app) wait() *cobra.Command {
	c := &cobra.Command{
		Use:   "wait",
		Short: "Block until every token file is valid",
		Long:  "Block until every published token is on disk, matches its record and has life left. It looks at the files alone.",
		Args:  cobra.NoArgs,
	}
	timeout := c.Flags().Duration("timeout", 0, "give up after this `duration` with exit code 69; 0 waits for ever")
	a.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		conf, err := a.load(c)
		if err != nil {
			return err
		}
		ctx := c.Context()
		if *timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, *timeout)
			defer cancel()
		}
		list := keep(conf.Config, noLog())
		for {
			err := ready(ctx, list, time.Now())
			if err == nil {
				return nil
			}
			select {
			case <-ctx.Done():
				fmt.Fprintln(a.stderr, err)
				return &exit{code: exitUnavailable, err: errors.New("no valid token within " + timeout.String())}
			case <-time.After(waitEvery):
			}
		}
	}
	return c
}
