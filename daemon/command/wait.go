// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon/config/strict"
)

// waitEvery is how often wait looks at the disk.
const waitEvery = 100 * time.Millisecond

func (a *app) wait() *cobra.Command {
	c := &cobra.Command{
		Use:   "wait",
		Short: "Block until every token file is valid",
		Long: "Block until every published token is on disk, matches its record and has life left. It looks at the files alone, and\n" +
			"so works in another container that shares the volume.",
		Example: "  renewd wait -c config.yaml --timeout 30s",
		Args:    cobra.NoArgs,
	}
	var timeout time.Duration
	durationFlag(c.Flags(), &timeout, "timeout", 0, "give up after this `duration` with exit code 69; 0 waits for ever")
	a.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel, err := bounded(c.Context(), timeout)
		if err != nil {
			return err
		}
		defer cancel()
		conf, err := a.load(c)
		if err != nil {
			return err
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
				return &exit{code: exitUnavailable, err: errors.New("waited in vain for valid tokens")}
			case <-time.After(waitEvery):
			}
		}
	}
	return c
}

// bounded returns a context that ends after the timeout, unless that is 0, and when a signal says so: what a command has
// started must not outlive it.
func bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc, error) {
	if timeout < 0 {
		return nil, nil, &exit{code: exitUsage, err: fmt.Errorf("--timeout: %s is negative", strict.FormatDuration(timeout))}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	if timeout == 0 {
		return ctx, stop, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, func() { cancel(); stop() }, nil
}
