// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/schedule"
)

func (a *app) plan() *cobra.Command {
	c := &cobra.Command{
		Use:   "plan [TOKEN]",
		Short: "Print the timetable that the configuration gives",
		Long: "Print when a token is refreshed, what happens when that fails, and what outage of the issuer is survived.\n\n" +
			"The lifetime is that of the source's configuration, else of the published token, else refresh.defaultTTL.",
		Args: cobra.MaximumNArgs(1),
	}
	life := c.Flags().Duration("life", 0, "plan for tokens with this `lifetime`")
	a.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		conf, err := a.load(c)
		if err != nil {
			return err
		}
		if *life < 0 {
			return &exit{code: exitUsage, err: fmt.Errorf("--life: %v is negative", *life)}
		}
		name := ""
		if len(args) == 1 {
			name = args[0]
		}
		list, err := named(keep(conf.Config, noLog()), name)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		for i, k := range list {
			if i > 0 {
				fmt.Fprintln(&out)
			}
			k.timetable(&out, *life)
		}
		return a.print(out.Bytes())
	}
	return c
}

// lifetime is implemented by a source that decides how long its tokens live.
type lifetime interface{ Lifetime() time.Duration }

func lifeOf(r daemon.Record) schedule.Life {
	return schedule.Life{Issued: r.IssuedAt, Expires: r.ExpiresAt, First: r.First}
}

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

// timetable prints the plan of one token.
func (k *kept) timetable(out io.Writer, asked time.Duration) {
	l, origin := k.life(asked)
	span, _ := k.Policy.Span(l)
	w, promise := k.Policy.Window(l), k.Policy.Promise(l)
	end := l.Issued.Add(span)
	var lines []moment
	line := func(at time.Time, text string, args ...any) {
		lines = append(lines, moment{at, fmt.Sprintf(text, args...)})
	}
	fmt.Fprintf(out, "%s: a life of %v (%s)\n", k.Name, span.Round(time.Second), origin)
	line(l.Issued, "issued")
	first := l
	first.First = true
	if f := k.Policy.Window(first); f.Start.Before(w.Start) {
		line(f.Start, "from here on, if it is the first token after a start")
	}
	line(w.Start, "refreshed at a random moment from here")
	line(w.End, "to here")
	k.retries(line, l, w.End, end)
	line(end.Add(-promise), "until here readers have the %v that they are promised", promise.Round(time.Second))
	line(end, "expires")
	slices.SortStableFunc(lines, func(a, b moment) int { return a.at.Compare(b.at) })
	for _, m := range lines {
		fmt.Fprintf(out, "  %10s  %s\n", "+"+m.at.Sub(l.Issued).Round(time.Second).String(), m.text)
	}
	fmt.Fprintf(out, "  An outage of the issuer of %v is survived without breaking that promise, and of %v before the token expires.\n",
		max(0, end.Add(-promise).Sub(w.End)).Round(time.Second), end.Sub(w.End).Round(time.Second))
	for _, notice := range k.Policy.Notices(l) {
		fmt.Fprintf(out, "  note: %s\n", notice)
	}
}

// moment is one line of a timetable.
type moment struct {
	at   time.Time
	text string
}

// retries prints the first attempts after a failure at the last moment, at their middle, and counts the others.
func (k *kept) retries(line func(time.Time, string, ...any), l schedule.Life, at, end time.Time) {
	const shown, most = 3, 10000
	n := 0
	for ; n < most; n++ {
		at = at.Add(k.Policy.Retry(at, l, schedule.Failing{Count: n + 1}, 0.5))
		if !at.Before(end) {
			break
		}
		if n < shown {
			line(at, "if the issuer fails: again at about here")
		}
	}
	if n > shown {
		line(end, "and %d times more until it expires", n-shown)
	}
}
