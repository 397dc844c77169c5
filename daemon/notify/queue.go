// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package notify

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/renewd/renewd/daemon"
)

// Queue delivers notes without ever holding up who posts them. The notes of one token are delivered one after the
// other; if a token is written again while its consumers are still being told, they are told once more, of the latest
// token only. At most eight tokens are at it at the same time. A token without a note waiting costs nothing.
//
// The fields are set before the first Post. The zero value drops what it has to say, and is ready to use.
type Queue struct {
	// Log receives one line per notice. Nil: none.
	Log *zap.Logger

	// Observe is called after each notice with the name of the token, the kind of the notifier and what became of it, from
	// the goroutine that delivered it. Nil: nobody.
	Observe func(name, kind string, err error)

	mu      sync.Mutex
	mail    map[string]post // the latest note of each token that has one waiting
	order   []string        // the tokens in mail that nobody is at, the longest waiting first
	busy    map[string]bool // the tokens that a worker is at
	workers int
	wake    chan struct{} // a mailbox of one: there may be work for another worker
}

type post struct {
	note Note
	to   []Notifier
}

const maxWorkers = 8

// Post hands over a note for the consumers in to, in place of one of the same name that was not delivered yet. It never
// blocks, and may be called from any goroutine, also before Run.
func (q *Queue) Post(name string, note Note, to []Notifier) {
	if len(to) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready()
	if _, waiting := q.mail[name]; !waiting && !q.busy[name] {
		q.order = append(q.order, name)
	}
	q.mail[name] = post{note, to}
	q.rouse()
}

func (q *Queue) ready() {
	if q.wake == nil {
		q.mail, q.busy, q.wake = map[string]post{}, map[string]bool{}, make(chan struct{}, 1)
	}
}

func (q *Queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends, and then returns nil. What is being delivered ends with ctx; what is still waiting is
// dropped, which is logged. It is called once.
func (q *Queue) Run(ctx context.Context) error {
	q.mu.Lock()
	q.ready()
	wake := q.wake
	q.mu.Unlock()
	var workers sync.WaitGroup
	for {
		select {
		case <-wake:
			for q.hire() {
				workers.Go(func() { q.work(ctx) })
			}
		case <-ctx.Done():
			workers.Wait()
			q.drop()
			return nil
		}
	}
}

// hire reports whether there is work for one more worker, and counts it.
func (q *Queue) hire() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.workers >= min(maxWorkers, len(q.busy)+len(q.order)) {
		return false
	}
	q.workers++
	return true
}

// work delivers until nothing is waiting or ctx ends.
func (q *Queue) work(ctx context.Context) {
	for {
		name, p, ok := q.next(ctx)
		if !ok {
			return
		}
		for _, n := range p.to {
			q.deliver(ctx, name, p.note, n)
		}
		q.done(name)
	}
}

// next takes the note that has waited longest. Without one the worker leaves.
func (q *Queue) next(ctx context.Context) (string, post, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 || ctx.Err() != nil {
		q.workers--
		if q.workers == 0 && len(q.mail) == 0 {
			q.mail, q.order, q.busy = map[string]post{}, nil, map[string]bool{} // a map never gives memory back
		}
		return "", post{}, false
	}
	name := q.order[0]
	q.order = q.order[1:]
	p := q.mail[name]
	delete(q.mail, name)
	q.busy[name] = true
	return name, p, true
}

// done lets the next note of the token be taken, behind those of other tokens.
func (q *Queue) done(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, name)
	if _, waiting := q.mail[name]; waiting {
		q.order = append(q.order, name)
	}
}

func (q *Queue) deliver(ctx context.Context, name string, note Note, n Notifier) {
	start := time.Now()
	err := n.Notify(ctx, note)
	fields := []zap.Field{zap.String("token", name), zap.String("consumer", n.String()), zap.Duration("took", time.Since(start))}
	if err != nil {
		fields = append(fields, zap.Error(err))
		if hint := daemon.HintOf(err); hint != "" {
			fields = append(fields, zap.String("hint", hint))
		}
		q.log().Warn("consumer not notified", fields...)
	} else {
		q.log().Info("consumer notified", fields...)
	}
	if q.Observe != nil {
		kind, _, _ := strings.Cut(n.String(), " ")
		q.Observe(name, kind, err)
	}
}

func (q *Queue) drop() {
	q.mu.Lock()
	n := len(q.mail)
	clear(q.mail)
	q.order = nil
	q.mu.Unlock()
	if n > 0 {
		q.log().Info("notices dropped at the end", zap.Int("tokens", n))
	}
}

func (q *Queue) log() *zap.Logger {
	if q.Log == nil {
		return zap.NewNop()
	}
	return q.Log
}
