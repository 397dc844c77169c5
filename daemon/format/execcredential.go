// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format

import (
	"time"

	"github.com/renewd/renewd/daemon"
)

// execCredential is the object that a Kubernetes client expects of a credential plugin, such as cat of this file:
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
type execCredential struct{ keep time.Duration }

func newExecCredential(_ any, c Context) (daemon.Format, error) { return execCredential{c.Keep}, nil }

func (e execCredential) Encode(t daemon.Token) ([]byte, error) {
	if t.Value.IsZero() {
		return nil, errEmpty
	}
	type status struct {
		ExpirationTimestamp string `json:"expirationTimestamp,omitzero"` // absent: kept until the server says 401
		Token               string `json:"token"`
	}
	return line(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     status `json:"status"`
	}{"client.authentication.k8s.io/v1", "ExecCredential", status{e.readAgain(t), t.Value.Reveal()}})
}

// readAgain is earlier than the expiry, so that the client reads the file again while the token in it is still good.
func (e execCredential) readAgain(t daemon.Token) string {
	if t.ExpiresAt.IsZero() {
		return ""
	}
	life := max(0, t.ExpiresAt.Sub(t.IssuedAt))
	return rfc3339(t.ExpiresAt.Add(-min(e.keep, life/4)))
}
