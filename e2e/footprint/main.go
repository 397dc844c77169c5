// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Footprint builds renewd as it is shipped and measures it as a whole process: size, start, memory, idle. It prints a table
// of what was measured beside the goals of the design. It judges nothing: the machine may be busy, and the exit code is 0
// unless something could not be measured at all. It takes about four minutes:
//
//	go run ./footprint
package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

func main() {
	if err := measureAll(); err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

// row is one line of the table.
type row struct{ figure, goal, measured, note string }

func measureAll() error {
	began := time.Now()
	b, err := newBench(context.Background())
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "FIGURE\tGOAL\tMEASURED\tHOW")
	for _, measure := range []func() ([]row, error){b.size, b.initTime, b.start, b.busy, b.publish, b.idle, b.charged} {
		rows, err := measure()
		if err != nil {
			return err
		}
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.figure, r.goal, r.measured, r.note)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("\nmeasured in %v; the output is on a tmpfs; no token came over TLS\n", time.Since(began).Round(time.Second))
	return nil
}

func mib(bytes int64) string { return fmt.Sprintf("%.2f MiB", float64(bytes)/(1<<20)) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }
