// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/renewd/renewd/daemon/config/strict"
)

// MaxBytes is the largest policy that is read.
const MaxBytes = maxBytes

// Results of an attempt, as State counts them.
const (
	applied     = "applied"
	unchanged   = "unchanged"
	invalid     = "invalid"
	unreadable  = "unreadable"
	missing     = "missing"
	applyFailed = "apply_failed"
)

// report is how following the file goes.
type report struct {
	good    bool // the file is the policy in force
	success time.Time
	said    string // the last failure that was said, with the hash of its content
	failure string // why the file is not the policy in force
	results map[string]uint64
	nagAt   time.Time // when the failure is said again, while no policy was read since the start; zero: never
	nag     outcome
}

// outcome is a line about the policy itself. It obeys no level.
type outcome struct {
	level   Level
	message string
	fields  []zap.Field
	failure string
}

// Follow returns what whoever watches the policy file calls with its content when that changed, or with the error that it
// is missing or unreadable. It returns an error if the same content is to be offered again. If the file is optional and
// missing from the start, the built-in policy is in force, without a word unless another one was.
func (s *Switch) Follow(path string, optional bool) func(data []byte, err error) error {
	s.mu.Lock()
	s.report.good = false
	s.mu.Unlock()
	return func(data []byte, err error) error {
		switch {
		case err == nil:
			err = s.Offer(path, bytes.Clone(data), "file")
			if r, ok := errors.AsType[*Rejected](err); ok && !r.Again {
				return nil
			}
			return err
		case errors.Is(err, fs.ErrNotExist) && optional && s.current.Load().name != path:
			return s.Try(maxFlush, func() error {
				s.revert()
				s.finish(missing, true, "", outcome{})
				return nil
			})
		case errors.Is(err, fs.ErrNotExist):
			s.finish(missing, false, "missing", s.failure(Warning, "policy missing", err))
		default:
			s.finish(unreadable, false, err.Error(), s.failure(Error, "policy unreadable", err))
		}
		return nil
	}
}

// failure is the outcome of an attempt that changed nothing.
func (s *Switch) failure(l Level, message string, err error) outcome {
	g := s.current.Load()
	if g.sum == "" {
		l = Error // there is no good policy to fall back to
	}
	text := g.redactor.text(err.Error())
	return outcome{l, message, []zap.Field{zap.Int("gen", g.number), zap.String("error", text)}, text}
}

// finish records the result of an attempt, and says it unless the same was said last.
func (s *Switch) finish(result string, good bool, said string, o outcome) {
	g := s.current.Load()
	s.mu.Lock()
	r := &s.report
	if r.results == nil {
		r.results = map[string]uint64{}
	}
	r.results[result]++
	news := said != r.said
	r.good, r.said, r.failure, r.nagAt = good, said, o.failure, time.Time{}
	if !good && g.sum == "" {
		r.nag, r.nagAt = o, time.Now().Add(time.Hour)
	}
	s.mu.Unlock()
	if news && !good {
		s.announce(o, g)
	}
	s.rouse()
}

// nag says each hour why no policy was read since the start.
func (s *Switch) nag() {
	s.mu.Lock()
	o, now := s.report.nag, time.Now()
	due := !s.report.nagAt.IsZero() && !s.report.nagAt.After(now)
	if due {
		s.report.nagAt = now.Add(time.Hour)
	}
	s.mu.Unlock()
	if due {
		s.announce(o, s.current.Load())
	}
}

// Apply puts a policy in force, or changes nothing and returns why as a *Rejected. name is what messages call the text, by
// says who asked. At start, if only files cannot be opened, the rest is put in force, their lines go to stderr, and an error
// is returned as well. It opens files and hangs if their file system does: see Try.
//
//  1. compare the hash with the policy in force
//  2. validate
//  3. prepare: open files and make directories
//  4. commit: swap one pointer
//  5. retire what left the policy
//  6. say what changed
func (s *Switch) Apply(name string, data []byte, by string) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	begin := time.Now()
	digest := sha256.Sum256(data)
	sum := hex.EncodeToString(digest[:])
	old := s.current.Load()
	since, ofFile := s.since(name, sum, old)
	if sum == old.sum && !old.partial && !(ofFile && old.renewable(since)) {
		s.finish(unchanged, true, "", outcome{})
		return nil
	}
	from := s.source(name, data)
	from.since, from.fleeting = since, s.placed != nil && !ofFile
	p, doc := from.parse()
	if doc.Err() != nil {
		return s.reject(invalid, doc, p, sum, "policy rejected")
	}
	g := &generation{number: old.number + 1, name: name, sum: sum, loaded: begin.Round(0), since: since, policy: p, fields: fieldEncoder(),
		redactor: newRedactor(p.Redact, s.countRedaction)}
	undo := s.prepare(g, doc)
	g.partial = doc.Err() != nil
	if g.partial && (old.number > 0 && !old.partial || sum == old.sum) {
		undo()
		return s.reject(applyFailed, doc, p, sum, "policy not applied")
	}
	s.commit(g, old)
	s.applied(g, old, by, doc.Warnings()...)
	if g.partial {
		return s.reject(applyFailed, doc, p, sum, "policy applied in part")
	}
	s.finish(applied, true, "", outcome{})
	return nil
}

// applied says that one generation took the place of another.
func (s *Switch) applied(g, old *generation, by string, warnings ...strict.Problem) {
	list := changes(old.policy, g.policy)
	if g.sum == old.sum && old.renewable(g.since) {
		list = append(list, "for counts anew from "+g.since.UTC().Format(time.RFC3339))
	}
	hide := s.hider(old.policy, g.policy)
	fields := []zap.Field{zap.Int("gen", g.number), zap.String("sha256", g.sum), zap.String("by", by), zap.Duration("took", time.Since(g.loaded)),
		zap.String("changes", hide(strings.Join(list, "; ")))}
	if len(warnings) > 0 {
		fields = append(fields, zap.String("warnings", hide(join(warnings))))
	}
	s.mu.Lock()
	s.report.success = time.Now()
	s.mu.Unlock()
	s.announce(outcome{level: Info, message: "policy reloaded", fields: fields}, old, g)
}

// revert puts the built-in policy in force: the file whose policy is in force is no longer the one to follow, and that one
// does not exist.
func (s *Switch) revert() {
	s.applying.Lock()
	defer s.applying.Unlock()
	old := s.current.Load()
	if old.sum == "" {
		return
	}
	g := s.builtIn(old.number + 1)
	g.loaded = time.Now()
	s.commit(g, old)
	s.applied(g, old, "default")
}

// source makes a text ready to be parsed.
func (s *Switch) source(name string, data []byte) source {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().Round(0)
	return source{name: name, data: data, areas: s.areas, tokens: s.tokens, now: now, since: now}
}

// announce writes an outcome once to each place that the generations write to, and always to stderr.
func (s *Switch) announce(o outcome, generations ...*generation) {
	told := map[*sink]bool{}
	for _, g := range append(generations, s.builtIn(0)) {
		for _, name := range slices.Sorted(maps.Keys(g.outputs)) {
			out := g.outputs[name]
			if told[out.sink] {
				continue
			}
			told[out.sink] = true
			now := generations[len(generations)-1]
			e := zapcore.Entry{Time: time.Now(), Level: zapcore.Level(o.level), LoggerName: "policy"}
			e.Message = o.message
			r := s.record(now, e)
			r.encode(now, o.fields)
			r.line = now.line(r.line, r, out.format)
			out.sink.put(r.cut(r.line, out.format, out.maxLine), out, false)
			s.records.Put(r)
		}
	}
}

// Check says what Apply would: all mistakes and warnings, or nil if there are none. With env it also looks at what file
// handlers would meet. It changes nothing. The text of the result ends in whether the policy is valid.
func (s *Switch) Check(name string, data []byte, env bool) *Rejected {
	p, doc := s.source(name, data).parse()
	if env && doc.Err() == nil {
		probeAll(p, doc)
	}
	if doc.Err() == nil && len(doc.Warnings()) == 0 {
		return nil
	}
	last := "Policy is not valid."
	if doc.Err() == nil {
		last = "Policy is valid."
	}
	return rejected(doc, last, s.hider(p))
}
