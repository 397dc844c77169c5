// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package contract is the test that every source must pass: what daemon.Source and daemon.Inputs promise, seen from
// outside. It knows no kind of source, and it does not test what a kind sends or signs.
package contract

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/renewd/renewd/daemon"
)

// Case is one kind of source in its situations.
type Case struct {
	// Source succeeds in every attempt. Required.
	Source daemon.Source

	// Inputs is what Source.Inputs must return, in this order. Nil: the source must not implement daemon.Inputs.
	Inputs []string

	// Slow is the same kind where an attempt would outlast the test, such as a command that sleeps. It must end with its
	// context. Nil for a kind that never waits.
	Slow daemon.Source

	// Failing has sources whose every attempt fails, by the name of the situation.
	Failing map[string]Failing

	// Secrets are texts planted in keys, files, output and environment of all these sources. None may show in an error,
	// a hint, a notice, or a source or token that is printed.
	Secrets []string
}

// Failing is a source whose every attempt must end in a *daemon.Failure of Class.
type Failing struct {
	Source daemon.Source
	Class  daemon.Class
}

const (
	attempts = 20               // enough that one leak in each shows beside the runtime's own coming and going
	deadline = time.Minute      // of one attempt
	promptly = 10 * time.Second // an attempt with an ended context is over by then, also on a busy machine
	short    = 50 * time.Millisecond
	patience = time.Minute // for what is ending and needs its turn
)

// Test reports every breach of the contract to t. Goroutines and descriptors are counted for the whole process, so it
// must not run beside parallel tests.
func Test(t *testing.T, c Case) {
	t.Helper()
	if c.Source == nil {
		t.Fatal("contract: Source is nil")
	}
	for _, problem := range problems(t.Context(), c, patience) {
		t.Error("contract: " + problem)
	}
}

// problems returns every breach once, so that the contract's own test can look for each. What is still there after patience
// was left behind.
func problems(ctx context.Context, c Case, patience time.Duration) []string {
	r := report{secrets: c.Secrets, patience: patience}
	r.within("source", func() { r.succeeds(ctx, c.Source) })
	r.within("ended context", func() { r.ends(ctx, c.Source, 0) })
	if c.Slow != nil {
		r.within("slow source", func() { r.ends(ctx, c.Slow, short) })
	}
	for name, f := range c.Failing {
		r.within(name, func() { r.fails(ctx, f) })
	}
	r.where = "inputs"
	r.inputs(c)
	return r.found
}

// report collects breaches, each with the situation it was seen in.
type report struct {
	secrets  []string
	patience time.Duration
	where    string
	found    []string
}

func (r *report) add(format string, args ...any) {
	problem := r.where + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(r.found, problem) {
		r.found = append(r.found, problem)
	}
}

// within runs one situation and compares what the process holds before and after.
func (r *report) within(where string, situation func()) {
	r.where = where
	situation() // the first round opens what stays for good, such as the runtime's poller
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	situation()
	for end := time.Now().Add(r.patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if runtime.NumGoroutine() <= goroutines && openDescriptors() <= descriptors {
			return
		}
	}
	if n := runtime.NumGoroutine() - goroutines; n > 0 {
		r.add("%d goroutines left behind", n)
	}
	if n := openDescriptors() - descriptors; n > 0 {
		r.add("%d descriptors left open", n)
	}
}

// openDescriptors counts the process's descriptors and the one that counting takes.
func openDescriptors() int {
	entries, _ := os.ReadDir("/dev/fd")
	return len(entries)
}

func (r *report) succeeds(ctx context.Context, s daemon.Source) {
	for range attempts {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		token, err := s.Token(ctx)
		cancel()
		if err != nil {
			r.add("an attempt that should succeed: %v", err)
			return
		}
		r.token(token)
	}
	r.hides("the source", fmt.Sprintf("%v %+v %#v", s, s, s))
}

// token checks what the Keeper relies on before its own checks.
func (r *report) token(token daemon.Token) {
	value := token.Value.Reveal()
	if value == "" {
		r.add("empty token")
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }) {
		r.add("token with a character that is not visible ASCII")
	}
	if token.Type == "" {
		r.add("no token type")
	}
	if token.IssuedAt.IsZero() {
		r.add("IssuedAt is zero")
	}
	if token.IssuedAt.After(time.Now()) {
		r.add("IssuedAt is in the future")
	}
	if !token.ExpiresAt.IsZero() && !token.ExpiresAt.After(token.IssuedAt) {
		r.add("ExpiresAt is not after IssuedAt")
	}
	for name, at := range map[string]time.Time{"IssuedAt": token.IssuedAt, "ExpiresAt": token.ExpiresAt} {
		// Deadlines live on the wall clock: a monotonic reading stops while the machine sleeps.
		if strings.Contains(at.String(), "m=") {
			r.add("%s has a monotonic reading", name)
		}
	}
	for _, notice := range token.Notices {
		r.line("a notice", notice)
		if value != "" && strings.Contains(notice, value) {
			r.add("a notice shows the token")
		}
	}
	r.hides("the token", fmt.Sprintf("%v %+v %#v", token, token, token))
}

// ends calls s with a context that is over after wait: before the call if wait is zero.
func (r *report) ends(ctx context.Context, s daemon.Source, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	start := time.Now()
	_, err := s.Token(ctx)
	if took := time.Since(start) - wait; took > promptly {
		r.add("returned %v after the end of its context", took.Round(time.Millisecond))
	}
	if err == nil {
		r.add("no error although the context had ended")
		return
	}
	r.failure(err, daemon.ClassUnavailable)
}

// fails calls a broken source often enough to see what it leaves behind.
func (r *report) fails(ctx context.Context, f Failing) {
	for range attempts {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		token, err := f.Source.Token(ctx)
		cancel()
		if err == nil {
			r.add("no error")
			return
		}
		if !token.Value.IsZero() {
			r.add("a token beside an error")
		}
		r.failure(err, f.Class)
	}
	r.hides("the source", fmt.Sprintf("%v %+v %#v", f.Source, f.Source, f.Source))
}

// failure checks an error all the way down: a wrapped one is printed as easily as the outermost.
func (r *report) failure(err error, class daemon.Class) {
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok {
		r.add("the error is no *daemon.Failure: %v", err)
		return
	}
	if f.Class != class {
		r.add("class %q, want %q: %v", f.Class, class, err)
	}
	if (class == daemon.ClassConfig || class == daemon.ClassRefused) && f.Hint == "" {
		r.add("no remedy: %v", err) // hurrying cannot help, so somebody has to do something
	}
	r.line("the error", err.Error())
	r.line("the hint", f.Hint)
	for e := error(f); e != nil; e = errors.Unwrap(e) {
		r.hides("the error", fmt.Sprintf("%v %+v %#v", e, e, e))
	}
}

// line checks a text that is printed in a log line.
func (r *report) line(what, text string) {
	r.hides(what, text)
	if strings.ContainsFunc(text, unicode.IsControl) {
		r.add("%s has a control character", what)
	}
}

func (r *report) hides(what, printed string) {
	for i, secret := range r.secrets {
		if secret != "" && strings.Contains(printed, secret) {
			r.add("%s shows Secrets[%d]", what, i)
		}
	}
}

func (r *report) inputs(c Case) {
	source, ok := c.Source.(daemon.Inputs)
	if !ok {
		if c.Inputs != nil {
			r.add("not implemented")
		}
		return
	}
	got := source.Inputs()
	if c.Inputs == nil || !slices.Equal(got, c.Inputs) {
		r.add("got %q, want %q", got, c.Inputs)
		return
	}
	clear(got) // a caller that sorts or appends must not reach the source's own list
	if !slices.Equal(source.Inputs(), c.Inputs) {
		r.add("the caller can change what is returned")
	}
}
