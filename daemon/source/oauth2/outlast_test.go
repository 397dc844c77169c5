// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"context"
	"errors"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"
)

func TestOutlast(t *testing.T) {
	const timeout = 30 * time.Second
	for name, c := range map[string]struct {
		left  bool
		stop  time.Duration // 0: before the request
		ends  time.Duration
		cause error
	}{
		"stopped before it left":           {false, 5 * time.Second, 5 * time.Second, context.Canceled},
		"stopped before it began":          {false, 0, 0, context.Canceled},
		"stopped while it is under way":    {true, 5 * time.Second, 5*time.Second + linger, context.Canceled},
		"stopped as its time runs out":     {true, timeout - linger/2, timeout, context.DeadlineExceeded},
		"its time runs out under way":      {true, time.Hour, timeout, context.DeadlineExceeded},
		"its time runs out in the dialing": {false, time.Hour, timeout, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				stopped, stop := context.WithCancel(t.Context())
				ctx, cancel := context.WithTimeout(stopped, timeout)
				defer cancel()
				if c.stop == 0 {
					stop()
				}
				longer, end := outlast(ctx)
				defer end()
				if deadline, _ := longer.Deadline(); !deadline.Equal(start.Add(timeout)) {
					t.Errorf("deadline %v", deadline)
				}
				if c.left {
					httptrace.ContextClientTrace(longer).GotConn(httptrace.GotConnInfo{})
				}
				time.AfterFunc(c.stop, stop)
				<-longer.Done()
				if took := time.Since(start); took != c.ends || !errors.Is(context.Cause(longer), c.cause) {
					t.Errorf("ended after %v by %v", took, context.Cause(longer))
				}
			})
		})
	}
}
