// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon/status"
)

const socketHelp = "add to the configuration: `status: {socket: /run/renewd/renewd.sock}`, in a directory that renewd may write to"

func (a *app) refresh() *cobra.Command {
	c := &cobra.Command{
		Use:   "refresh [TOKEN]",
		Short: "Ask a running daemon to refresh now",
		Long: "Ask a running daemon to refresh one token or all now, through its admin socket. It does not wait for the attempt:\n" +
			"`renewd status` shows what came of it. SIGUSR1 does the same for all tokens.",
		Example:           "  renewd refresh -c config.yaml\n  renewd refresh -c config.yaml orders",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeToken,
	}
	a.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := a.adminClient(c)
		if err != nil {
			return err
		}
		name := ""
		if len(args) == 1 {
			name = args[0]
		}
		switch err := client.Refresh(c.Context(), name); {
		case errors.Is(err, status.ErrNoDaemon):
			return &exit{code: exitUnavailable, err: err}
		case errors.Is(err, status.ErrUnknown):
			return &exit{code: exitOther, err: fmt.Errorf("no token is named %.64q", name), help: "`renewd status` lists them"}
		case err != nil:
			return &exit{code: exitOther, err: err}
		}
		return nil
	}
	return c
}
