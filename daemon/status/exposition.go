// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// expositionType is the content type of the Prometheus text format that Writer produces.
const expositionType = "text/plain; version=0.0.4; charset=utf-8"

// Writer collects metric families for one scrape and prints them in the Prometheus text format, version 0.0.4, sorted by
// name. A family is declared with a function that adds its samples later, while the answer is sent, so that no scrape is
// ever held in memory as a whole. That function must therefore hold no lock while it adds samples: the client may be slow.
// A family without samples is left out. The zero value is ready for use.
type Writer struct {
	families []family
}

type family struct {
	name, help, kind string
	samples          func(*Samples)
}

// Gauge declares a family of values that go up and down. Name and help are constants of the program; the name has a base
// unit as its suffix if there is one.
func (w *Writer) Gauge(name, help string, samples func(*Samples)) {
	w.families = append(w.families, family{name, help, "gauge", samples})
}

// Counter declares a family of values that only grow. The name ends in _total.
func (w *Writer) Counter(name, help string, samples func(*Samples)) {
	w.families = append(w.families, family{name, help, "counter", samples})
}

// Histogram declares a family whose samples are added with Samples.AddHistogram.
func (w *Writer) Histogram(name, help string, samples func(*Samples)) {
	w.families = append(w.families, family{name, help, "histogram", samples})
}

// emit prints the families to out. A name that was declared twice is an error of the program, found before anything is
// printed; any other error is that of out.
func (w *Writer) emit(out io.Writer) error {
	sort.SliceStable(w.families, func(i, j int) bool { return w.families[i].name < w.families[j].name })
	for i := 1; i < len(w.families); i++ {
		if w.families[i].name == w.families[i-1].name {
			return fmt.Errorf("metric %s is declared twice", w.families[i].name)
		}
	}
	buffer := bufio.NewWriter(out)
	for _, f := range w.families {
		f.samples(&Samples{out: buffer, family: f})
	}
	return buffer.Flush()
}

// Samples takes the samples of one family. It is valid only during the function that it was passed to.
type Samples struct {
	out    *bufio.Writer
	family family
	begun  bool
	number [32]byte
}

// Add prints one sample. Labels are name, value, name, value, …; a value may be any text.
func (s *Samples) Add(value float64, labels ...string) { s.line("", value, labels, "") }

// AddHistogram prints one histogram. Bounds are the upper bounds in ascending order, without +Inf; counts has one more
// element than bounds and is not cumulative.
func (s *Samples) AddHistogram(bounds []float64, counts []uint32, sum float64, labels ...string) {
	var total uint64
	for i, bound := range bounds {
		total += uint64(counts[i])
		s.line("_bucket", float64(total), labels, strconv.FormatFloat(bound, 'g', -1, 64))
	}
	total += uint64(counts[len(bounds)])
	s.line("_bucket", float64(total), labels, "+Inf")
	s.line("_sum", sum, labels, "")
	s.line("_count", float64(total), labels, "")
}

// line prints one line. Errors of the buffer are kept by it and found at its Flush.
func (s *Samples) line(suffix string, value float64, labels []string, le string) {
	s.begin()
	s.out.WriteString(s.family.name)
	s.out.WriteString(suffix)
	separator := byte('{')
	label := func(name, value string) {
		s.out.WriteByte(separator)
		separator = ','
		s.out.WriteString(name)
		s.out.WriteString(`="`)
		escape(s.out, value, true)
		s.out.WriteByte('"')
	}
	for i := 0; i+1 < len(labels); i += 2 {
		label(labels[i], labels[i+1])
	}
	if le != "" {
		label("le", le)
	}
	if separator == ',' {
		s.out.WriteByte('}')
	}
	s.out.WriteByte(' ')
	// People read timestamps too: no exponent for what a float64 holds exactly.
	form := byte('g')
	if size := math.Abs(value); size >= 1e-4 && size < 1<<53 {
		form = 'f'
	}
	s.out.Write(strconv.AppendFloat(s.number[:0], value, form, -1, 64))
	s.out.WriteByte('\n')
}

func (s *Samples) begin() {
	if s.begun {
		return
	}
	s.begun = true
	s.out.WriteString("# HELP ")
	s.out.WriteString(s.family.name)
	s.out.WriteByte(' ')
	escape(s.out, s.family.help, false)
	s.out.WriteString("\n# TYPE ")
	s.out.WriteString(s.family.name)
	s.out.WriteByte(' ')
	s.out.WriteString(s.family.kind)
	s.out.WriteByte('\n')
}

// escape prints text as the format demands: backslash and line feed are escaped everywhere, quotes in label values only.
// Bytes that are no UTF-8 become U+FFFD, because one of them would make the whole scrape unreadable.
func escape(out *bufio.Writer, text string, quotes bool) {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	for {
		i := strings.IndexAny(text, "\\\n\"")
		if i < 0 {
			out.WriteString(text)
			return
		}
		out.WriteString(text[:i])
		switch c := text[i]; {
		case c == '\n':
			out.WriteString(`\n`)
		case c == '"' && !quotes:
			out.WriteByte('"')
		default:
			out.WriteByte('\\')
			out.WriteByte(c)
		}
		text = text[i+1:]
	}
}
