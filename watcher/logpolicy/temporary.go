// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/renewd/renewd/daemon/config/strict"
)

// Bounds of a temporary level.
const (
	shortest = time.Second
	longest  = 24 * time.Hour
)

// Renew is for a file that may have been put in place again with the bytes that are in force: then "for" counts anew. Other
// bytes are left to whoever follows the file. read is called only if it matters. An error is that of read, of Apply, or of
// Try: that one is not reported, for what is in force stays so, and nobody offers the text again.
func (s *Switch) Renew(name string, read func() ([]byte, error)) error {
	g := s.current.Load()
	if since, ofFile := s.since(name, g.sum, g); g.name != name || !ofFile || !g.renewable(since) {
		return nil
	}
	data, err := read()
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); g.sum != hex.EncodeToString(sum[:]) {
		return nil
	}
	return s.Try(maxFlush, func() error { return s.Apply(name, data, "file") })
}

// renewable reports whether the policy has levels that count from a time, and that is now a later one.
func (g *generation) renewable(since time.Time) bool {
	timed := false
	for _, a := range g.policy.Areas {
		timed = timed || a.For != nil
	}
	return timed && since.After(g.since)
}

// since returns what "for" counts from, and whether a file says so. A file of the future, because a clock was set, counts from
// when it was first applied.
func (s *Switch) since(name, sum string, old *generation) (at time.Time, ofFile bool) {
	now := time.Now().Round(0)
	if s.placed != nil {
		placed, err := s.placed(name)
		if ofFile = err == nil; ofFile && !placed.After(now) {
			return placed, true
		}
	}
	if sum == old.sum {
		return old.since, ofFile
	}
	return now, ofFile
}

// SetLevel gives an area another level for 1 s to 24 h; "root" is the top level. It outranks everything else, survives
// reloads, and ends by itself within a second of its time. The latest of several counts, and after it the one before that
// still runs. A duration of 0 ends all that were set for the area, without a
// word if there are none.
func (s *Switch) SetLevel(area, level string, d time.Duration) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	name, err := s.known(area)
	if err != nil {
		return err
	}
	l, err := ParseLevel(level)
	if err != nil && d != 0 {
		return errors.New(s.hider()("error[LP012]: " + err.Error()))
	}
	if d != 0 && (d < shortest || d > longest) {
		return fmt.Errorf("error[LP021]: a temporary level lasts %s to %s, not %s", span(shortest), span(longest), d)
	}
	fields := []zap.Field{zap.String("area", area), zap.String("why", "admin")}
	o := outcome{level: Info, message: "policy override ended", fields: fields}
	s.mu.Lock()
	before := len(s.admin)
	if d == 0 {
		s.admin = slices.DeleteFunc(s.admin, func(o override) bool { return o.area == name })
	} else {
		until := time.Now().Round(0).Add(d)
		s.admin = append(s.admin, override{name, l, until})
		fields = []zap.Field{zap.String("area", area), zap.Stringer("to", l), zap.Time("until", until)}
		o = outcome{level: Info, message: "policy override set", fields: fields}
	}
	changed := len(s.admin) != before
	s.mu.Unlock()
	if changed {
		s.again()
		s.announce(o, s.current.Load())
	}
	return nil
}

// known returns an area by the name that users write.
func (s *Switch) known(area string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append(areaNames(s.areas), "root")
	for _, t := range s.tokens {
		list = append(list, "token."+t)
	}
	if !slices.Contains(list, area) && !(s.tokens == nil && parentOf(area) == "token") {
		return "", errors.New(s.hider()(fmt.Sprintf("error[LP013]: unknown area %.70q: %s", area, strict.Suggest(area, list))))
	}
	if area == "root" {
		return "", nil
	}
	return area, nil
}

// nextDeadline returns when Run has something to do.
func (s *Switch) nextDeadline() (next time.Time, ok bool) {
	earlier := func(t time.Time) {
		if !ok || t.Before(next) {
			next, ok = t, true
		}
	}
	for _, o := range s.current.Load().ending {
		earlier(o.until)
	}
	for _, k := range append(s.others(), s.stderr) {
		if at, ok := k.tellLossesAt(); ok {
			earlier(at)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.report.nagAt.IsZero() {
		earlier(s.report.nagAt)
	}
	return next, ok
}

// expire ends the temporary levels whose time has come.
func (s *Switch) expire() {
	s.changing.Lock()
	defer s.changing.Unlock()
	now := time.Now().Round(0)
	var ended []override
	for _, o := range s.current.Load().ending {
		if !o.until.After(now) {
			ended = append(ended, o)
		}
	}
	if len(ended) == 0 {
		return
	}
	s.mu.Lock()
	s.admin = slices.DeleteFunc(s.admin, func(o override) bool { return !o.until.After(now) })
	s.mu.Unlock()
	s.again()
	for _, o := range ended {
		fields := []zap.Field{zap.String("area", cmp.Or(o.area, "root")), zap.String("why", "time")}
		s.announce(outcome{level: Info, message: "policy override ended", fields: fields}, s.current.Load())
	}
}
