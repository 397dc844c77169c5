// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/renewd/renewd/daemon/simulate"
)

// writeResults prints one line for each rule: loads as multiples of the ideal one, and in requests a second.
func writeResults(out io.Writer, results []simulate.Result, f simulate.Fleet) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "SCHEDULE\tMEAN\tSTEADY PEAK\tOUTAGE PEAK\tPEAK AFTER\tWITHOUT TOKEN\tRECOVERED IN")
	for _, r := range results {
		load := func(perSecond float64) string {
			if perSecond == 0 {
				return "-"
			}
			return fmt.Sprintf("%.*fx %.*f/s", digits(perSecond/f.Ideal()), perSecond/f.Ideal(), digits(perSecond), perSecond)
		}
		recovery := after(r.Recovery).String()
		switch {
		case len(r.Outages) == 0:
			recovery = "-"
		case !r.Recovered:
			recovery = "never"
		}
		fmt.Fprintf(w, "%s\t%.2fx %.*f/s\t%s\t%s\t%s\t%.*f s/pod\t%s\n", r.Rule, r.Mean/f.Ideal(), digits(r.Mean), r.Mean,
			load(r.SteadyPeak), load(r.OutagePeak), load(r.AfterPeak), digits(r.Without), r.Without, recovery)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.Unserved > 0 {
			fmt.Fprintf(out, "%s: %d pods never got a first token\n", r.Rule, r.Unserved)
		}
	}
	return nil
}

// digits returns how many digits behind the point are worth reading.
func digits(v float64) int {
	switch {
	case v == 0 || v >= 100:
		return 0
	case v >= 1:
		return 1
	}
	return 3
}

const chartWidth = 72

// writeChart draws the load of each rule around its first outage, or at the end: each column is the busiest second of its
// time, on a logarithmic scale that is the same for all.
func writeChart(out io.Writer, results []simulate.Result, f simulate.Fleet) {
	steps := []rune(" .:-=+*#@")
	if s := screenOf(out); s.terminal && s.unicode {
		steps = []rune(" ▁▂▃▄▅▆▇█")
	}
	before, outage := f.Life, time.Duration(0)
	if len(results[0].Outages) > 0 {
		outage = results[0].Outages[0].Length
	}
	span := 2*f.Life + outage
	width := 0
	most := 1.0
	var charts [][]float64
	for _, r := range results {
		start := time.Duration(len(r.Load))*time.Second - span
		if len(r.Outages) > 0 {
			start = r.Outages[0].Start - before
		}
		chart := columns(r.Load, start, span)
		for i := range chart {
			chart[i] /= f.Ideal()
			most = max(most, chart[i])
		}
		charts, width = append(charts, chart), max(width, len(r.Rule))
	}
	fmt.Fprintf(out, "\nThe busiest second of each %v, from %c below 1x to %c at %.0fx:\n\n", after(span/chartWidth), steps[1], steps[len(steps)-1], most)
	for i, chart := range charts {
		var line strings.Builder
		for _, load := range chart {
			line.WriteRune(steps[step(load, most, len(steps))])
		}
		fmt.Fprintf(out, "  %-*s  %s\n", width, results[i].Rule, strings.TrimRight(line.String(), " "))
	}
	if outage > 0 {
		at := func(d time.Duration) int { return int(chartWidth * d / span) }
		marks := strings.Repeat(" ", at(before)) + strings.Repeat("^", max(1, at(before+outage)-at(before)))
		fmt.Fprintf(out, "  %-*s  %s outage\n", width, "", marks)
	}
}

// columns returns the busiest second of each column.
func columns(load []uint32, start, span time.Duration) []float64 {
	chart := make([]float64, chartWidth)
	edge := func(i int) int {
		return min(max(0, int((start+span*time.Duration(i)/chartWidth)/time.Second)), len(load))
	}
	for i := range chart {
		if from, to := edge(i), edge(i+1); from < to {
			chart[i] = float64(slices.Max(load[from:to]))
		}
	}
	return chart
}

// step returns the place of a load among the steps: 0 for none, 1 up to 1x, the last one for the most.
func step(load, most float64, steps int) int {
	switch {
	case load == 0:
		return 0
	case load <= 1 || most <= 1:
		return 1
	}
	return 1 + int(math.Round(float64(steps-2)*math.Log(load)/math.Log(most)))
}

// writeLoads writes the load of each second: one column for each rule.
func writeLoads(path string, results []simulate.Result) error {
	file, err := os.Create(path)
	if err != nil {
		return &exit{code: exitWrite, err: fmt.Errorf("write --csv: %w", err)}
	}
	w := bufio.NewWriter(file)
	w.WriteString("second")
	seconds := 0
	for _, r := range results {
		w.WriteString("," + strconv.Quote(r.Rule))
		seconds = max(seconds, len(r.Load))
	}
	for second := range seconds {
		w.WriteString("\n" + strconv.Itoa(second))
		for _, r := range results {
			w.WriteByte(',')
			if second < len(r.Load) {
				w.WriteString(strconv.Itoa(int(r.Load[second])))
			}
		}
	}
	w.WriteByte('\n')
	err = w.Flush()
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return &exit{code: exitWrite, err: fmt.Errorf("write --csv: %w", err)}
	}
	return nil
}
