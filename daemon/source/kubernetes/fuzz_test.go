// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package kubernetes

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
)

// What comes out of any answer is a token that the rest of the daemon can rely on, or a Failure of ClassMalformed.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"kind":"TokenRequest","spec":{"expirationSeconds":600},"status":{"token":"e30.e30.","expirationTimestamp":"2100-01-01T00:00:00Z"}}`), "")
	f.Add([]byte("\ufeff"+`{"spec":{"expirationSeconds":"1e9"},"status":{"token":"x","expirationTimestamp":1e400}}`), "Mon, 02 Jan 2006 15:04:05 GMT")
	f.Add([]byte(`{"spec":7,"status":{"token":"eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjFlNDAwfQ.eA","expirationTimestamp":null}}`), "x")
	f.Fuzz(func(t *testing.T, body []byte, date string) {
		answer := hostile.Answered(body, date)
		if answer == nil {
			return
		}
		s := &Source{config: Default()}
		token, err := s.token(answer)
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
		if notices := strings.Join(token.Notices, ""); strings.ContainsAny(notices, "\n\r\x1b\x00") || len(notices) > 1000 {
			t.Errorf("%q", notices)
		}
	})
}

// No remedy repeats what an answer says, and none of them breaks its line.
func FuzzRemedy(f *testing.F) {
	f.Add([]byte(`{"kind":"Status","reason":"NotFound","details":{"kind":"pods"}}`), 404, "system:serviceaccount:a:b")
	f.Add([]byte(`{"kind":"Status","details":[1],"details2":"marker-marker"}`), 401, "system:serviceaccount:a\nb:c")
	f.Fuzz(func(t *testing.T, body []byte, status int, subject string) {
		answer := hostile.Answered(append([]byte(`{"marker":"marker-marker",`), body[min(1, len(body)):]...), "")
		if answer == nil {
			return
		}
		own := claims.Claims{Subject: subject, Audience: []string{subject}}
		a := &attempt{Source: &Source{config: Default()}, own: own, of: account{"shop", "orders"}}
		for _, code := range []string{"", "Reason"} {
			hint := a.remedy(&daemon.Failure{Class: daemon.ClassRefused, Status: status, Code: code}, answer)
			if hint == "" || strings.ContainsAny(hint, "\n\r\x1b\x00") || strings.Contains(hint, "marker-marker") && !strings.Contains(subject, "marker") {
				t.Errorf("%q", hint)
			}
		}
	})
}

// A subject is a service account only if its names can stand in a URL.
func FuzzAccount(f *testing.F) {
	f.Add("system:serviceaccount:shop:orders")
	f.Add("system:serviceaccount:..:a/b?c#d%2e")
	f.Fuzz(func(t *testing.T, subject string) {
		of, ok := accountOf(claims.Claims{Subject: subject})
		if !ok {
			return
		}
		r, err := http.NewRequest(http.MethodPost, "https://host/"+of.namespace+"/"+of.name+"/token", nil)
		if err != nil || r.URL.Path != "/"+of.namespace+"/"+of.name+"/token" || r.URL.RawQuery != "" || strings.Contains(r.URL.Path, "//") || strings.Contains(r.URL.Path, "..") {
			t.Errorf("%q: %v %v", subject, r.URL, err)
		}
		if "system:serviceaccount:"+of.namespace+":"+of.name != subject {
			t.Errorf("%q became %+v", subject, of)
		}
	})
}
