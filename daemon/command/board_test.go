// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
)

// Whoever looks in the middle of an outage sees when it began, and the latest failures; a success ends it.
func TestBoardRemembersFailures(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	e := &entry{kept: &kept{Keeper: &daemon.Keeper{Name: "orders"}}}
	b := newBoard()
	b.byName["orders"] = e
	fail := func(from, to int) {
		for i := from; i < to; i++ {
			b.observe(daemon.Event{Name: "orders", Kind: daemon.Failed, Err: errors.New("no answer"), Failures: i + 1, Start: at(i)})
		}
	}
	fail(0, 3)
	early := e.misses
	if !slices.Equal(early, []time.Time{at(0), at(1), at(2)}) {
		t.Errorf("%v", early)
	}
	fail(3, 40)
	if n := len(e.misses); n != mostMisses || !e.misses[0].Equal(at(0)) || !e.misses[1].Equal(at(29)) || !e.misses[n-1].Equal(at(39)) {
		t.Errorf("%v", e.misses)
	}
	if !slices.Equal(early, []time.Time{at(0), at(1), at(2)}) {
		t.Errorf("a report that was made before has changed: %v", early)
	}
	b.observe(daemon.Event{Name: "orders", Kind: daemon.Healed, Failures: 40, Start: at(40)})
	if len(e.misses) != mostMisses {
		t.Errorf("healing from memory forgot the outage: %v", e.misses)
	}
	b.observe(daemon.Event{Name: "orders", Kind: daemon.Published, Start: at(41)})
	if e.misses != nil {
		t.Errorf("after a success: %v", e.misses)
	}
	fail(0, 1)
	if !slices.Equal(e.misses, []time.Time{at(0)}) {
		t.Errorf("the next outage: %v", e.misses)
	}
	fail(1, 5)
	fail(0, 2) // a reload brought another source
	if !slices.Equal(e.misses, []time.Time{at(0), at(1)}) {
		t.Errorf("after a reload: %v", e.misses)
	}
}
