// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"unicode/utf8"
)

// brush is what a bar is drawn with.
type brush struct{ fresh, early, window, retries, promise, edge, retry string }

func (s screen) brush() brush {
	if s.unicode {
		return brush{fresh: "─", early: "╌", window: "█", retries: "▒", promise: "░", edge: "│", retry: "↑"}
	}
	return brush{fresh: "-", early: "~", window: "#", retries: "=", promise: ":", edge: "|", retry: "^"}
}

const (
	narrowest = 40  // columns that a bar needs
	widest    = 160 // beyond that it is no easier to read
)

// draw prints the plan of one token: a bar, the moments in their order, and what they mean in words.
func (t timetable) draw(out io.Writer, s screen) {
	b := s.brush()
	fmt.Fprintf(out, "%s: a life of %v (%s)\n\n", visible(t.Name), t.Life, t.Origin)
	t.bar(out, s, b)
	for _, m := range t.moments(b) {
		fmt.Fprintf(out, "  %s %10s  %s\n", s.paint(m.color, m.mark), "+"+m.at.String(), m.text)
	}
	fmt.Fprintln(out)
	for _, text := range t.words() {
		paragraph(out, s, "", text)
	}
	for _, notice := range t.Notices {
		paragraph(out, s, "note: ", notice)
	}
}

// bar prints the life as a line, the retries of an average outage below it, and the times of what is on it.
func (t timetable) bar(out io.Writer, s screen, b brush) {
	width := min(max(s.columns, narrowest), widest) - 6
	column := func(d after) int {
		if t.Life <= 0 {
			return 0
		}
		return min(max(0, int(float64(width)*float64(d)/float64(t.Life)+0.5)), width)
	}
	first, start, end, keeps := column(t.FirstStart), column(t.Start), column(t.End), column(t.GuaranteeEnd)
	start = min(start, width-1)
	end = max(end, start+1) // a window is never so short that it is not seen
	keeps = max(keeps, end)
	first = min(first, start)
	fmt.Fprintf(out, "  %s%s%s%s%s%s%s\n", b.edge, strings.Repeat(b.fresh, first), strings.Repeat(b.early, start-first),
		s.paint(good, strings.Repeat(b.window, end-start)), s.paint(doubt, strings.Repeat(b.retries, keeps-end)),
		s.paint(bad, strings.Repeat(b.promise, width-keeps)), b.edge)

	marks := make([]string, width+1)
	for _, at := range t.Down.First {
		marks[column(at)] = b.retry
	}
	for i := end; t.Down.Attempts > len(t.Down.First) && i <= width; i++ {
		marks[i] = b.retry // more than there are columns
	}
	var line strings.Builder
	for _, m := range marks {
		if m == "" {
			m = " "
		}
		line.WriteString(m)
	}
	if text := strings.TrimRight(line.String(), " "); text != "" {
		fmt.Fprintf(out, "   %s\n", text)
	}
	fmt.Fprintf(out, "   %s\n\n", t.scale(width, column))
}

// scale returns the times below a bar: those that matter most, and of the others what has room between them.
func (t timetable) scale(width int, column func(after) int) string {
	line := []byte(strings.Repeat(" ", width+2))
	for _, at := range []after{0, t.Life, t.Start, t.End, t.GuaranteeEnd, t.FirstStart} {
		text := at.String()
		from := min(column(at), len(line)-len(text))
		room := line[max(0, from-1):min(len(line), from+len(text)+1)]
		if from >= 0 && strings.TrimSpace(string(room)) == "" {
			copy(line[from:], text)
		}
	}
	return strings.TrimRight(string(line), " ")
}

// moment is one line of a timetable.
type moment struct {
	at          after
	mark, color string
	text        string
}

// moments returns what happens in the life of a token, in the order of time.
func (t timetable) moments(b brush) []moment {
	const shown = 3
	list := []moment{{0, b.edge, "", "issued"}}
	if t.FirstStart < t.Start {
		list = append(list, moment{t.FirstStart, b.early, "", "from here on, if it is the first token after a start"})
	}
	list = append(list,
		moment{t.Start, b.window, good, "refreshed at a random moment from here"},
		moment{t.End, b.window, good, "to here"})
	for _, at := range t.Down.First[:min(shown, len(t.Down.First))] {
		list = append(list, moment{at, b.retry, "", "if the issuer fails: again at about here"})
	}
	list = append(list, moment{t.GuaranteeEnd, b.promise, bad, fmt.Sprintf("until here readers have the %v that they are promised", t.Guarantee)})
	if more := t.Down.Attempts - shown; more > 0 {
		list = append(list, moment{t.Life, b.retry, "", fmt.Sprintf("and about %s more until it expires", plural(more, "time"))})
	}
	list = append(list, moment{t.Life, b.edge, "", "expires"})
	sort.SliceStable(list, func(i, j int) bool { return list[i].at < list[j].at })
	return list
}

// words says what the issuer has to bear and what happens if it does not.
func (t timetable) words() []string {
	attempts := func(f failing, shown int) string {
		if f.Attempts == 0 {
			return "no further attempt before the token expires"
		}
		return fmt.Sprintf("about %s before the token expires, at about %s", plural(f.Attempts, "more attempt"), times(f, shown))
	}
	return []string{
		fmt.Sprintf("The issuer is asked about %s, if all goes well.", pace(t.RequestsPerHour)),
		fmt.Sprintf("Issuer down at the last moment, +%v: %s; after that one about every %v, until there is a token.", t.End, attempts(t.Down, 4), t.Down.Later),
		fmt.Sprintf("Readers keep a valid token until +%v; the promise to them of %v breaks at +%v.", t.Life, t.Guarantee, t.GuaranteeEnd),
		fmt.Sprintf("Survived without breaking that promise: an outage of %v at most, of %v for sure, however the random waits fall. "+
			"Before the token expires: of %v at most, of %v for sure.", t.Down.Promise, t.Down.PromiseForSure, t.Down.Token, t.Down.TokenForSure),
		fmt.Sprintf("Refused by the issuer, hurrying cannot help: %s; a key or a secret that changes on disk is tried at once.", attempts(t.Refused, 2)),
	}
}

// times writes the first few attempts.
func times(f failing, most int) string {
	var texts []string
	for _, at := range f.First[:min(most, len(f.First))] {
		texts = append(texts, "+"+at.String())
	}
	if f.Attempts > most {
		texts = append(texts, "...")
	}
	return strings.Join(texts, ", ")
}

// paragraph prints a text behind a label, with line ends where the screen needs them.
func paragraph(out io.Writer, s screen, label, text string) {
	width := min(max(s.columns, narrowest), 100) - 2
	line, used := "  ", 2+len(label)
	if label != "" {
		line += s.paint(doubt, label)
	}
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if used > 2+len(label) && used+n > width {
			fmt.Fprintln(out, strings.TrimRight(line, " "))
			line, used = "    ", 4
		}
		line += word + " "
		used += n + 1
	}
	fmt.Fprintln(out, strings.TrimRight(line, " "))
}
