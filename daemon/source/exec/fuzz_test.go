// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package exec

import (
	"testing"
	"time"
)

func FuzzReadCredential(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t","expirationTimestamp":"2030-01-01T00:00:00Z"}}`))
	f.Add([]byte(`{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"a.b.c","expirationTimestamp":0}}`))
	f.Add([]byte(`{"status":null}`))
	f.Fuzz(func(t *testing.T, out []byte) {
		now := time.Unix(1800000000, 0)
		a, err := readCredential(out, now)
		if err != nil {
			return
		}
		if a.token == "" {
			t.Error("an empty token without an error")
		}
		if a.expires.After(now.AddDate(10, 0, 0)) {
			t.Errorf("expires at %v", a.expires)
		}
	})
}

func FuzzReadRaw(f *testing.F) {
	f.Add([]byte("token\r\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		a, err := readRaw(out, time.Time{})
		if err == nil && (a.token == "" || len(out)-len(a.token) > 2) {
			t.Errorf("%q became %q", out, a.token)
		}
	})
}
