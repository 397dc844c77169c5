// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"errors"
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

// line is one line with its end, and the handler that it is for.
type line struct {
	text   []byte
	from   *output
	urgent bool // worth an fsync
}

// writer is what a sink writes to. Its methods are called by one goroutine at a time.
type writer interface {
	write(l line) error
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
	instead *sink // for lines that cannot be written; nil for stderr itself

	mu       sync.Mutex
	queue    []line // from head on
	head     int
	bytes    int
	stuck    bool // a caller waited in vain; until the queue is half empty, none waits again
	wanted   bool
	closing  bool // it was wanted, and a line that comes late starts the goroutine once more
	running  bool
	accepted uint64
	written  uint64
	wake     chan struct{} // of one: there is work, or wanted changed
	moved    chan struct{} // closed and made anew whenever a line was written or the goroutine ended
}

func newSink(key string, w writer, counts *counters, instead *sink) *sink {
	return &sink{key: key, writer: w, counts: counts, instead: instead, wake: make(chan struct{}, 1), moved: make(chan struct{})}
}

// put queues a line. If the queue is full it waits once per stall, and then drops the line and counts it.
func (s *sink) put(l line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full(l) && !s.stuck {
		s.await(maxWait, func() bool { return !s.full(l) || s.stuck })
	}
	if s.full(l) {
		s.stuck = true
		s.counts.add("lines_dropped_total", 1, "handler", l.from.name, "reason", "full")
		return
	}
	s.queue = append(s.queue, l)
	s.bytes += len(l.text)
	s.accepted++
	if s.closing {
		s.ensure()
	}
	s.rouse()
}

func (s *sink) full(l line) bool {
	return len(s.queue)-s.head >= maxLines || s.bytes+len(l.text) > maxQueued
}

func (s *sink) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// await waits until done, for at most limit. The caller holds mu, which is free meanwhile.
func (s *sink) await(limit time.Duration, done func() bool) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for !done() {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for s.head < len(s.queue) {
			s.next()
		}
		s.mu.Unlock()
		if wait := s.idle(); wait {
			s.mu.Lock()
			continue
		}
		s.writer.close()
		s.mu.Lock()
		if !s.wanted && s.head == len(s.queue) {
			s.running = false
			s.signal()
			return
		}
	}
}

// idle waits for work, and reports false if the goroutine should end instead.
func (s *sink) idle() bool {
	s.mu.Lock()
	wanted, empty := s.wanted, s.head == len(s.queue)
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
		_ = s.guard(func() error { s.writer.tick(); return nil }) // a panic is counted
	}
	return true
}

// next writes the first line. The caller holds mu, which is free meanwhile.
func (s *sink) next() {
	l := s.queue[s.head]
	s.mu.Unlock()
	err := s.guard(func() error { return s.writer.write(l) })
	if l.urgent && err == nil {
		s.writer.sync()
	}
	if err != nil {
		s.failed(l, err)
	}
	s.mu.Lock()
	s.queue[s.head] = line{}
	s.head++
	s.bytes -= len(l.text)
	s.written++
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	} else if s.head >= maxLines {
		s.queue, s.head = append(s.queue[:0], s.queue[s.head:]...), 0
	}
	if len(s.queue)-s.head <= maxLines/2 && s.bytes <= maxQueued/2 {
		s.stuck = false
	}
	s.signal()
}

// signal tells everyone who waits. The caller holds mu.
func (s *sink) signal() {
	close(s.moved)
	s.moved = make(chan struct{})
}

// guard turns a panic of a writer into an error, so that nothing that happens below ends the process.
func (s *sink) guard(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			s.counts.add("panics_total", 1, "area", "policy")
			err = errors.New("panic in a log handler")
		}
	}()
	return f()
}

// failed does with a line that could not be written what its handler says.
func (s *sink) failed(l line, err error) {
	s.counts.add("write_errors_total", 1, "handler", l.from.name, "errno", errno(err))
	s.complain(l.from.name, err)
	if s.instead != nil && !l.from.drop {
		s.instead.put(line{text: l.text, from: l.from})
		return
	}
	s.counts.add("lines_dropped_total", 1, "handler", l.from.name, "reason", "error")
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
	text := time.Now().AppendFormat(nil, iso)
	text = append(text, " | ERROR | log handler "...)
	text = appendEscaped(text, handler+": "+err.Error(), false)
	to.put(line{text: append(text, '\n'), from: &output{name: handler}})
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
