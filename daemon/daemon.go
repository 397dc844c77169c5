// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/renewd/renewd/daemon/schedule"
)

// Clock settings of a Daemon.
const (
	clockEvery = time.Minute // how often wall clock and monotonic clock are compared
	clockSlip  = time.Second // by how much they may differ over that time: far above what NTP slews
	clockStuck = 3 * time.Minute
	lateBy     = time.Minute // how late a Keeper may be before Live says so
)

// Daemon runs one Keeper per token. The zero value runs none.
type Daemon struct {
	Log  *zap.Logger      // of the daemon itself; nil: silent
	Wall func() time.Time // the wall clock, for tests that step it; nil: time.Now().Round(0)

	// Recovered is told of a panic of a token's Keeper, from the deferred function that recovered it. It must not print a
	// value that may hold a secret. nil: the Keeper's Log gets the trace, with the text of a runtime error or the type.
	Recovered func(name string, value any)

	mu      sync.Mutex // guards want, shared and running
	want    []*Keeper
	shared  *shared
	running map[string]*task
	changed chan struct{}
	ticked  atomic.Int64 // when the clocks were last compared, on shared's monotonic clock
}

// task is one running Keeper.
type task struct {
	keeper *Keeper
	stop   context.CancelFunc
	over   sync.WaitGroup
}

// Set names the Keepers to run from now on, before or during Run, from any goroutine. A Keeper that is running and is
// named again goes on. Any other that runs is stopped; if one of the new ones has its Name, that one goes on from its
// state: last token, draw, failures and Retry-After.
func (d *Daemon) Set(keepers []*Keeper) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.prepare()
	d.want = keepers
	select {
	case d.changed <- struct{}{}:
	default: // already told
	}
}

// prepare makes what Set and Run share. It is called with mu held.
func (d *Daemon) prepare() {
	if d.shared == nil {
		d.shared = newShared(d.Wall)
		d.shared.recovered = d.Recovered
		d.running = map[string]*task{}
		d.changed = make(chan struct{}, 1)
	}
}

// Run runs the Keepers until ctx ends, and returns nil when all of them are over.
func (d *Daemon) Run(ctx context.Context) error {
	d.mu.Lock()
	d.prepare()
	d.mu.Unlock()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() { d.compareClocks(ctx) })
	for {
		select {
		case <-ctx.Done():
			d.stop()
			return nil
		case <-d.changed:
			d.follow(ctx, &tasks)
		}
	}
}

// stop ends all tasks.
func (d *Daemon) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.running {
		t.stop()
	}
}

// follow stops what is no longer wanted, waits for it to be over, and starts what is new.
func (d *Daemon) follow(ctx context.Context, tasks *sync.WaitGroup) {
	d.mu.Lock()
	want, old := d.want, d.running
	next := map[string]*task{}
	for _, k := range want {
		if t := old[k.Name]; t != nil && t.keeper == k {
			next[k.Name] = t
		}
	}
	d.running = next
	d.mu.Unlock()

	maps.DeleteFunc(old, func(name string, _ *task) bool { return next[name] != nil })
	for _, t := range old {
		t.stop()
	}
	for _, t := range old {
		t.over.Wait()
	}
	started := maps.Clone(next)
	for _, k := range want {
		if started[k.Name] != nil {
			continue
		}
		if t := old[k.Name]; t != nil {
			k.state, k.seeded = t.keeper.state, true
			k.mail.forward(t.keeper.mail.take())
		}
		started[k.Name] = d.start(ctx, k, tasks)
	}
	d.mu.Lock()
	d.running = started
	d.mu.Unlock()
}

func (d *Daemon) start(ctx context.Context, k *Keeper, tasks *sync.WaitGroup) *task {
	// Not entered in ctx as one of ten thousand children: whoever ends Run ends the tasks.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	t := &task{keeper: k, stop: stop}
	k.shared = d.shared
	k.promise(0)
	t.over.Add(1)
	tasks.Go(func() {
		defer t.over.Done()
		defer stop()
		d.supervise(ctx, k)
	})
	return t
}

// supervise runs a Keeper, and runs it again after a panic, with a wait that grows as long as it keeps panicking.
func (d *Daemon) supervise(ctx context.Context, k *Keeper) {
	wait := time.Second
	for {
		began := time.Now()
		if !d.survive(ctx, k) {
			return
		}
		if time.Since(began) > time.Hour {
			wait = time.Second
		}
		k.seeded = true
		k.promise(wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Minute)
	}
}

// survive runs a Keeper and reports whether it panicked.
func (d *Daemon) survive(ctx context.Context, k *Keeper) (panicked bool) {
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		panicked = true
		k.recovered(value)
		if k.Observe != nil {
			k.Observe(Event{Name: k.Name, Kind: Panicked, Trigger: k.reason})
		}
	}()
	_ = k.Run(ctx) // nil by contract
	return false
}

// recovered reports a panic. It is called by the deferred function that recovered it.
func (k *Keeper) recovered(value any) {
	if _, already := value.(carried); already {
		return
	}
	if k.shared != nil && k.shared.recovered != nil {
		k.shared.recovered(k.Name, value)
		return
	}
	cause := fmt.Sprintf("%T", value)
	if err, ok := value.(runtime.Error); ok {
		cause = err.Error()
	}
	k.log().Error("keeper panicked", zap.String("token", k.Name), zap.String("panic", cause), zap.ByteString("stack", debug.Stack()))
}

// compareClocks wakes every Keeper when the wall clock and the monotonic clock disagree: the clock was set, or the machine
// slept. Go's timers run on the monotonic clock, which does neither.
func (d *Daemon) compareClocks(ctx context.Context) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	wall, mono := d.shared.now(), d.shared.elapsed()
	d.ticked.Store(int64(mono))
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		nowWall, nowMono := d.shared.now(), d.shared.elapsed()
		if slip := nowWall.Sub(wall) - (nowMono - mono); slip.Abs() > clockSlip {
			d.log().Warn("clock stepped", zap.Duration("by", slip))
			d.shared.clamp(nowWall.Add(schedule.LongestRetryAfter))
			d.trigger(TriggerClock, "")
		}
		wall, mono = nowWall, nowMono
		d.ticked.Store(int64(mono))
	}
}

// Refresh asks for an attempt: of one token, or of all if name is empty. It reports whether there was one to ask.
func (d *Daemon) Refresh(name string) bool { return d.trigger(TriggerRequest, name) }

func (d *Daemon) trigger(reason, name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := false
	for _, k := range d.want { // also those that are not started yet: mail waits
		if name == "" || k.Name == name {
			k.Trigger(reason)
			found = true
		}
	}
	return found
}

// Live reports whether the loops run: nil, or an error that names the one that does not. It does not depend on any
// issuer, disk or configuration.
func (d *Daemon) Live() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared == nil {
		return nil
	}
	now := d.shared.elapsed()
	if idle := now - time.Duration(d.ticked.Load()); idle > clockStuck {
		return fmt.Errorf("the clocks were last compared %s ago", schedule.FormatDuration(idle.Round(time.Second)))
	}
	for name, t := range d.running {
		if late := now - time.Duration(t.keeper.alive.Load()); late > lateBy {
			return fmt.Errorf("token %s: the keeper is %s late", name, schedule.FormatDuration(late.Round(time.Second)))
		}
	}
	return nil
}

func (d *Daemon) log() *zap.Logger {
	if d.Log != nil {
		return d.Log
	}
	return zap.NewNop()
}
