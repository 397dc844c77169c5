// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package vault

import (
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
)

// What comes out of any answer is a token that the rest of the daemon can rely on, or a Failure of ClassMalformed.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"auth":{"client_token":"a","lease_duration":60,"num_uses":1},"data":{"token":"b","ttl":"5"}}`,
		`{"auth":{"client_token":"a","lease_duration":1e400},"data":{"token":"e30.e30.","ttl":-1}}`,
		`{"auth":{"client_token":"","mfa_requirement":{}},"data":{"token":5,"ttl":null}}`,
		`{"auth":[],"data":{"token":"eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjFlMTAsIm5iZiI6MX0.eA"}}`,
		`{"auth":{"a":1,"a":2},"data":{"token":"eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjEsImV4cCI6Mn0.eA"}}`,
	} {
		f.Add([]byte(seed), "Mon, 02 Jan 2006 15:04:05 GMT")
		f.Add([]byte(seed), "")
	}
	f.Fuzz(func(t *testing.T, body []byte, date string) {
		answer := hostile.Answered(body, date)
		if answer == nil {
			return
		}
		s := &Source{config: Default()}
		for _, judge := range []func(*endpoint.Answer) (daemon.Token, error){s.ofLogin, s.ofOIDC} {
			token, err := judge(answer)
			if err != nil {
				if daemon.ClassOf(err) != daemon.ClassMalformed || !token.Value.IsZero() || strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
					t.Errorf("%q: %q", daemon.ClassOf(err), err)
				}
				continue
			}
			if token.Value.IsZero() || token.Type != "Bearer" || !token.IssuedAt.Equal(answer.Asked) {
				t.Errorf("%+v", token)
			}
			if at := token.ExpiresAt; !at.IsZero() && (!at.After(answer.Received) || at.After(answer.Asked.Add(3651*24*time.Hour))) {
				t.Errorf("it expires at %v", at)
			}
		}
	})
}
