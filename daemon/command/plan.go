// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/schedule"
)

func (a *app) plan() *cobra.Command {
	c := &cobra.Command{
		Use:   "plan [TOKEN...]",
		Short: "Draw when each token is refreshed, and say what outage that survives",
		Long: "Draw the life of each token, or of those that are named: when it is refreshed, when renewd tries again if that fails,\n" +
			"until when readers keep what they are promised, and what outage of the issuer is survived. It asks nobody, and works\n" +
			"without a daemon; the numbers come from the code that `renewd run` follows.\n\n" +
			"The lifetime is that of --life, else of the source's configuration, else of the published token, else refresh.defaultTTL.\n" +
			"With -o json all times are seconds after the issue of the token.",
		Example: "  renewd plan -c config.yaml\n" +
			"  renewd plan -c config.yaml orders --life 10m\n" +
			"  renewd plan --sign-key key.pem --ttl 30m --out ./token --refresh-at 80%",
		ValidArgsFunction: a.completeTokens,
	}
	var life time.Duration
	durationFlag(c.Flags(), &life, "life", 0, "plan for tokens with this `lifetime`, such as 10m or 30d")
	output := outputFlag(c, "text")
	a.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := output.check(); err != nil {
			return err
		}
		if life < 0 || life > longestLife || life == 0 && given(c.Flags().Lookup("life")) {
			return &exit{code: exitUsage, err: fmt.Errorf("--life: %s is not within 1ns and 3650d", strict.FormatDuration(life))}
		}
		conf, err := a.load(c)
		if err != nil {
			return err
		}
		list, err := named(keep(conf.Config, noLog()), args...)
		if err != nil {
			return err
		}
		plans := make([]timetable, 0, len(list))
		for _, k := range list {
			plans = append(plans, k.timetable(life))
		}
		if output.json() {
			return a.printJSON(map[string]any{"tokens": plans})
		}
		var out bytes.Buffer
		for i, t := range plans {
			if i > 0 {
				out.WriteByte('\n')
			}
			t.draw(&out, screenOf(a.stdout))
		}
		return a.print(out.Bytes())
	}
	return c
}

// longestLife bounds --life: ten years, as for the ttl of a configuration.
const longestLife = 3650 * 24 * time.Hour

// life returns a life to plan for, that starts at the epoch, and where it comes from.
func (k *kept) life(asked time.Duration) (schedule.Life, string) {
	start := time.Unix(0, 0).UTC()
	lives := func(d time.Duration) schedule.Life { return schedule.Life{Issued: start, Expires: start.Add(d)} }
	if asked > 0 {
		return lives(asked), "--life"
	}
	if l, ok := k.Source.(lifetime); ok {
		return lives(l.Lifetime()), "of the source"
	}
	if _, r, _ := k.Sink.Read(context.Background()); !r.ExpiresAt.IsZero() {
		return lives(r.ExpiresAt.Sub(r.IssuedAt)), "of the published token"
	}
	return schedule.Life{Issued: start}, "assumed: nobody said"
}
