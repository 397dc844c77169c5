// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/schedule"
	"github.com/renewd/renewd/daemon/simulate"
)

// simulation is what the flags ask for.
type simulation struct {
	fleet     simulate.Fleet
	policy    schedule.Policy
	name      string // of the token
	outages   []string
	csv       string
	recommend time.Duration
}

func (a *app) simulate() *cobra.Command {
	c := &cobra.Command{
		Use:   "simulate [TOKEN]",
		Short: "See what a fleet asks of the issuer, in virtual time",
		Long: "Simulate a fleet of pods that keep one token each: the load of the issuer, and the time without a valid token, under\n" +
			"the schedule of the configuration and those of others. It is the code that `renewd run` follows.\n\n" +
			"Without a configuration the default schedule and one-hour tokens are simulated. Peaks are of single seconds.\n" +
			"An outage at `any` moment is one at each of twelve moments spread over a life: peaks and recovery are the worst of\n" +
			"them, the time without a token is their mean.",
		Example: "  renewd simulate --pods 10000 --life 1h\n" +
			"  renewd simulate -c config.yaml orders --pods 10000 --outage-at 5h+30m --capacity 14\n" +
			"  renewd simulate --pods 1000 --refresh-at 50%-80% --recommend 20m",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeToken,
	}
	s := &simulation{}
	f := c.Flags()
	f.IntVar(&s.fleet.Pods, "pods", 100_000, "`number` of pods")
	durationFlag(f, &s.fleet.Life, "life", 0, "`lifetime` of a token (default: as for plan; 1h without a configuration)")
	durationFlag(f, &s.fleet.Wave, "wave", time.Minute, "the pods start within this `time`")
	f.StringSliceVar(&s.outages, "outage-at", []string{"any+10m"}, "outage of the issuer, `START+DURATION`; START may be any; none for no outage")
	f.Float64Var(&s.fleet.Capacity, "capacity", 0, "requests a second that the issuer serves, a `rate`; 0: all")
	hours := f.Float64("hours", 0, "length of the simulation in `hours` (default: long enough)")
	f.Uint64Var(&s.fleet.Seed, "seed", 1, "`number` that all chance comes from")
	f.StringVar(&s.csv, "csv", "", "write the load of each second to this `file`")
	durationFlag(f, &s.recommend, "recommend", 0, "find the window that survives an `outage` at the smallest load")
	a.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if !(*hours >= 0 && *hours <= 366*24) { // also what is no number
			return &exit{code: exitUsage, err: fmt.Errorf("--hours: %v is not within 0 and 8784, which is a year", *hours)}
		}
		s.fleet.Length = time.Duration(*hours * float64(time.Hour))
		if err := s.parseOutages(); err != nil {
			return &exit{code: exitUsage, err: err}
		}
		if err := a.simulated(c, s, args); err != nil {
			return err
		}
		if s.recommend != 0 {
			return a.recommend(s)
		}
		return a.compare(s)
	}
	return c
}

// parseOutages reads START+DURATION.
func (s *simulation) parseOutages() error {
	for _, text := range s.outages {
		if text == "none" && len(s.outages) == 1 {
			return nil
		}
		before, after, ok := strings.Cut(text, "+")
		length, err := strict.ParseDuration(after)
		if !ok || err != nil {
			return fmt.Errorf("--outage-at: %.40q is not START+DURATION, such as 4h+10m or any+10m", text)
		}
		if before == "any" && len(s.outages) == 1 && length > 0 {
			s.fleet.Anytime = length
			return nil
		}
		start, err := strict.ParseDuration(before)
		if err != nil {
			return fmt.Errorf("--outage-at: %.40q: START is a duration; or any, if it is the only outage", text)
		}
		s.fleet.Outages = append(s.fleet.Outages, simulate.Outage{Start: start, Length: length})
	}
	return nil
}

// simulated takes schedule and lifetime from the configuration; where there is none, from the flags of the schedule and the
// defaults.
func (a *app) simulated(c *cobra.Command, s *simulation, args []string) error {
	alone := a.withoutSource(c)
	if alone {
		// A fleet asks no issuer and publishes nothing: these are never opened.
		for _, name := range []string{"sign-key", "out"} {
			if err := c.Flags().Set(name, "/nowhere/"+name); err != nil {
				return err
			}
		}
	}
	conf, err := a.load(c)
	if err != nil {
		return err
	}
	list := keep(conf.Config, noLog())
	if len(args) == 1 {
		list, err = named(list, args[0])
	}
	switch {
	case err != nil:
		return err
	case len(list) != 1:
		return &exit{code: exitUsage, err: fmt.Errorf("the configuration has %d tokens", len(list)), help: "name one: renewd simulate TOKEN"}
	}
	s.policy, s.name = list[0].Policy, list[0].Name
	if alone {
		s.name = "renewd"
	}
	switch {
	case s.fleet.Life != 0:
	case alone:
		s.fleet.Life = time.Hour
	default:
		life, _ := list[0].life(0)
		s.fleet.Life, _ = s.policy.Span(life)
	}
	return nil
}

// withoutSource reports whether neither a configuration nor a token by flags was given.
func (a *app) withoutSource(c *cobra.Command) bool {
	byVariable := os.Getenv(configText) != ""
	for _, name := range []string{"sign-key", "reissue-key", "source-file", "out"} {
		if given(c.Flags().Lookup(name)) {
			return false
		}
	}
	_, _, _, err := a.locate(&single{flags: c.Flags()})
	return err != nil && a.from.path == "" && !byVariable
}

// compare runs the schedule and those of others, and prints what came of it.
func (a *app) compare(s *simulation) error {
	rules := append([]simulate.Rule{simulate.Of(s.label(), s.policy)}, simulate.Peers()...)
	results, err := a.runRules(s.fleet, rules)
	if err == nil && s.csv != "" {
		err = writeLoads(s.csv, results)
	}
	if err != nil {
		return err
	}
	a.describeFleet(s.fleet)
	if err := writeResults(a.stdout, results, s.fleet); err != nil {
		return &exit{code: exitOther, err: err}
	}
	writeChart(a.stdout, results, s.fleet)
	return nil
}

// label names the schedule by what it says. What moves the window is named, for its percentages alone would be wrong.
func (s *simulation) label() string {
	p, usual := s.policy, schedule.Default()
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %.0f-%.0f %%", s.name, 100*p.AtStart, 100*p.AtEnd)
	for _, demand := range []struct {
		name       string
		is, unless time.Duration
	}{{"outage", p.Outage, usual.Outage}, {"keep", p.Keep, usual.Keep}, {"before", p.Before, usual.Before}, {"interval", p.Interval, usual.Interval}} {
		if demand.is != demand.unless {
			fmt.Fprintf(&text, ", %s %s", demand.name, strict.FormatDuration(demand.is))
		}
	}
	return text.String()
}

// runRules simulates the rules, as many at a time as there are processors, and says on standard error how far it is.
func (a *app) runRules(fleet simulate.Fleet, rules []simulate.Rule) ([]simulate.Result, error) {
	results, errs := make([]simulate.Result, len(rules)), make([]error, len(rules))
	next := make(chan int)
	var workers sync.WaitGroup
	var said sync.Mutex
	done := 0
	for range min(runtime.GOMAXPROCS(0), len(rules)) {
		workers.Go(func() {
			for i := range next {
				results[i], errs[i] = simulate.Run(fleet, rules[i])
				said.Lock()
				done++
				if errs[i] == nil {
					fmt.Fprintf(a.stderr, "simulated %d of %d: %s\n", done, len(rules), rules[i].Name)
				}
				said.Unlock()
			}
		})
	}
	for i := range rules {
		next <- i
	}
	close(next)
	workers.Wait()
	// The fleet is the same for all, and so is what is wrong with it.
	if errs[0] != nil {
		return nil, &exit{code: exitUsage, err: errs[0]}
	}
	return results, nil
}

// describeFleet says what was simulated.
func (a *app) describeFleet(f simulate.Fleet) {
	outage := "no outage"
	switch {
	case f.Anytime > 0:
		outage = fmt.Sprintf("an outage of %v at any moment", after(f.Anytime))
	case len(f.Outages) > 0:
		outage = fmt.Sprintf("%d outages", len(f.Outages))
		if len(f.Outages) == 1 {
			outage = fmt.Sprintf("an outage of %v after %v", after(f.Outages[0].Length), after(f.Outages[0].Start))
		}
	}
	capacity := ""
	if f.Capacity > 0 {
		capacity = fmt.Sprintf(", an issuer that serves %.0f requests a second", f.Capacity)
	}
	fmt.Fprintf(a.stdout, "%d pods that start within %v, tokens that live %v, %s%s, seed %d.\n", f.Pods, after(f.Wave), after(f.Life), outage, capacity, f.Seed)
	fmt.Fprintf(a.stdout, "1x is %.4g requests a second: every pod asks once a life, evenly.\n\n", f.Ideal())
}
