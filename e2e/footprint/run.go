// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/renewd/renewd/e2e/internal/program"
)

// busyTokens share the refreshes: the floor lets one token refresh ten times a second at most.
const busyTokens = 4

// refresh sends SIGUSR1 until so many tokens have been published since the start. It scrapes the metrics about once a second.
// It returns the number that was reached.
func refresh(p *program.Process, until int) (int, error) {
	for round := 0; ; round++ {
		if p.Over() {
			return 0, fmt.Errorf("renewd has ended:\n%s", p.Log())
		}
		if round%10 == 0 {
			n, err := published(p)
			if err != nil || n >= until {
				return n, err
			}
		}
		if err := p.Signal(syscall.SIGUSR1); err != nil {
			return 0, err
		}
		time.Sleep(105 * time.Millisecond)
	}
}

// published reads from the metrics how many tokens were published.
func published(p *program.Process) (int, error) {
	n, err := p.Count("renewd_refresh_attempts_total{", `result="published"`)
	return int(n), err
}

// busy measures memory and CPU time over many refreshes.
func (b *bench) busy() ([]row, error) {
	p, err := b.begin(busyTokens, 1, nil)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	first, err := refresh(p, 1)
	if err != nil {
		return nil, err
	}
	fresh, err := p.Memory()
	if err != nil {
		return nil, err
	}
	before, err := p.CPU()
	if err != nil {
		return nil, err
	}
	var rows []row
	how := fmt.Sprintf("`run`, %d tokens, SIGUSR1 every 105 ms, listener, socket, a scrape a second; smaps_rollup", busyTokens)
	rows = append(rows, row{"memory, fresh", "", memory(fresh), how})
	for _, goal := range []int{1000, 3000} {
		n, err := refresh(p, goal)
		if err != nil {
			return nil, err
		}
		m, err := p.Memory()
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{fmt.Sprintf("memory after %d refreshes", n), "<= 11 MiB, 3.5 anonymous, flat", memory(m), "the same process"})
		if goal == 3000 {
			after, err := p.CPU()
			if err != nil {
				return nil, err
			}
			each := (after - before) / time.Duration(n-first)
			rows = append(rows, row{"one refresh, CPU", "", micros(each),
				"the whole process: key, signature, publish, watcher, log, its share of the scrapes"})
		}
	}
	return rows, p.Stop()
}

// publish measures what one more file costs an attempt: the difference between many files of a token and one.
func (b *bench) publish() ([]row, error) {
	const more = 20
	one, err := b.attempt(1)
	if err != nil {
		return nil, err
	}
	many, err := b.attempt(1 + more)
	if err != nil {
		return nil, err
	}
	return []row{
		{"one attempt, wall", "", micros(one), "renewd_refresh_duration_seconds, mean of 100: key, signature, checks, publish to one file"},
		{"one publish, wall", "<= 25 µs", micros((many - one) / more), fmt.Sprintf("an attempt that publishes to %d files, less one to one file, through %d", 1+more, more)},
	}, nil
}

// attempt returns the mean time that attempts took, as the metrics tell it.
func (b *bench) attempt(files int) (time.Duration, error) {
	p, err := b.begin(1, files, nil)
	if err != nil {
		return 0, err
	}
	defer p.Kill()
	if _, err := refresh(p, 100); err != nil {
		return 0, err
	}
	seconds, err := p.Count("renewd_refresh_duration_seconds_sum", "")
	if err != nil {
		return 0, err
	}
	count, err := p.Count("renewd_refresh_duration_seconds_count", "")
	if err != nil {
		return 0, err
	}
	return time.Duration(seconds / count * 1e9), p.Stop()
}

func micros(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }

func memory(m program.Memory) string {
	return mib(m.Resident) + ", anonymous " + mib(m.Anonymous)
}

// idle measures what the process does while nothing is due.
func (b *bench) idle() ([]row, error) {
	p, err := b.begin(1, 1, nil)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	time.Sleep(settled)
	switches, cpu, err := usage(p)
	if err != nil {
		return nil, err
	}
	time.Sleep(minute)
	switches2, cpu2, err := usage(p)
	if err != nil {
		return nil, err
	}
	m, err := p.Memory()
	if err != nil {
		return nil, err
	}
	how := "sum over all threads for 60 s; one one-hour token, listener and socket, no scrapes"
	return []row{
		{"idle, voluntary switches a minute", "<= 15", strconv.FormatInt(switches2-switches, 10), how},
		{"idle, CPU a minute", "<= 1 ms", ms(cpu2 - cpu), "schedstat, the same minute"},
		{"idle, memory", "", memory(m), "the same process, after it"},
	}, p.Stop()
}

func usage(p *program.Process) (switches int64, cpu time.Duration, err error) {
	if switches, err = p.Switches(); err != nil {
		return 0, 0, err
	}
	cpu, err = p.CPU()
	return switches, cpu, err
}
