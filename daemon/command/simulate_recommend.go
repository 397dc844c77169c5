// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"fmt"
	"slices"
	"time"

	"github.com/renewd/renewd/daemon/schedule"
	"github.com/renewd/renewd/daemon/simulate"
)

// recommend prints the latest window that survives, as a piece of configuration, beside what else could be written.
func (a *app) recommend(s *simulation) error {
	outage := after(s.recommend)
	fmt.Fprintf(a.stderr, "looking for the latest window that survives %v\n", outage)
	found, ok, err := simulate.Recommend(s.fleet, s.policy, s.recommend)
	switch {
	case err != nil:
		return &exit{code: exitUsage, err: err}
	case !ok:
		help := "ask the issuer for tokens that live longer"
		if s.fleet.Capacity > 0 {
			help += fmt.Sprintf(", or for more than %g requests a second", s.fleet.Capacity)
		}
		return &exit{
			code: exitOther, err: fmt.Errorf("no window survives an outage of %v with tokens that live %v", outage, after(s.fleet.Life)),
			help: help,
		}
	}
	s.fleet.Outages, s.fleet.Anytime, s.fleet.Length = nil, s.recommend, 0
	rules, fits := s.choices(found)
	results, err := a.runRules(s.fleet, rules)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "# The latest window under which none of %d pods is without a valid token, whenever the issuer is out for %v.\n",
		s.fleet.Pods, outage)
	if fits {
		fmt.Fprintf(a.stdout, "# The second row says `outage: %v` instead: that leaves readers what they are promised, too, and follows the life of the tokens.\n", outage)
	}
	fmt.Fprintf(a.stdout, "refresh:\n  at: %.0f%%-%.0f%%\n", 100*found.AtStart, 100*found.AtEnd)
	if s.policy.Outage > 0 {
		fmt.Fprintf(a.stdout, "  outage: 0s # instead of %v: the window says it all\n", after(s.policy.Outage))
	}
	fmt.Fprintln(a.stdout)
	return writeResults(a.stdout, results, s.fleet)
}

// choices returns the schedule that was found, the one of now with the outage written into it, unless that does not fit, and
// the one of now, unless that is the second.
func (s *simulation) choices(found schedule.Policy) (rules []simulate.Rule, fits bool) {
	best, simple, now := *s, *s, *s
	best.policy, simple.policy.Outage = found, s.recommend
	best.name, now.name = "recommended", s.name+" (now)"
	rules = []simulate.Rule{simulate.Of(best.label(), best.policy), simulate.Of(now.label(), now.policy)}
	begin := time.Unix(0, 0)
	fits = !simple.policy.Window(schedule.Life{Issued: begin, Expires: begin.Add(s.fleet.Life)}).Short
	if fits && s.policy.Outage != s.recommend {
		rules = slices.Insert(rules, 1, simulate.Of(simple.label(), simple.policy))
	}
	return rules, fits
}
