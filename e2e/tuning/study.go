// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pods is the size of the fleets that the document speaks of.
const pods = 20_000

// study asks the program. After the first error nothing is asked any more.
type study struct {
	ctx         context.Context
	binary, dir string
	known       map[string][]answer // by the arguments and the schedule
	err         error
}

// question is a schedule and a life, and flags of `renewd simulate`.
type question struct {
	refresh string // what stands in the mapping `refresh` of the configuration
	life    time.Duration
	flags   []string
}

// answer is one line of the table of `renewd simulate`. Loads are multiples of the ideal load, "-" if there is none.
type answer struct {
	rule                        string
	mean, steady, outage, after string
	without, recovered          string
}

// requests returns a multiple in requests a second.
func (q question) requests(multiple string) string {
	n, err := strconv.ParseFloat(multiple, 64)
	if err != nil {
		return multiple
	}
	perSecond := n * pods / q.life.Seconds()
	if perSecond < 10 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return fmt.Sprintf("%.0f", perSecond)
}

// configuration writes the configuration of a question. Its key is never read.
func (s *study) configuration(q question) string {
	path := filepath.Join(s.dir, "config.yaml")
	text := fmt.Sprintf("version: 1\ntokens:\n  - name: renewd\n    source: {sign: {algorithm: ES256, keyFile: /nowhere/key.pem, ttl: %v}}\n"+
		"    refresh: {%s}\n    publish: [{file: /nowhere/token}]\n", q.life, q.refresh)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.err = errors.Join(s.err, err)
	}
	return path
}

// run returns what the program writes to standard output.
func (s *study) run(args ...string) string {
	if s.err != nil {
		return ""
	}
	// Tests that watch the clock may run beside this one.
	cmd := exec.CommandContext(s.ctx, "nice", append([]string{s.binary}, args...)...)
	for _, v := range os.Environ() { // without a locale: plain ASCII
		if !strings.HasPrefix(v, "RENEWD_") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.err = fmt.Errorf("renewd %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// simulate returns the answers for renewd and for the others, in the order of the program's table.
func (s *study) simulate(q question) []answer {
	args := append([]string{"simulate", "--config", s.configuration(q), "--pods", strconv.Itoa(pods)}, q.flags...)
	key := fmt.Sprint(q.refresh, q.life, args)
	if all, ok := s.known[key]; ok {
		return all
	}
	_, table, _ := strings.Cut(s.run(args...), "\nSCHEDULE ")
	table, _, _ = strings.Cut(table, "\n\n")
	gaps := regexp.MustCompile(` {3,}`)
	var answers []answer
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		f := gaps.Split(strings.TrimSpace(line), -1)
		switch {
		case i == 0:
			continue // the titles
		case strings.HasSuffix(line, "never got a first token"):
			continue // a remark below the table
		}
		if len(f) != 7 {
			s.err = errors.Join(s.err, fmt.Errorf("%d columns in %q", len(f), line))
			return nil
		}
		for j := 1; j < 5; j++ {
			f[j], _, _ = strings.Cut(f[j], "x ")
		}
		answers = append(answers, answer{rule: f[0], mean: f[1], steady: f[2], outage: f[3], after: f[4],
			without: strings.TrimSuffix(f[5], " s/pod"), recovered: f[6]})
	}
	if len(answers) < 2 && s.err == nil {
		s.err = errors.New("`renewd simulate` printed no table")
	}
	s.known[key] = answers
	return answers
}

// renewd returns the answer for renewd alone.
func (s *study) renewd(q question) answer {
	if all := s.simulate(q); s.err == nil {
		return all[0]
	}
	return answer{}
}

// minutes returns the busiest second of each minute as a multiple of the ideal load, by the name of the rule.
func (s *study) minutes(q question) map[string][]float64 {
	path := filepath.Join(s.dir, "load.csv")
	q.flags = append(slices.Clip(q.flags), "--csv", path)
	s.simulate(q)
	if s.err != nil {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		s.err = err
		return nil
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		s.err = fmt.Errorf("read --csv: %w", err)
		return nil
	}
	ideal := pods / q.life.Seconds()
	loads := map[string][]float64{}
	for column, rule := range rows[0][1:] {
		loads[rule] = make([]float64, (len(rows)-1)/60)
		for second := range 60 * len(loads[rule]) {
			n, err := strconv.Atoi(rows[second+1][column+1])
			if err != nil {
				s.err = fmt.Errorf("read --csv: %w", err)
			}
			loads[rule][second/60] = max(loads[rule][second/60], float64(n)/ideal)
		}
	}
	return loads
}

// timetable is what `renewd plan` says of one life, all of it after the issue.
type timetable struct{ first, start, end, promise, life time.Duration }

func (s *study) plan(q question) timetable {
	out := s.run("plan", "--config", s.configuration(q))
	t := timetable{life: q.life}
	for text, at := range map[string]*time.Duration{
		"from here on, if it is the first token": &t.first,
		"refreshed at a random moment from here": &t.start,
		"to here":                                &t.end,
		"until here readers have":                &t.promise,
	} {
		found := regexp.MustCompile(`\+(\S+) +` + text).FindStringSubmatch(out)
		if found == nil && at == &t.first {
			continue // a window that begins as early as any can
		}
		if found == nil && s.err == nil {
			s.err = fmt.Errorf("`renewd plan` does not say %q:\n%s", text, out)
		}
		if s.err != nil {
			return t
		}
		*at, s.err = time.ParseDuration(found[1])
	}
	if t.first == 0 {
		t.first = t.start
	}
	return t
}

// short writes a duration as people do.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
