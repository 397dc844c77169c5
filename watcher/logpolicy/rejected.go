// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon/config/strict"
)

// Rejected is why a policy is not in force. Its text lists every mistake with its place; the last line says what stays.
type Rejected struct {
	Problems []strict.Problem // sorted by position
	Warnings []strict.Problem
	Again    bool // the text is right and what it asks for may become possible: try again
	text     string
}

// Error implements error.
func (r *Rejected) Error() string { return r.text }

// hider returns what hides secrets in a text about policies: by the rules in force and by those of each policy.
func (s *Switch) hider(policies ...*policy) func(string) string {
	all := []*redactor{s.current.Load().redactor}
	for _, p := range policies {
		all = append(all, newRedactor(p.Redact, s.countRedaction))
	}
	return func(text string) string {
		for _, r := range all {
			text = r.text(text)
		}
		return text
	}
}

// reject finishes an attempt with the mistakes of doc.
func (s *Switch) reject(result string, doc *strict.Document, p *policy, sum, message string) error {
	g := s.current.Load()
	last := "the built-in policy stays in force."
	if g.sum != "" {
		last = fmt.Sprintf("generation %d (sha256 %.6s…, loaded %s) stays in force.", g.number, g.sum, g.loaded.UTC().Format(time.RFC3339))
	}
	last = "Policy NOT applied; " + last
	if g.partial && g.sum == sum {
		last = "Policy applied in part: the lines of these handlers go to stderr."
	}
	err := rejected(doc, last, s.hider(p))
	err.Again = result == applyFailed
	s.finish(result, false, sum+err.Error(), s.failure(Error, message, err))
	return err
}

// rejected makes the error of a document.
func rejected(doc *strict.Document, last string, hide func(string) string) *Rejected {
	r := &Rejected{Warnings: doc.Warnings()}
	if e, ok := errors.AsType[*strict.Error](doc.Err()); ok {
		r.Problems = e.Problems
	}
	all := slices.Concat(r.Problems, r.Warnings)
	for _, list := range [][]strict.Problem{r.Problems, r.Warnings} {
		for i := range list {
			list[i].Text, list[i].Help = hide(list[i].Text), hide(list[i].Help)
		}
	}
	sort.SliceStable(all, func(i, j int) bool {
		a, b := all[i], all[j]
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) < 0
	})
	r.text = hide(join(all) + fmt.Sprintf("\n%s, %s. %s", plural(len(r.Problems), "error"), plural(len(r.Warnings), "warning"), last))
	return r
}

func join(list []strict.Problem) string {
	var lines []string
	for _, p := range list {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
