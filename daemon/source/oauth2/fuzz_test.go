// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
)

// What comes out of any answer is a token that the rest of the daemon can rely on, or a Failure of ClassMalformed.
func FuzzTokenAnswer(f *testing.F) {
	f.Add([]byte(`{"access_token":"a","token_type":"bearer","expires_in":3600,"scope":"a b"}`), "Mon, 02 Jan 2006 15:04:05 GMT", true)
	f.Add([]byte("\ufeff"+`{"access_token":"e30.e30.","expires_in":"1e9","issued_token_type":"urn:x","expires_on":"2030-01-01T00:00:00Z"}`), "", false)
	f.Add([]byte(`{"access_token":"eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjFlNDAwLCJjbmYiOnsieDV0I1MyNTYiOiJ4In19.eA"}`), "x", false)
	f.Fuzz(func(t *testing.T, body []byte, date string, exchange bool) {
		answer := hostile.Answered(body, date)
		if answer == nil {
			return
		}
		c := Default()
		c.Scopes = []string{"a", "b"}
		if exchange {
			c.Grant, c.RequestedType = tokenExchange, "jwt"
		}
		a := &attempt{Source: &Source{config: c}, servers: &endpoint.Attempt{}, files: &files{}}
		token, err := a.token(answer)
		if err != nil {
			if daemon.ClassOf(err) != daemon.ClassMalformed || !token.Value.IsZero() || strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
				t.Errorf("%q: %q", daemon.ClassOf(err), err)
			}
			return
		}
		if token.Value.IsZero() || token.Type != "Bearer" && token.Type != "N_A" || !token.IssuedAt.Equal(answer.Asked) {
			t.Errorf("%+v", token)
		}
		if at := token.ExpiresAt; !at.IsZero() && (!at.After(answer.Received) || at.After(answer.Asked.Add(3651*24*time.Hour))) {
			t.Errorf("it expires at %v", at)
		}
	})
}

// No metadata leads to another host, to plain HTTP, or away from the configured issuer.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://idp.test","token_endpoint":"https://idp.test/t","token_endpoint_auth_methods_supported":["a"]}`), false)
	f.Add([]byte(`{"issuer":"https://idp.test","token_endpoint":"https://idp.test@evil/t","mtls_endpoint_aliases":{"token_endpoint":"//x"}}`), true)
	f.Fuzz(func(t *testing.T, body []byte, mutual bool) {
		answer := hostile.Answered(body, "")
		if answer == nil {
			return
		}
		c := Default()
		c.Issuer, c.ClientID = "https://idp.test", "x"
		if mutual {
			c.ClientAuth, c.HTTP.CertFile, c.HTTP.KeyFile = authTLS, "c", "k"
		}
		found, err := c.readMetadata(answer)
		if err != nil {
			if class := daemon.ClassOf(err); class != daemon.ClassConfig && class != daemon.ClassMalformed {
				t.Errorf("%q: %v", class, err)
			}
			return
		}
		if !strings.HasPrefix(strings.ToLower(found.url), "https://idp.test") || endpoint.HostOf(found.url) != c.Issuer || answer.Object.Text("issuer") != c.Issuer {
			t.Errorf("%q", found.url)
		}
	})
}

// A state file that is not refused can be written and read again.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"seed":"a","refreshToken":"b","sent":"c","again":true,"accessExpiresAt":"2030-01-01T00:00:00Z","accessLifeSeconds":3600}`))
	f.Add([]byte(`{"version":1,"seed":"a","refreshToken":"b","accessLifeSeconds":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := store{filepath.Join(t.TempDir(), "state")}
		if err := os.WriteFile(s.path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := s.load()
		if err != nil {
			return
		}
		if st.token.IsZero() || st.life < 0 {
			t.Fatalf("%+v", st)
		}
		if err := s.save(st); err != nil {
			return // a year that RFC 3339 cannot write
		}
		again, err := s.load()
		if err != nil || !again.same(st) || !again.expires.Equal(st.expires) || again.life != st.life {
			t.Errorf("%+v became %+v, %v", st, again, err)
		}
	})
}
