// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package exec_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/exec"
	"github.com/renewd/renewd/daemon/source/internal/contract"
)

const canary = "canary-77aa"

func shell(t *testing.T, script string, change func(*exec.Config)) *exec.Source {
	t.Helper()
	c := exec.Default()
	c.Command = []string{"/bin/sh", "-c", script, canary}
	c.Env = map[string]string{"SECRET": canary}
	if change != nil {
		change(&c)
	}
	s, err := exec.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// prints is a command that prints text exactly.
func prints(t *testing.T, output, text string) *exec.Source {
	t.Helper()
	return shell(t, `printf '%s' "$OUTPUT"`, func(c *exec.Config) {
		c.Output = output
		c.Env["OUTPUT"] = text
	})
}

func jwt(payload string) string {
	b := base64.RawURLEncoding
	return b.EncodeToString([]byte(`{"alg":"ES256"}`)) + "." + b.EncodeToString([]byte(payload)) + "." + b.EncodeToString([]byte("sig"))
}

func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

func stamp(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

func credential(status string) string {
	return `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":` + status + `}`
}

func TestContract(t *testing.T) {
	failing := func(class daemon.Class, script string) contract.Failing {
		return contract.Failing{Class: class, Source: shell(t, script, nil)}
	}
	missing := shell(t, "", func(c *exec.Config) { c.Command[0] = "/no/such/program" })
	contract.Test(t, contract.Case{
		Source: prints(t, "raw", "opaque-token\n"),
		Slow:   shell(t, "sleep 100; :", nil),
		Failing: map[string]contract.Failing{
			"exit status":     failing(daemon.ClassUnavailable, `printf %s "$SECRET"; printf %s "$SECRET" >&2; exit 1`),
			"signal":          failing(daemon.ClassUnavailable, `printf %s "$SECRET"; kill -9 $$`),
			"empty":           failing(daemon.ClassMalformed, `printf %s "$SECRET" >&2`),
			"not found":       {Source: missing, Class: daemon.ClassConfig},
			"no credential":   {Source: prints(t, "execCredential", `{"token":"`+canary+`"}`), Class: daemon.ClassMalformed},
			"member twice":    {Source: prints(t, "execCredential", credential(`{"token":"`+canary+`","token":"x"}`)), Class: daemon.ClassMalformed},
			"torn credential": {Source: prints(t, "execCredential", `{"kind":"`+canary), Class: daemon.ClassMalformed},
		},
		Secrets: []string{canary},
	})
}

func TestRawLosesOneLineEnd(t *testing.T) {
	for text, want := range map[string]string{
		"token": "token", "token\n": "token", "token\r\n": "token", "token\n\n": "token\n", "token\r": "token\r", " token": " token",
	} {
		token, err := prints(t, "raw", text).Token(t.Context())
		if err != nil || token.Value.Reveal() != want || token.Type != "Bearer" || !token.ExpiresAt.IsZero() {
			t.Errorf("%q: %q %v %v, want %q", text, token.Value.Reveal(), token.ExpiresAt, err, want)
		}
	}
	for _, text := range []string{"", "\n", "\r\n"} {
		if _, err := prints(t, "raw", text).Token(t.Context()); daemon.ClassOf(err) != daemon.ClassMalformed {
			t.Errorf("%q: %v, want malformed", text, err)
		}
	}
}

func TestLifeIsTheEarliestBound(t *testing.T) {
	made := time.Now().Truncate(time.Second)
	for _, tt := range []struct {
		name, output, text string
		want               time.Duration // of life; 0: unknown
		notice             string
	}{
		{"opaque", "raw", "opaque", 0, ""},
		{"exp", "raw", jwt(fmt.Sprintf(`{"exp":%d}`, in(time.Hour))), time.Hour, ""},
		{"exp is no number", "raw", jwt(`{"exp":true}`), 0, "exp is not a number"},
		{"exp far ahead", "raw", jwt(fmt.Sprintf(`{"exp":%d}`, in(11*8766*time.Hour))), 0, "exp is more than ten years"},
		{"an iat of the past changes nothing", "raw", jwt(fmt.Sprintf(`{"iat":1,"exp":%d}`, in(time.Hour))), time.Hour, ""},
		{"timestamp", "execCredential", credential(`{"token":"t","expirationTimestamp":"` + stamp(time.Hour) + `"}`), time.Hour, ""},
		{"timestamp with a byte order mark", "execCredential", "\uFEFF" + credential(`{"token":"t"}`), 0, ""},
		{"timestamp null", "execCredential", credential(`{"token":"t","expirationTimestamp":null}`), 0, ""},
		{"timestamp empty", "execCredential", credential(`{"token":"t","expirationTimestamp":""}`), 0, ""},
		{"timestamp in seconds", "execCredential", credential(`{"token":"t","expirationTimestamp":1}`), 0, "no RFC 3339 time"},
		{"timestamp far ahead", "execCredential", credential(`{"token":"t","expirationTimestamp":"9999-01-01T00:00:00Z"}`), 0, "ten years"},
		{"exp before timestamp", "execCredential", credential(`{"token":"` + jwt(fmt.Sprintf(`{"exp":%d}`, in(time.Hour))) + `","expirationTimestamp":"` + stamp(2*time.Hour) + `"}`), time.Hour, ""},
		{"timestamp before exp", "execCredential", credential(`{"token":"` + jwt(fmt.Sprintf(`{"exp":%d}`, in(3*time.Hour))) + `","expirationTimestamp":"` + stamp(2*time.Hour) + `"}`), 2 * time.Hour, ""},
		{"v1beta1", "execCredential", strings.Replace(credential(`{"token":"t","clientCertificateData":"c"}`), "/v1", "/v1beta1", 1), 0, ""},
	} {
		before := time.Now()
		token, err := prints(t, tt.output, tt.text).Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if token.IssuedAt.Before(before.Round(0)) || token.IssuedAt.After(time.Now()) {
			t.Errorf("%s: issued at %v", tt.name, token.IssuedAt)
		}
		if early, late := made.Add(tt.want), before.Add(tt.want); (tt.want == 0) != token.ExpiresAt.IsZero() ||
			tt.want != 0 && (token.ExpiresAt.Before(early) || token.ExpiresAt.After(late)) {
			t.Errorf("%s: expires at %v, not within %v and %v", tt.name, token.ExpiresAt, early, late)
		}
		if got := strings.Join(token.Notices, "; "); (tt.notice == "") != (got == "") || !strings.Contains(got, tt.notice) {
			t.Errorf("%s: notices %q, want %q", tt.name, got, tt.notice)
		}
	}
}

func TestWhatIsNoLivingTokenIsMalformed(t *testing.T) {
	for name, tt := range map[string]struct{ output, text, want string }{
		"expired":             {"raw", jwt(`{"exp":1700000000}`), "expired at 2023-11-14T22:13:20Z"},
		"exp twice":           {"raw", jwt(`{"exp":1,"exp":2}`), "twice"},
		"expired timestamp":   {"execCredential", credential(`{"token":"t","expirationTimestamp":"2023-11-14T22:13:20Z"}`), "expired at"},
		"certificate only":    {"execCredential", credential(`{"clientCertificateData":"c","clientKeyData":"k"}`), "client certificate and no token"},
		"no token":            {"execCredential", credential(`{}`), "status.token"},
		"null token":          {"execCredential", credential(`{"token":null}`), "status.token"},
		"number token":        {"execCredential", credential(`{"token":1}`), "status.token"},
		"other case":          {"execCredential", credential(`{"Token":"t"}`), "status.token"},
		"no status":           {"execCredential", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"}`, "status"},
		"status twice":        {"execCredential", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"a"},"status":{"token":"b"}}`, "twice"},
		"other kind":          {"execCredential", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"Secret","status":{"token":"a"}}`, "another kind"},
		"v1alpha1":            {"execCredential", strings.Replace(credential(`{"token":"t"}`), "/v1", "/v1alpha1", 1), "apiVersion"},
		"two objects":         {"execCredential", credential(`{"token":"t"}`) + "{}", "after the JSON object"},
		"raw where one is":    {"execCredential", "opaque", "not a JSON object"},
		"empty":               {"execCredential", "", "not a JSON object"},
		"not UTF-8":           {"execCredential", credential(`{"token":"` + "\xff" + `"}`), "not UTF-8"},
		"20,000 levels":       {"execCredential", strings.Repeat("[", 20000), "not a JSON object"},
		"20,000 levels below": {"execCredential", `{"status":` + strings.Repeat("[", 20000), "not a JSON object"},
	} {
		_, err := prints(t, tt.output, tt.text).Token(t.Context())
		if daemon.ClassOf(err) != daemon.ClassMalformed || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: class %q, %v; want %q", name, daemon.ClassOf(err), err, tt.want)
		}
	}
}

func TestExecInfoIsSetForPlugins(t *testing.T) {
	plugin := `printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' ` +
		`"$(printf %s "$KUBERNETES_EXEC_INFO" | base64 -w0)"`
	for given, want := range map[string]string{
		"":      `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`,
		"given": "given",
	} {
		env := map[string]string{}
		if given != "" {
			env["KUBERNETES_EXEC_INFO"] = given
		}
		before := maps.Clone(env)
		token, err := shell(t, plugin, func(c *exec.Config) { c.Output, c.Env = "execCredential", env }).Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := base64.StdEncoding.DecodeString(token.Value.Reveal()); err != nil || string(got) != want {
			t.Errorf("the plugin saw %q, %v; want %q", got, err, want)
		}
		if !maps.Equal(env, before) {
			t.Errorf("the configuration was changed: %q", env)
		}
	}
}

func TestFailureSaysHowToSeeMore(t *testing.T) {
	_, err := shell(t, "printf 12345 >&2; exit 7", nil).Token(t.Context())
	if want := `run command "/bin/sh": exit status 7, with 5 bytes on standard error`; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if hint := daemon.HintOf(err); !strings.Contains(hint, "stderr: pass") {
		t.Errorf("hint %q", hint)
	}
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := exec.New(exec.Config{Env: map[string]string{"A=": "x"}, Output: "json", Stderr: "log"})
	var fields []string
	for _, e := range flatten(err) {
		if f, ok := errors.AsType[*daemon.FieldError](e); ok {
			fields = append(fields, f.Field)
		}
	}
	if want := []string{"command", "env", "output", "stderr"}; !slices.Equal(fields, want) {
		t.Errorf("got %q, want %q", fields, want)
	}
}

func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
