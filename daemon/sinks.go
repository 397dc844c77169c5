// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Sinks publishes one token to several places. Each place is all or nothing, but they do not change together: a crash
// in between leaves some with the old token until the next start.
type Sinks []Sink

// Write publishes to every place, also behind one that failed, and joins the errors.
func (s Sinks) Write(ctx context.Context, t Token, r Record) error {
	var errs []error
	for _, sink := range s {
		errs = append(errs, sink.Write(ctx, t, r))
	}
	return errors.Join(errs...)
}

// Read returns the token of the first place whose bytes hold it, and joins the errors of all. A place that holds another
// token than that one is an error too.
func (s Sinks) Read(ctx context.Context) (Token, Record, error) {
	var token Token
	var record Record
	var errs []error
	all := make([]Record, len(s))
	for i, sink := range s {
		t, r, err := sink.Read(ctx)
		errs = append(errs, err)
		all[i] = r
		if i == 0 || token.Value.IsZero() && !t.Value.IsZero() {
			token, record = t, r
		}
	}
	for i, r := range all {
		if errs[i] == nil && r.Token != record.Token {
			errs = append(errs, &Failure{Class: ClassWrite, Err: fmt.Errorf("place %d of %d holds another token than the others", i+1, len(s))})
		}
	}
	return token, record, errors.Join(errs...)
}

// Ready reports whether everything that sink publishes is on disk as it was written and has life left at now. It is
// safe from any goroutine and in any process: it looks at nothing but the disk.
func Ready(ctx context.Context, sink Sink, now time.Time) error {
	t, record, err := sink.Read(ctx)
	if err != nil {
		return err
	}
	t.ExpiresAt = record.ExpiresAt
	if expires := provenExpiry(t, now); !expires.IsZero() && !expires.After(now) {
		return &Failure{Class: ClassUnavailable, Err: errors.New("the published token expired at " + stamp(expires))}
	}
	return nil
}
