// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon/status"
)

func (a *app) healthcheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Probe, for images without a shell",
		Long: "Probe, for images without a shell: exits 0 if all is well, 1 if not, and then says why.\n\n" +
			"--ready and --startup look at the files and the clock and need no daemon; --live asks the daemon, through its listener\n" +
			"or its admin socket.",
		Example: "  renewd healthcheck -c config.yaml\n" +
			"  renewd healthcheck -c config.yaml --live\n" +
			"  renewd healthcheck --sign-key key.pem --out ./token",
		Args: cobra.NoArgs,
	}
	readyFlag := c.Flags().Bool("ready", false, "every token is published and has not expired (default)")
	startup := c.Flags().Bool("startup", false, "every token has been published")
	live := c.Flags().Bool("live", false, "the daemon's loops go on, whatever the tokens are like")
	c.MarkFlagsMutuallyExclusive("ready", "startup", "live")
	name := c.Flags().String("token", "", "only the token of this `name`")
	propose(c, "token", a.completeToken)
	a.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		_ = readyFlag // it names the default
		conf, err := a.load(c)
		if err != nil {
			return err
		}
		if *live {
			client := status.Client{Socket: conf.Status.Socket, Listen: conf.Status.Listen}
			if client == (status.Client{}) {
				return &exit{code: exitUsage, err: errors.New("--live needs status.listen or status.socket"), help: socketHelp}
			}
			if err := client.Live(c.Context()); err != nil {
				return &exit{code: exitOther, err: err}
			}
			return nil
		}
		list := keep(conf.Config, noLog())
		if *name != "" {
			list, err = named(list, *name)
		}
		if err != nil {
			return err
		}
		now := time.Now()
		if *startup {
			now = time.Time{} // nothing has expired by then
		}
		if err := ready(c.Context(), list, now); err != nil {
			return &exit{code: exitOther, err: err}
		}
		return nil
	}
	return c
}
