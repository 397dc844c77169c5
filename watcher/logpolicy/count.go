// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Counter is one sample of a counter. Its metric is "renewd_log_" + Name.
type Counter struct {
	Name   string   `json:"name"`
	Labels []string `json:"labels"` // names and values by turns
	Value  uint64   `json:"value"`
}

// counters are the counters of a Switch. They are safe for concurrent use.
type counters struct {
	mu    sync.Mutex
	other map[string]*Counter
	lines map[string]*lineCounts
	said  map[string]time.Time
}

// lineCounts counts the lines of one area, by level.
type lineCounts [len(names)]atomic.Uint64

func (c *lineCounts) add(l Level) { c[l.index()].Add(1) }

func newCounters() *counters {
	return &counters{other: map[string]*Counter{}, lines: map[string]*lineCounts{}, said: map[string]time.Time{}}
}

// of returns the line counts of an area.
func (c *counters) of(area string) *lineCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lines[area] == nil {
		c.lines[area] = new(lineCounts)
	}
	return c.lines[area]
}

// add counts n. The labels are names and values by turns.
func (c *counters) add(name string, n uint64, labels ...string) {
	key := name + "\x00" + strings.Join(labels, "\x00")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.other[key] == nil {
		c.other[key] = &Counter{Name: name, Labels: labels}
	}
	c.other[key].Value += n
}

// first reports whether nothing was said under the key for a while.
func (c *counters) first(key string, while time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if at, ok := c.said[key]; ok && now.Sub(at) < while {
		return false
	}
	c.said[key] = now
	return true
}

// all returns every counter, sorted.
func (c *counters) all() []Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Counter
	for _, one := range c.other {
		list = append(list, *one)
	}
	for _, area := range slices.Sorted(maps.Keys(c.lines)) {
		for i := range names {
			if n := c.lines[area][i].Load(); n > 0 {
				list = append(list, Counter{"lines_total", []string{"area", cmp.Or(area, "root"), "level", names[i].name}, n})
			}
		}
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return cmp.Or(cmp.Compare(a.Name, b.Name), slices.Compare(a.Labels, b.Labels)) < 0
	})
	return list
}
