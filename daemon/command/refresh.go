// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon/status"
)

const socketHelp = "add to the configuration: `status: {socket: /run/renewd/renewd.sock}`, in a directory that renewd may write to"

func (a *app) refresh() *cobra.Command {
	c := &cobra.Command{
		Use:   "refresh [TOKEN]",
		Short: "Ask a running daemon to refresh now",
		Long: "Ask a running daemon to refresh one token or all now, through its admin socket, and say what came of it within three\n" +
			"seconds; `renewd status` shows the rest. SIGUSR1 does the same for all tokens.\n\n" +
			"The exit code is 0 if the daemon was asked, whatever its issuers answer: it goes on trying.",
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
		name := strings.Join(args, "")
		before, _ := client.Status(c.Context()) // without it nothing can be said of what came since
		switch err := client.Refresh(c.Context(), name); {
		case errors.Is(err, status.ErrNoDaemon):
			return &exit{code: exitUnavailable, err: err, help: askHelp(err)}
		case errors.Is(err, status.ErrUnknown):
			return &exit{code: exitOther, err: fmt.Errorf("no token is named %.64q", name), help: "`renewd status` lists them"}
		case err != nil:
			return &exit{code: exitOther, err: err}
		}
		return a.sayRefreshed(await(c.Context(), client, before, name))
	}
	return c
}

// askHelp says who may ask a daemon, if that is why it did not answer.
func askHelp(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "root may ask, and the user that renewd runs as"
	}
	return ""
}

// outcome is what came of asking for a refresh. It has no tokens if the daemon did not say.
type outcome struct {
	tokens        []status.Token // those that were asked for
	tried, failed int
	now           time.Time
}

// await looks for three seconds, ever less often, until each token that was asked for was tried since before.
func await(ctx context.Context, client *status.Client, before status.Report, name string) (o outcome) {
	if before.Time.IsZero() {
		return o
	}
	attempts := map[string]time.Time{}
	for _, t := range before.Tokens {
		attempts[t.Name] = t.LastAttempt
	}
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		select {
		case <-ctx.Done():
			return o
		case <-time.After(wait):
		}
		report, err := client.Status(ctx)
		if err != nil {
			return o
		}
		o = outcome{now: report.Time}
		for _, t := range report.Tokens {
			if name != "" && t.Name != name {
				continue
			}
			o.tokens = append(o.tokens, t)
			if !t.LastAttempt.Equal(attempts[t.Name]) {
				o.tried++
				o.failed += min(t.ConsecutiveFailures, 1)
			}
		}
		if o.tried == len(o.tokens) || wait > time.Second {
			return o
		}
	}
}

// sayRefreshed says it in one line, but for the remedy of what failed.
func (a *app) sayRefreshed(o outcome) error {
	switch {
	case len(o.tokens) == 0:
		return a.print([]byte("it was asked, and nothing is known yet of what came of it: `renewd status` shows that\n"))
	case len(o.tokens) == 1 && o.failed > 0:
		t := o.tokens[0]
		fmt.Fprintf(a.stderr, "%s: not refreshed: %s: %s\n", visible(t.Name), cmp.Or(t.LastErrorClass, "error"), visible(t.LastError))
		if t.Hint != "" {
			fmt.Fprintf(a.stderr, "  help: %s\n", visible(t.Hint))
		}
		return nil
	case len(o.tokens) == 1:
		return a.print([]byte(visible(o.tokens[0].Name) + ": " + o.ofOne() + "\n"))
	}
	line := fmt.Sprintf("%d of %s refreshed", o.tried-o.failed, plural(len(o.tokens), "token"))
	if o.failed > 0 {
		line += fmt.Sprintf(", %d failed", o.failed)
	}
	if left := len(o.tokens) - o.tried; left > 0 {
		line += fmt.Sprintf(", %d not tried yet", left)
	}
	return a.print([]byte(line + "\n"))
}

// ofOne says what came of asking for one token, if that was no failure.
func (o outcome) ofOne() string {
	t := o.tokens[0]
	begin := "refreshed"
	switch {
	case o.tried == 0:
		return "not tried yet: it waits for the issuer, for its Retry-After or for refresh.floor"
	case t.State == "unchanged":
		begin = "the source gave the same token again"
	}
	if t.ExpiresAt.IsZero() {
		return begin
	}
	return begin + "; it expires " + when(t.ExpiresAt, o.now)
}
