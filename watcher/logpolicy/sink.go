// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap/zapcore"
)

// What a caller may meet at a handler.
const (
	maxLines  = 1024
	maxQueued = 256 << 10
	maxWait   = 100 * time.Millisecond // of a log call, once per stall
	maxFlush  = time.Second            // of Sync and of the end of Run

	keepBuffer = 64 << 10 // a larger buffer is not kept for the next lines
)

// output is a handler of a policy: where to, from which level on, in which form. It is immutable.
type output struct {
	name       string
	floor      zapcore.Level
	format     *format
	formatName string
	maxLine    int
	drop       bool // what cannot be written is dropped, and does not go to stderr
	sink       *sink
}

// batch is lines with their ends, one after the other.
type batch struct {
	text   []byte
	lines  []queued
	urgent bool // worth an fsync
}

// queued is where a line of a batch ends, and the handler that it is for.
type queued struct {
	end  int
	from *output
}

// writer is what a sink writes to. Its methods are called by one goroutine at a time.
type writer interface {
	// write writes whole lines from the beginning of text, one at least, and returns their bytes. After an error they may
	// end within a line.
	write(text []byte) (int, error)
	due() time.Duration // until tick wants to be called; 0: never
	tick()
	sync()
	close()
}

// sink is a physical output: a bounded queue and the goroutine that empties it. Handlers that lead to one place share it.
// The goroutine lives while the sink is wanted, and else until the queue is empty; before it ends it closes the writer,
// which opens again when it is written to. So stopping and starting need no care about lines that are under way.
type sink struct {
	key     string // stderr, stdout, or the real path
	writer  writer
	counts  *counters
	instead *sink  // for lines that cannot be written; nil for stderr itself
	freed   func() // called when there is room again after lines were lost; it must not wait

	mu       sync.Mutex
	waiting  batch // for the goroutine, which takes it whole and gives an empty one back
	bytes    int   // of the lines that are not written yet, taken or not
	stuck    bool  // a caller waited in vain; until the queue is half empty, none waits again
	lost     losses
	wanted   bool
	closing  bool // it was wanted, and a line that comes late starts the goroutine once more
	running  bool
	accepted uint64
	written  uint64
	wake     chan struct{} // of one: there is work, or wanted changed
	moved    chan struct{} // closed when a line was written or the goroutine ended; nil: nobody waits for that
}

// newSink returns a sink that waits for start.
func (s *Switch) newSink(key string, w writer, instead *sink) *sink {
	return &sink{key: key, writer: w, counts: s.counts, instead: instead, freed: s.rouse, wake: make(chan struct{}, 1)}
}

// put queues a copy of a line. If the queue is full it waits once per stall, and then drops the line and counts it.
func (s *sink) put(text []byte, from *output, urgent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := func() bool { return s.accepted-s.written >= maxLines || s.bytes+len(text)+1 > maxQueued }
	if full() && !s.stuck {
		s.await(maxWait, func() bool { return !full() || s.stuck })
	}
	if full() {
		s.stuck = true
		s.lost.add(from.name)
		s.counts.add("lines_dropped_total", 1, "handler", from.name, "reason", "full")
		return
	}
	w := &s.waiting
	w.text = append(append(w.text, text...), '\n')
	w.lines, w.urgent = append(w.lines, queued{len(w.text), from}), w.urgent || urgent
	s.bytes += len(text) + 1
	s.accepted++
	if s.closing {
		s.ensure()
	}
	if len(w.lines) == 1 {
		s.rouse()
	}
}

func (s *sink) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// await waits until done, for at most limit. The caller holds mu, which is free meanwhile.
func (s *sink) await(limit time.Duration, done func() bool) bool {
	if done() || limit <= 0 {
		return done()
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for !done() {
		if s.moved == nil {
			s.moved = make(chan struct{})
		}
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
			s.mu.Lock()
		case <-timer.C:
			s.mu.Lock()
			return done()
		}
	}
	return true
}

// start wants the sink and starts its goroutine.
func (s *sink) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted, s.closing = true, false
	s.ensure()
	s.rouse()
}

// hold wants the sink without starting its goroutine, so that one that is about to end does not close the writer.
func (s *sink) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = true
}

// stop lets the goroutine write what is queued, close the writer, and end. Lines that come later do the same again, if
// late is set, or else wait for a flush.
func (s *sink) stop(late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted, s.closing = false, late
	s.ensure()
	s.rouse()
}

// ensure starts the goroutine if there is none. The caller holds mu.
func (s *sink) ensure() {
	if !s.running {
		s.running = true
		go s.run()
	}
}

// flush waits until the lines that were accepted before are written. Without a goroutine it starts one that ends when
// the queue is empty.
func (s *sink) flush(limit time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	target := s.accepted
	if s.written < target {
		s.ensure()
	}
	return s.await(limit, func() bool { return s.written >= target })
}

// ended waits until the goroutine is over.
func (s *sink) ended(limit time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.await(limit, func() bool { return !s.running })
}

// run empties the queue.
func (s *sink) run() {
	var own batch
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.waiting.lines) > 0 {
			own, s.waiting = s.waiting, own
			s.mu.Unlock()
			s.empty(&own)
			s.mu.Lock()
		}
		s.mu.Unlock()
		if wait := s.idle(); wait {
			s.mu.Lock()
			continue
		}
		s.writer.close()
		s.mu.Lock()
		if !s.wanted && len(s.waiting.lines) == 0 {
			s.running = false
			s.signal()
			return
		}
	}
}

// idle waits for work, and reports false if the goroutine should end instead.
func (s *sink) idle() bool {
	s.mu.Lock()
	wanted, empty := s.wanted, len(s.waiting.lines) == 0
	s.mu.Unlock()
	if !empty || !wanted {
		return !empty
	}
	var tick <-chan time.Time
	if due := s.writer.due(); due > 0 {
		timer := time.NewTimer(due)
		defer timer.Stop()
		tick = timer.C
	}
	select {
	case <-s.wake:
	case <-tick:
		_, _ = s.guard(func() (int, error) { s.writer.tick(); return 0, nil }) // a panic is counted
	}
	return true
}

// empty writes a batch. A line that cannot be written is over, the next ones are tried.
func (s *sink) empty(b *batch) {
	for start, rest := 0, b.lines; len(rest) > 0; {
		n, err := s.guard(func() (int, error) { return s.writer.write(b.text[start:]) })
		done, end := 0, start
		for done < len(rest) && rest[done].end <= start+n {
			end = rest[done].end
			done++
		}
		if err == nil && done == 0 {
			err = io.ErrShortWrite
		}
		if err != nil && done < len(rest) {
			s.failed(b.text[end:rest[done].end-1], rest[done].from, err)
			end = rest[done].end
			done++
		}
		if b.urgent {
			s.writer.sync()
		}
		s.wrote(done, end-start)
		start, rest = end, rest[done:]
	}
	clear(b.lines) // they hold on to the handlers of old policies
	if *b = (batch{text: b.text[:0], lines: b.lines[:0]}); cap(b.text) > keepBuffer {
		*b = batch{}
	}
}

// wrote counts lines that are over.
func (s *sink) wrote(lines, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= bytes
	s.written += uint64(lines)
	if s.stuck && s.accepted-s.written <= maxLines/2 && s.bytes <= maxQueued/2 {
		s.stuck = false
		s.freed()
	}
	s.signal()
}

// signal tells everyone who waits. The caller holds mu.
func (s *sink) signal() {
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}

// guard turns a panic of a writer into an error, so that nothing that happens below ends the process.
func (s *sink) guard(f func() (int, error)) (n int, err error) {
	defer func() {
		if recover() != nil {
			s.counts.add("panics_total", 1, "area", "policy")
			n, err = 0, errors.New("panic in a log handler")
		}
	}()
	return f()
}

// failed does with a line that could not be written what its handler says.
func (s *sink) failed(text []byte, from *output, err error) {
	s.counts.add("write_errors_total", 1, "handler", from.name, "errno", errno(err))
	s.complain(from.name, err)
	if s.instead != nil && !from.drop {
		s.instead.put(text, from, false)
		return
	}
	s.counts.add("lines_dropped_total", 1, "handler", from.name, "reason", "error")
}

// complain says on stderr that something went wrong with a handler, once a minute for each cause.
func (s *sink) complain(handler string, err error) {
	to := s
	if s.instead != nil {
		to = s.instead
	}
	if !s.counts.first(handler+" "+errno(err), time.Minute) || to == s {
		return
	}
	text := append(time.Now().AppendFormat(nil, iso), " | ERROR | log handler "...)
	to.put(appendEscaped(text, handler+": "+err.Error(), false), &output{name: handler}, false)
}

// errno names the system error below err, for a metric.
func errno(err error) string {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		if name := errnoName(e); name != "" {
			return name
		}
	}
	return "other"
}
