// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon/config"
	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/status"
)

func (a *app) status() *cobra.Command {
	c := &cobra.Command{
		Use:   "status [TOKEN...]",
		Short: "Show how each token is: validity, next attempt, last error and its remedy",
		Long: "Show how each token is, or those that are named: valid until when, next attempt, last error and what to do about it,\n" +
			"file and mode. Those in trouble come first, then those that expire first.\n\n" +
			"It asks the running daemon and, where none answers, says so and looks at the files alone. A terminal is shown colors,\n" +
			"unless NO_COLOR is set. With --watch it goes on until Ctrl-C: a terminal is drawn anew, anywhere else a row is added for\n" +
			"each token that changed, and with -o json a whole report on one line.\n\n" +
			"The exit code is 0 whatever the tokens are like (`renewd healthcheck` probes them), and also when Ctrl-C ends --watch;\n" +
			"1 if what answers is no daemon, 64 for a token that there is not, 78 if no daemon answers and the configuration is wrong.",
		Example: "  renewd status -c config.yaml\n" +
			"  renewd status -c config.yaml --watch\n" +
			"  renewd status -c config.yaml -o json",
		ValidArgsFunction: a.completeTokens,
	}
	output := outputFlag(c, "table")
	watch := c.Flags().BoolP("watch", "w", false, "go on, and show what changes")
	var interval time.Duration
	durationFlag(c.Flags(), &interval, "interval", 2*time.Second, "how often --watch looks, 200ms to 1h")
	a.flags(c)
	c.RunE = func(c *cobra.Command, names []string) error {
		if err := output.check(); err != nil {
			return err
		}
		if interval < 200*time.Millisecond || interval > time.Hour {
			return &exit{code: exitUsage, err: fmt.Errorf("--interval: %s is not within 200ms and 1h", strict.FormatDuration(interval))}
		}
		look := func(ctx context.Context) (snapshot, error) { return a.snapshot(ctx, c, names) }
		if *watch {
			// Caught until the process ends: what is sent twice, as timeout(1) does, ends it no worse than what is sent once.
			ctx, _ := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			return a.watchStatus(ctx, look, watching{json: output.json(), every: interval})
		}
		shot, err := look(c.Context())
		if err != nil {
			return err
		}
		if shot.why != "" {
			fmt.Fprintln(a.stderr, shot.why)
		}
		if output.json() {
			return a.printJSON(shot.Report)
		}
		var out bytes.Buffer
		writeReport(&out, shot.Report, screenOf(a.stdout))
		return a.print(out.Bytes())
	}
	return c
}

// snapshot is a report, and why it is not that of a daemon.
type snapshot struct {
	status.Report
	why string // empty: a daemon answered
}

// snapshot asks the daemon or, where none answers, the files; of the tokens of these names, if there are any.
func (a *app) snapshot(ctx context.Context, c *cobra.Command, names []string) (snapshot, error) {
	conf, broken := a.load(c)
	client := a.askable(conf)
	report, err := client.Status(ctx)
	shot := snapshot{Report: report}
	switch {
	case err == nil:
	case broken != nil:
		return snapshot{}, broken
	case client != (status.Client{}) && !errors.Is(err, status.ErrNoDaemon):
		return snapshot{}, &exit{code: exitOther, err: err}
	default:
		shot = snapshot{Report: fromFiles(conf), why: "no daemon answers: this is what the files say"}
		if errors.Is(err, fs.ErrPermission) {
			shot.why = "the daemon answers root and its own user alone: this is what the files say"
		}
		if client == (status.Client{}) {
			shot.why = "no daemon was asked, for status.listen and status.socket are not set: this is what the files say"
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(shot.Tokens, func(t status.Token) bool { return t.Name == name }) {
			return snapshot{}, unknownToken(name)
		}
	}
	if len(names) > 0 {
		shot.Tokens = slices.DeleteFunc(shot.Tokens, func(t status.Token) bool { return !slices.Contains(names, t.Name) })
	}
	return shot, nil
}

// askable returns a client for the daemon, also where the configuration that it runs with was broken since.
func (a *app) askable(conf *loaded) status.Client {
	var at config.Status
	if conf != nil {
		at = conf.Status
	} else if data, err := readRegular(cmp.Or(a.from.path, defaultPath), config.MaxBytes); err == nil {
		at = loader().Asked(data)
	}
	return status.Client{Socket: cmp.Or(a.from.socket, at.Socket), Listen: cmp.Or(a.from.listen, at.Listen)}
}

// fromFiles is what can be said without a daemon.
func fromFiles(conf *loaded) status.Report {
	r := status.Report{
		Time:          time.Now().Round(0),
		Process:       status.Process{Version: version()},
		Configuration: status.Loaded{Path: absolute(conf.path), SHA256: conf.SHA256},
	}
	for _, k := range keep(conf.Config, noLog()) {
		r.Tokens = append(r.Tokens, k.describe(r.Time))
	}
	return r
}
