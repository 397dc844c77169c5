// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/renewd/renewd/daemon/status"
)

// urgency says how soon somebody must look at a token; smaller is sooner.
type urgency int

const (
	lost    urgency = iota // readers have no valid token
	trouble                // they will have none if nothing changes: an attempt failed, or what they were promised is not left
	fine
)

func urgencyOf(t status.Token, now time.Time) urgency {
	left := t.ExpiresAt.Sub(now)
	switch {
	case !t.Valid:
		return lost
	case t.ConsecutiveFailures > 0, t.LastError != "", !t.ExpiresAt.IsZero() && left.Seconds() < t.Guarantee:
		return trouble
	}
	return fine
}

// byUrgency returns the tokens of a report with those in trouble first, then those that expire first.
func byUrgency(r status.Report) []status.Token {
	expires := func(t status.Token) int64 {
		if t.ExpiresAt.IsZero() && t.Valid {
			return 1<<63 - 1 // nobody said: later than all others
		}
		return t.ExpiresAt.Unix()
	}
	list := slices.Clone(r.Tokens)
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return cmp.Or(cmp.Compare(urgencyOf(a, r.Time), urgencyOf(b, r.Time)), cmp.Compare(expires(a), expires(b)), strings.Compare(a.Name, b.Name)) < 0
	})
	return list
}

// cell is one field of a table.
type cell struct{ text, color string }

// row is one line of a table, and the lines below it that belong to no column.
type row struct {
	cells []cell
	below []cell
}

var columnTitles = []string{"TOKEN", "SOURCE", "VALID", "EXPIRES", "NEXT ATTEMPT", "FAILURES", "FILE", "MODE"}

// writeReport prints a report as a table, with what is wrong below the token that it is about.
func writeReport(out io.Writer, r status.Report, s screen) {
	rows := []row{{}}
	for _, title := range columnTitles {
		rows[0].cells = append(rows[0].cells, cell{title, faint})
	}
	for _, t := range byUrgency(r) {
		rows = append(rows, tokenRows(t, r.Time)...)
	}
	writeRows(out, rows, s)
	for _, f := range []struct {
		name string
		status.Loaded
	}{{"configuration", r.Configuration}, {"log policy", r.LogPolicy.Loaded}} {
		if f.Error != "" {
			fmt.Fprintf(out, "\n%s\n%s\n", s.paint(bad, "the "+f.name+" on disk is not in force:"), visible(f.Error))
		}
	}
	for _, o := range r.LogPolicy.Overrides {
		fmt.Fprintf(out, "\n%s is logged at %s, which ends %s\n", visible(o.Area), visible(o.Level), when(o.Until, r.Time))
	}
}

// tokenRows returns a row for each file of a token; the first one is about the token.
func tokenRows(t status.Token, now time.Time) []row {
	color, valid, failures := good, "yes", ""
	switch urgencyOf(t, now) {
	case lost:
		color, valid = bad, "NO"
	case trouble:
		color = doubt
	}
	if t.ConsecutiveFailures > 0 {
		failures = color
	}
	var rows []row
	files := t.Files
	if len(files) == 0 {
		files = []status.File{{}}
	}
	for i, f := range files {
		cells := make([]cell, 6, 8)
		if i == 0 {
			cells = append(cells[:0], cell{visible(t.Name), color}, cell{text: visible(t.Source)}, cell{valid, color},
				cell{when(t.ExpiresAt, now), color}, cell{text: when(t.NextAttempt, now)}, cell{fmt.Sprint(t.ConsecutiveFailures), failures})
		}
		rows = append(rows, row{cells: append(cells, cell{text: visible(f.Path)}, cell{text: visible(f.Mode)})})
	}
	rows[len(rows)-1].below = remarks(t, now, color)
	return rows
}

// remarks returns the last error of a token, when that was, and its remedy.
func remarks(t status.Token, now time.Time, color string) []cell {
	var list []cell
	if t.LastError != "" {
		text := t.Name + ": " + t.LastError // what the disk says
		if t.ConsecutiveFailures > 0 {
			since := ""
			if t.ConsecutiveFailures > 1 && len(t.FailedAttempts) > 0 {
				since = "; the first " + when(t.FailedAttempts[0], now)
			}
			text = fmt.Sprintf("%s: %s: %s (%s%s)", t.Name, cmp.Or(t.LastErrorClass, "error"), t.LastError, when(t.LastAttempt, now), since)
		}
		list = append(list, cell{"  " + strings.ReplaceAll(visible(text), "\n", "\n    "), color})
	}
	if t.Hint != "" {
		list = append(list, cell{text: "  help: " + strings.ReplaceAll(visible(t.Hint), "\n", "\n    ")})
	}
	return list
}

// writeRows prints rows with columns of one width. Padding comes before color, which has no width.
func writeRows(out io.Writer, rows []row, s screen) {
	var widths [8]int
	for _, r := range rows {
		for i, c := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r.cells {
			padding := widths[i] - utf8.RuneCountInString(c.text) + 3
			if i == len(r.cells)-1 {
				padding = 0
			}
			line.WriteString(s.paint(c.color, c.text) + strings.Repeat(" ", padding))
		}
		fmt.Fprintln(out, line.String())
		for _, c := range r.below {
			fmt.Fprintln(out, s.paint(c.color, c.text))
		}
	}
}

// when says an instant by its distance from now, and by the clock.
func when(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	clock := t.Local().Format(time.TimeOnly)
	if d := t.Sub(now).Abs(); d > 18*time.Hour {
		clock = t.Local().Format(time.DateTime)
	}
	if t.Before(now) {
		return short(now.Sub(t)) + " ago at " + clock
	}
	return "in " + short(t.Sub(now)) + " at " + clock
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
