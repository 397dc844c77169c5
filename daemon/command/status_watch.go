// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/renewd/renewd/daemon/status"
)

// watching says how status is followed.
type watching struct {
	json  bool
	every time.Duration
}

// What a terminal is told (ECMA-48, and xterm's private modes): a screen of its own without a cursor, on which long lines
// are cut, and the end of that.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	toTheTop    = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
	plain       = "\x1b[0m" // where the end of a colored text was cut off
)

// watchStatus shows how the tokens are until ctx ends. Only what is wrong at the first look ends it with an error.
func (a *app) watchStatus(ctx context.Context, look func(context.Context) (snapshot, error), w watching) error {
	shot, err := look(ctx)
	if err != nil {
		return err
	}
	show := a.appended(w)
	end := func() error { return nil }
	// The size of the window may change at any time, and a shell may take the terminal for a while. Of a pipe only a write
	// would tell that nobody reads it, and there may be nothing to write for hours.
	resized, suspended := make(chan os.Signal, 1), make(chan os.Signal, 1)
	alone := time.NewTicker(time.Second)
	defer alone.Stop()
	if screenOf(a.stdout).terminal && os.Getenv("TERM") != "dumb" && !w.json {
		d := &drawing{app: a, every: w.every}
		show, end = d.show, d.end
		signal.Notify(resized, syscall.SIGWINCH)
		defer signal.Stop(resized)
		signal.Notify(suspended, syscall.SIGTSTP)
		defer signal.Stop(suspended)
		alone.Stop() // a terminal that goes away sends a signal
	}
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		if failed := show(shot, err); failed != nil {
			_ = end() // whoever looked is gone
			return failed
		}
		select {
		case <-ctx.Done():
			return end()
		case <-resized:
			continue
		case <-alone.C:
			if unread(a.stdout) {
				return a.print([]byte{'\n'}) // which ends this as it ends every command
			}
			continue
		case <-suspended:
			if err := end(); err != nil {
				return err
			}
			stopHere(ctx)
		case <-tick.C:
		}
		next, failed := look(ctx)
		if ctx.Err() != nil {
			return end()
		}
		if err = failed; err == nil {
			shot = next
		}
	}
}

// stopHere does what SIGTSTP does to a program that does not catch it. It returns when the program may go on, or ctx ends.
func stopHere(ctx context.Context) {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	if syscall.Kill(syscall.Getpid(), syscall.SIGSTOP) != nil {
		return
	}
	// The signal may come a moment after the call.
	select {
	case <-continued:
	case <-ctx.Done():
	}
}

// drawing shows each report in the place of the one before. When it ends, the last one stays, and the next begins anew.
type drawing struct {
	*app
	every time.Duration
	last  bytes.Buffer
	begun bool
}

func (d *drawing) show(shot snapshot, err error) error {
	s := screenOf(d.stdout)
	d.last.Reset()
	fmt.Fprintf(&d.last, "%s\n", s.paint(faint, fmt.Sprintf("%s, every %v; Ctrl-C ends it", time.Now().Format(time.DateTime), after(d.every))))
	switch {
	case err != nil:
		fmt.Fprintln(&d.last, s.paint(bad, visible(err.Error())+"; this was the last report:"))
	case shot.why != "":
		fmt.Fprintln(&d.last, s.paint(doubt, shot.why))
	}
	fmt.Fprintln(&d.last)
	writeReport(&d.last, shot.Report, s)
	lines := strings.Split(strings.TrimRight(d.last.String(), "\n"), "\n")
	if more := len(lines) - s.rows; more > 0 && s.rows > 1 {
		lines = append(lines[:s.rows-1], plain+fmt.Sprintf("and %s more: the window is too small", plural(more+1, "line")))
	}
	text := toTheTop + strings.Join(lines, restOfLine+"\n") + restOfLine + restBelow
	if !d.begun {
		text = enterScreen + text
	}
	d.begun = true
	return d.print([]byte(text))
}

func (d *drawing) end() error {
	d.begun = false
	_, text, _ := strings.Cut(d.last.String(), "\n")
	return d.print([]byte(leaveScreen + strings.TrimLeft(text, "\n")))
}

// appended adds a row for each token that is not as it was before, or with json a report if anything in it is not.
func (a *app) appended(w watching) func(snapshot, error) error {
	var rows map[string]string // nil before the first report
	before, said := "", ""
	return func(shot snapshot, err error) error {
		why := shot.why
		if err != nil {
			why = err.Error()
		}
		if why != said && why != "" {
			fmt.Fprintln(a.stderr, why)
		}
		said = why
		if w.json {
			facts, report, err := reportFacts(shot.Report)
			if err != nil || facts == before {
				return err
			}
			before = facts
			return a.print(report)
		}
		var out bytes.Buffer
		if rows == nil {
			fmt.Fprintf(&out, "TIME\t%s\n", strings.Join(columnTitles, "\t"))
		}
		now := map[string]string{}
		for _, t := range byUrgency(shot.Report) {
			facts := fmt.Sprint(t)
			now[t.Name] = facts
			if rows[t.Name] != facts {
				appendRow(&out, t, shot.Time)
			}
		}
		for name := range rows {
			if _, there := now[name]; !there {
				fmt.Fprintf(&out, "%s\t%s\tno longer configured\n", shot.Time.Local().Format(time.RFC3339), visible(name))
			}
		}
		rows = now
		return a.print(out.Bytes())
	}
}

// appendRow writes a token on one line, with tabs between the fields: the widths of rows to come are not known.
func appendRow(out *bytes.Buffer, t status.Token, now time.Time) {
	rows := tokenRows(t, now)
	fields := []string{now.Local().Format(time.RFC3339)}
	for _, c := range rows[0].cells {
		fields = append(fields, c.text)
	}
	for _, c := range rows[len(rows)-1].below {
		fields = append(fields, strings.Join(strings.Fields(c.text), " "))
	}
	fmt.Fprintln(out, strings.Join(fields, "\t"))
}

// reportFacts returns what of a report does not change by itself, and the report on one line.
func reportFacts(r status.Report) (facts string, report []byte, err error) {
	report, err = json.Marshal(r)
	if err != nil {
		return "", nil, &exit{code: exitOther, err: err}
	}
	r.Time, r.Watches = time.Time{}, nil
	calm, err := json.Marshal(r)
	if err != nil {
		return "", nil, &exit{code: exitOther, err: err}
	}
	return string(calm), append(report, '\n'), nil
}
