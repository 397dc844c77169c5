// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package githubapp

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
)

// What comes out of any answer is a token that the rest of the daemon can rely on, or a Failure of ClassMalformed.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"token":"ghs_x","expires_at":"2100-01-01T00:00:00Z","permissions":{}}`), "Mon, 02 Jan 2006 15:04:05 GMT")
	f.Add([]byte("\ufeff"+`{"token":"eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjFlNDAwfQ.eA","expires_at":1e400}`), "")
	f.Fuzz(func(t *testing.T, body []byte, date string) {
		answer := hostile.Answered(body, date)
		if answer == nil {
			return
		}
		token, err := new(Source).token(answer)
		if err != nil {
			if daemon.ClassOf(err) != daemon.ClassMalformed || !token.Value.IsZero() || strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
				t.Errorf("%q: %q", daemon.ClassOf(err), err)
			}
			return
		}
		if token.Value.IsZero() || token.Type != "Bearer" || !token.IssuedAt.Equal(answer.Asked) {
			t.Errorf("%+v", token)
		}
		if at := token.ExpiresAt; !at.IsZero() && (!at.After(answer.Received) || at.After(answer.Asked.Add(3651*24*time.Hour))) {
			t.Errorf("it expires at %v", at)
		}
	})
}

// Whatever the headers say, the end of a limit lies in the future or is not known.
func FuzzLimit(f *testing.F) {
	f.Add("0", "1700000000", "Mon, 02 Jan 2006 15:04:05 GMT", 403)
	f.Add("0", "99999999999999999999999", "", 429)
	f.Fuzz(func(t *testing.T, remaining, reset, date string, status int) {
		answer := hostile.Answered([]byte("{}"), date)
		answer.Header = http.Header{"X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {reset}}
		failure := &daemon.Failure{Class: daemon.ClassRefused, Status: status}
		failure.Err = http.ErrAbortHandler // any error
		_ = new(Source).explain(failure, answer)
		if at := failure.RetryAt; !at.IsZero() && (!at.After(answer.Received) || failure.Class != daemon.ClassThrottled) {
			t.Errorf("%q until %v", failure.Class, at)
		}
		if strings.ContainsAny(failure.Hint, "\n\r\x1b\x00") {
			t.Errorf("%q", failure.Hint)
		}
	})
}
