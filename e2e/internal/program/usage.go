// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package program

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Memory is what a process has in memory, in bytes.
type Memory struct{ Resident, Anonymous int64 }

// Memory reads /proc/PID/smaps_rollup, proc_pid_smaps(5).
func (p *Process) Memory() (Memory, error) {
	fields, err := p.fields("smaps_rollup")
	return Memory{1024 * fields["Rss"], 1024 * fields["Anonymous"]}, err
}

// Switches returns how often threads of the process went to sleep of their own accord, proc_pid_status(5). A thread that
// has ended no longer counts.
func (p *Process) Switches() (int64, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.PID()))
	var sum int64
	for _, thread := range threads {
		var fields map[string]int64
		if fields, err = p.fields("task/" + filepath.Base(thread) + "/status"); err != nil {
			break
		}
		sum += fields["voluntary_ctxt_switches"]
	}
	return sum, err
}

// CPU returns the time that all threads of the process spent on a processor, ended ones not included: the first field of
// schedstat. /proc/PID/stat counts in hundredths of a second, which is too coarse for an idle process.
func (p *Process) CPU() (time.Duration, error) { return p.schedstat(0) }

// Waited returns the time that threads of the process could have run and had no processor, ended ones not included: the second
// field of schedstat. On a machine that has nothing else to do it is next to nothing.
func (p *Process) Waited() (time.Duration, error) { return p.schedstat(1) }

// schedstat adds up a field of all threads, in nanoseconds.
func (p *Process) schedstat(field int) (sum time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.PID()))
	for _, path := range threads {
		var data []byte
		if data, err = os.ReadFile(path); err != nil {
			break
		}
		n, err := strconv.ParseInt(strings.Fields(string(data))[field], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	return sum, err
}

// fields reads a file of lines like "Name:  123 kB" below /proc/PID. Lines of another form are left out.
func (p *Process) fields(name string) (map[string]int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID(), name))
	if err != nil {
		return nil, err
	}
	fields := map[string]int64{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		if words := strings.Fields(value); len(words) > 0 {
			if n, err := strconv.ParseInt(words[0], 10, 64); err == nil {
				fields[key] = n
			}
		}
	}
	return fields, nil
}
