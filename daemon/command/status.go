// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon/config"
	"github.com/renewd/renewd/daemon/status"
)

func (a *app) status() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how each token is",
		Long: "Show how each token is: valid until when, next attempt, last error, file and mode.\n\n" +
			"It asks the running daemon and, where none answers, looks at the files alone.",
		Args: cobra.NoArgs,
	}
	output := c.Flags().StringP("output", "o", "table", "table or json")
	a.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *output != "table" && *output != "json" {
			return &exit{code: exitUsage, err: fmt.Errorf("--output: %.40q is neither table nor json", *output)}
		}
		conf, bad := a.load(c)
		client := a.askable(conf)
		report, err := client.Status(c.Context())
		if err != nil && bad != nil {
			return bad
		}
		if err != nil {
			if client != (status.Client{}) && !errors.Is(err, status.ErrNoDaemon) {
				return &exit{code: exitOther, err: err}
			}
			fmt.Fprintln(a.stderr, "no daemon answers: this is what the files say")
			report = fromFiles(conf)
		}
		if *output == "json" {
			text, err := json.MarshalIndent(report, "", "  ")
			if err != nil {
				return &exit{code: exitOther, err: err}
			}
			return a.print(append(text, '\n'))
		}
		var out bytes.Buffer
		writeTable(&out, report)
		return a.print(out.Bytes())
	}
	return c
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

func writeTable(out io.Writer, r status.Report) {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "TOKEN\tSOURCE\tVALID\tEXPIRES\tNEXT ATTEMPT\tFAILURES\tFILE\tMODE")
	for _, t := range r.Tokens {
		valid := "yes"
		if !t.Valid {
			valid = "NO"
		}
		for i, f := range t.Files {
			if i > 0 {
				fmt.Fprintf(w, "\t\t\t\t\t\t%s\t%s\n", f.Path, f.Mode)
				continue
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", t.Name, t.Source, valid,
				when(t.ExpiresAt, r.Time), when(t.NextAttempt, r.Time), t.ConsecutiveFailures, f.Path, f.Mode)
		}
	}
	_ = w.Flush() // into a buffer
	for _, t := range r.Tokens {
		if t.LastError != "" {
			fmt.Fprintf(out, "\n%s: %s: %s\n", t.Name, cmp.Or(t.LastErrorClass, "error"), strings.ReplaceAll(t.LastError, "\n", "\n  "))
		}
		if t.Hint != "" {
			fmt.Fprintf(out, "  help: %s\n", t.Hint)
		}
	}
	if e := r.Configuration.Error; e != "" {
		fmt.Fprintf(out, "\nthe configuration on disk is not in force:\n%s\n", e)
	}
}

// when says an instant by its distance from now, and by the clock.
func when(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case t.Before(now):
		return short(now.Sub(t)) + " ago"
	}
	return "in " + short(t.Sub(now))
}

// short writes a duration with at most two units.
func short(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
