// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Counters counts what happened since the process started. The zero value is ready for use; all methods are safe for
// concurrent use and never wait for a client. Except for the token, every text that is passed in is one of a few constants
// of the program: each different one is kept for good.
//
// A token costs about 200 bytes. A single count wraps after 4,294,967,295.
type Counters struct {
	mu      sync.Mutex
	tokens  map[string]*tally
	index   map[event]uint32  // position in events
	events  []event           // what is counted; shared by all tokens, so that each holds eight bytes per event
	reloads map[string]uint64 // of the configuration, by result
}

// tally is what is counted for one token.
type tally struct {
	counts  []count
	buckets [len(bounds{}) + 1]uint32 // by duration, not cumulative
	seconds float64
}

type count struct{ event, n uint32 }

// event is one series of one family: the values of its two labels, or of its first one.
type event struct {
	family uint8
	first  string
	second string
}

const (
	attempt uint8 = iota
	publishError
	notification
)

// bounds are the upper bounds, in seconds, of renewd_refresh_duration_seconds: a signature is in the first bucket, an
// attempt that ran into the default deadline of 30 s in the last.
type bounds [7]float64

func durations() bounds { return bounds{0.01, 0.1, 0.5, 1, 5, 10, 30} }

// Observe counts one attempt. Result is the kind of the event (adopted, published, unchanged, healed, failed), reason the
// class of a failure and else empty. Took goes into the histogram of durations, unless it is 0: pass 0 when no issuer was
// asked.
func (c *Counters) Observe(token, result, reason string, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(token, event{attempt, result, reason})
	if took <= 0 {
		return
	}
	t := c.tokens[token]
	t.seconds += took.Seconds()
	upper := durations()
	i, _ := slices.BinarySearch(upper[:], took.Seconds())
	t.buckets[i]++
}

// PublishError counts one token that was obtained and could not be published.
func (c *Counters) PublishError(token, class string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(token, event{publishError, class, ""})
}

// Notify counts one attempt to tell a consumer. Kind is signal, exec or http.
func (c *Counters) Notify(token, kind, result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(token, event{notification, kind, result})
}

// Reload counts one attempt to read the configuration again.
func (c *Counters) Reload(result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reloads == nil {
		c.reloads = make(map[string]uint64)
	}
	c.reloads[result]++
}

// Forget drops what was counted for a token that is no longer configured.
func (c *Counters) Forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tokens, token)
}

// count adds one. The lock is held.
func (c *Counters) count(token string, e event) {
	if c.tokens == nil {
		c.tokens, c.index = make(map[string]*tally), make(map[event]uint32)
	}
	i, known := c.index[e]
	if !known {
		i = uint32(len(c.events))
		c.index[e] = i
		c.events = append(c.events, e)
	}
	t := c.tokens[token]
	if t == nil {
		t = new(tally)
		c.tokens[token] = t
	}
	for k := range t.counts {
		if t.counts[k].event == i {
			t.counts[k].n++
			return
		}
	}
	t.counts = append(t.counts, count{i, 1})
}

// families declares what is counted. Each token is copied under the lock and printed without it.
func (c *Counters) families(w *Writer) {
	c.mu.Lock()
	names := slices.Sorted(maps.Keys(c.tokens))
	events := c.events[:len(c.events):len(c.events)]
	reloads := maps.Clone(c.reloads)
	c.mu.Unlock()

	counted := func(family uint8, first, second string) func(*Samples) {
		return func(s *Samples) {
			var t tally
			for _, name := range names {
				c.read(name, &t)
				for _, n := range t.counts {
					if int(n.event) >= len(events) || events[n.event].family != family {
						continue
					}
					labels := [...]string{"token", name, first, events[n.event].first, second, events[n.event].second}
					if second == "" {
						s.Add(float64(n.n), labels[:4]...)
					} else {
						s.Add(float64(n.n), labels[:]...)
					}
				}
			}
		}
	}
	w.Counter("renewd_refresh_attempts_total", "Attempts to refresh a token, by result and, for failures, class of the failure.", counted(attempt, "result", "reason"))
	w.Counter("renewd_publish_errors_total", "Tokens that were obtained and could not be published.", counted(publishError, "class", ""))
	w.Counter("renewd_notifications_total", "Attempts to tell a consumer about a new token, by kind and result.", counted(notification, "kind", "result"))
	w.Histogram("renewd_refresh_duration_seconds", "Time that an attempt took which asked the issuer.", func(s *Samples) {
		var t tally
		upper := durations()
		for _, name := range names {
			if c.read(name, &t); t.seconds > 0 {
				s.AddHistogram(upper[:], t.buckets[:], t.seconds, "token", name)
			}
		}
	})
	w.Counter("renewd_config_reloads_total", "Attempts to read the configuration again, by result.", func(s *Samples) {
		for _, result := range slices.Sorted(maps.Keys(reloads)) {
			s.Add(float64(reloads[result]), "result", result)
		}
	})
}

// read copies the tally of a token into t, whose slice is used again. A token that was forgotten meanwhile reads as empty.
func (c *Counters) read(token string, t *tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := t.counts[:0]
	*t = tally{}
	if from := c.tokens[token]; from != nil {
		*t = *from
		kept = append(kept, from.counts...)
	}
	t.counts = kept
}
