// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// core is the zapcore.Core of every logger of a Switch. It keeps its fields raw and encodes them with each line, so that a
// child made long ago obeys the policy in force.
type core struct {
	s      *Switch
	fields []zap.Field
}

// Enabled reports whether any area logs at the level: it does not see the name.
func (c *core) Enabled(l zapcore.Level) bool { return l >= c.s.current.Load().least }

// Level implements what zapcore.LevelOf asks for.
func (c *core) Level() zapcore.Level { return c.s.current.Load().least }

// With returns a core with more fields. What could change later is encoded now, and what has the shape or the name of a
// secret is hidden before it is kept.
func (c *core) With(fields []zap.Field) zapcore.Core {
	child := &core{s: c.s, fields: slices.Clip(c.fields)}
	g := c.s.current.Load()
	for _, f := range fields {
		f, ok := g.frozen(f)
		if !ok {
			c.s.panicked("")
		}
		child.fields = append(child.fields, f)
	}
	return child
}

// frozen returns a field that no longer depends on what it was made of: the caller may change a map after With, and the
// field is encoded by rules that may change too. Numbers, times and the like are copies already. ok is false after a panic.
func (g *generation) frozen(f zap.Field) (_ zap.Field, ok bool) {
	switch f.Type {
	case zapcore.StringType:
		if g.redactor.key([]byte(f.Key)) {
			g.redactor.count("field")
			f.String = redacted
		}
		f.String = g.redactor.text(f.String)
	case zapcore.ArrayMarshalerType, zapcore.ObjectMarshalerType, zapcore.InlineMarshalerType, zapcore.BinaryType,
		zapcore.ByteStringType, zapcore.ReflectType, zapcore.StringerType, zapcore.ErrorType:
		var r record
		ok := r.encode(g, []zap.Field{f})
		return zap.Inline(frozen(r.members)), ok
	}
	return f, true
}

// frozen is members that were encoded at With.
type frozen []member

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (m frozen) MarshalLogObject(e zapcore.ObjectEncoder) error {
	for _, m := range m {
		if err := e.AddReflected(unescape(string(m.key)), rawJSON(m.value)); err != nil {
			return err
		}
	}
	return nil
}

// rawJSON marshals as itself.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// Check adds the core to ce if the area of the entry logs at its level.
func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if n := c.s.current.Load().tree.find(e.LoggerName); e.Level >= n.level {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write hands the entry to the handlers of its area. It never returns an error: there is nothing the caller could do.
func (c *core) Write(e zapcore.Entry, fields []zap.Field) error {
	g := c.s.current.Load()
	defer func() {
		if recover() != nil {
			c.s.panicked(e.LoggerName)
		}
	}()
	n := g.tree.find(e.LoggerName)
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	r := c.s.record(g, e)
	if g.callers && !r.caller.Defined {
		r.caller = callerOf()
	}
	r.all = append(append(r.all, c.fields...), fields...)
	if !r.encode(g, r.all) {
		c.s.panicked(e.LoggerName)
	}
	n.lines.add(r.level)
	g.write(r, n.outputs, e.Level)
	c.s.records.Put(r)
	return nil
}

// unread is the zapcore.Clock of our loggers: zap reads the clock before it asks whether anybody hears, which costs ten times
// as much as the question. Write reads it for the lines that are heard.
type unread struct{}

// Now implements zapcore.Clock.
func (unread) Now() time.Time { return time.Time{} }

// NewTicker implements zapcore.Clock.
func (unread) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

// callerOf returns who called the logger. zap can find it out too, but for every line, which costs more than the line.
func callerOf() zapcore.EntryCaller {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !more || !strings.HasPrefix(f.Function, "go.uber.org/zap.") && !strings.HasPrefix(f.Function, "go.uber.org/zap/") {
			return zapcore.EntryCaller{Defined: f.PC != 0, PC: f.PC, File: f.File, Line: f.Line, Function: f.Function}
		}
	}
}

// Sync waits until all lines that were accepted before are written, for at most a second.
func (c *core) Sync() error { return c.s.Sync() }

// record returns a record of an entry, without its fields. It is used again once it is put back.
func (s *Switch) record(g *generation, e zapcore.Entry) *record {
	r := s.records.Get().(*record)
	*r = record{time: e.Time, level: Level(min(e.Level, zapcore.DPanicLevel)), name: g.redactor.text(e.LoggerName),
		message: g.redactor.text(e.Message), trace: g.redactor.text(e.Stack), caller: e.Caller, process: s.process, started: s.started,
		all: r.all[:0], members: r.members[:0], fields: r.fields[:0], line: r.line[:0]}
	return r
}

// write encodes the record once for each format and queues it at each output whose floor it reaches.
func (g *generation) write(r *record, outputs []*output, l zapcore.Level) {
	var last *output
	for _, o := range outputs {
		if l < o.floor {
			continue
		}
		if last == nil || last.formatName != o.formatName {
			r.line, last = g.line(r.line[:0], r, o.format), o
		}
		o.sink.put(r.cut(r.line, o.format, o.maxLine), o, r.level >= Critical)
	}
}

// emit logs for the caller of its caller.
func emit(log *zap.Logger, l Level, message string, traced bool, fields []zap.Field) {
	pc, file, line, ok := runtime.Caller(2)
	e := zapcore.Entry{Level: zapcore.Level(l), Time: time.Now(), LoggerName: log.Name(), Message: message,
		Caller: zapcore.NewEntryCaller(pc, file, line, ok)}
	if ok {
		e.Caller.Function = runtime.FuncForPC(pc).Name()
	}
	if traced {
		e.Stack = zap.StackSkip("", 2).String
	}
	if ce := log.Core().Check(e, nil); ce != nil && l != Off {
		ce.Write(fields...)
	}
}

// quit takes the place of zap's ends of a process: it flushes, and panics with a message that hides secrets.
type quit struct{ s *Switch }

// OnWrite implements zapcore.CheckWriteHook.
func (q quit) OnWrite(ce *zapcore.CheckedEntry, _ []zap.Field) {
	_ = q.s.Sync()
	panic(fmt.Sprintf("log: %s", q.s.current.Load().redactor.text(ce.Message)))
}
