// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package exec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/renewd/renewd/daemon/claims"
)

// withExecInfo adds what a credential plugin reads to learn which version to print:
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#input-and-output-formats.
// A plugin that knows only v1beta1 can be told so by the same variable in env.
func withExecInfo(env map[string]string) map[string]string {
	const name = "KUBERNETES_EXEC_INFO"
	if env == nil {
		env = map[string]string{}
	}
	if _, given := env[name]; !given {
		env[name] = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`
	}
	return env
}

// readCredential reads an ExecCredential. Its errors hold no value of it.
func readCredential(out []byte, now time.Time) (answer, error) {
	credential, err := object(bytes.TrimPrefix(out, []byte("\uFEFF")))
	if err != nil {
		return answer{}, fmt.Errorf("an ExecCredential was expected: %w", err)
	}
	if credential.text("kind") != "ExecCredential" {
		return answer{}, errors.New("an ExecCredential was expected: another kind, or none")
	}
	switch credential.text("apiVersion") {
	case "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1":
	default:
		return answer{}, errors.New("apiVersion is neither client.authentication.k8s.io/v1 nor v1beta1")
	}
	status, err := object(credential["status"])
	if err != nil {
		return answer{}, fmt.Errorf("status: %w", err)
	}
	a := answer{token: status.text("token")}
	if a.token == "" && status.text("clientCertificateData") != "" {
		return answer{}, errors.New("a client certificate and no token: a token file cannot carry it")
	}
	if a.token == "" {
		return answer{}, errors.New("status.token is no text, empty or missing")
	}
	a.boundByTimestamp(status["expirationTimestamp"], now)
	return a, nil
}

// boundByTimestamp adds status.expirationTimestamp (RFC 3339; may be absent).
func (a *answer) boundByTimestamp(value json.RawMessage, now time.Time) {
	if len(value) == 0 || string(value) == "null" || string(value) == `""` {
		return
	}
	var at time.Time
	if json.Unmarshal(value, &at) != nil {
		a.notices = append(a.notices, "expirationTimestamp is no RFC 3339 time and is ignored")
		return
	}
	if at.After(now.AddDate(10, 0, 0)) {
		a.notices = append(a.notices, "expirationTimestamp is more than ten years ahead and is ignored")
		return
	}
	a.bound(at.UTC())
}

type members map[string]json.RawMessage

// object reads a JSON object whose members are found by their exact names, each at most once.
func object(data []byte) (members, error) {
	list, err := claims.Members(data)
	if err != nil {
		return nil, err
	}
	m := members{}
	for _, member := range list {
		m[member.Name] = member.Value
	}
	return m, nil
}

// text returns a member's text, and "" if it is absent or no JSON string.
func (m members) text(name string) string {
	var s string
	if json.Unmarshal(m[name], &s) != nil {
		return ""
	}
	return s
}
