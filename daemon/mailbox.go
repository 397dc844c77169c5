// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import "sync"

// mail is what was asked of a Keeper since it last looked.
type mail struct {
	attempt          string // the first reason for an attempt; empty: none
	published, clock bool
}

// mailbox holds at most one mail; what comes in before it is taken is merged. The zero value is ready.
type mailbox struct {
	mu     sync.Mutex
	signal chan struct{}
	waits  mail
}

func (b *mailbox) box() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.make()
}

func (b *mailbox) make() chan struct{} {
	if b.signal == nil {
		b.signal = make(chan struct{}, 1)
	}
	return b.signal
}

func (b *mailbox) post(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch reason {
	case TriggerPublished:
		b.waits.published = true
	case TriggerClock:
		b.waits.clock = true
	default:
		if b.waits.attempt == "" {
			b.waits.attempt = reason
		}
	}
	select {
	case b.make() <- struct{}{}:
	default: // already told
	}
}

// forward puts mail that another Keeper did not open into this box.
func (b *mailbox) forward(m mail) {
	if m.published {
		b.post(TriggerPublished)
	}
	if m.clock {
		b.post(TriggerClock)
	}
	if m.attempt != "" {
		b.post(m.attempt)
	}
}

func (b *mailbox) take() mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.waits
	b.waits = mail{}
	return m
}
