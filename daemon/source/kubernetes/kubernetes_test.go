// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package kubernetes_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/contract"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
	"github.com/renewd/renewd/daemon/source/kubernetes"
)

// ours is the token of the pod; its audience is the API server's.
var ours = hostile.JWT(`{"sub":"system:serviceaccount:shop:orders","aud":["https://kubernetes.default.svc"],"exp":4102444800}`)

func nothing(string) (string, bool) { return "", false }

// mounted is a service account's volume that leads to i.
func mounted(t testing.TB, i *hostile.Issuer, token string) (tokenFile string) {
	t.Helper()
	tokenFile = hostile.Write(t, "token", token)
	ca, err := os.ReadFile(i.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(tokenFile), "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return tokenFile
}

func config(t testing.TB, i *hostile.Issuer) kubernetes.Config {
	t.Helper()
	c := kubernetes.Default()
	c.Audiences, c.Server, c.TokenFile = []string{"vault"}, i.URL, mounted(t, i, ours+"\n")
	return c
}

func source(t testing.TB, c kubernetes.Config) *kubernetes.Source {
	t.Helper()
	s, err := kubernetes.New(c, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answer is what an API server says; seconds is the life that it gives.
func answer(token string, seconds int, header ...string) http.HandlerFunc {
	return hostile.JSON(201, fmt.Sprintf(`{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{"name":"orders"},
		"spec":{"audiences":["vault"],"expirationSeconds":%d,"boundObjectRef":null},"status":{"token":%q,"expirationTimestamp":%q}}`,
		seconds, token, time.Now().Add(time.Duration(seconds)*time.Second).UTC().Format(time.RFC3339)), header...)
}

func failure(t testing.TB, err error) *daemon.Failure {
	t.Helper()
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok {
		t.Fatalf("no Failure: %v", err)
	}
	return f
}

func TestRequest(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(answer("x", 3600))
	type c = kubernetes.Config
	for name, r := range map[string]struct {
		change     func(*c)
		path, spec string
	}{
		"its own": {func(*c) {}, "/api/v1/namespaces/shop/serviceaccounts/orders/token", `"audiences":["vault"],"expirationSeconds":3600`},
		"another": {func(c *c) { c.ServiceAccount, c.Namespace, c.Expiration = "a.b", "ns", 10*time.Minute },
			"/api/v1/namespaces/ns/serviceaccounts/a.b/token", `"audiences":["vault"],"expirationSeconds":600`},
		"another in the same namespace": {func(c *c) { c.ServiceAccount, c.Audiences = "x", []string{"a<b", "c"} },
			"/api/v1/namespaces/shop/serviceaccounts/x/token", `"audiences":["a\u003cb","c"],"expirationSeconds":3600`},
		"its name in another namespace, for the API server": {func(c *c) { c.Namespace, c.Audiences = "x", nil },
			"/api/v1/namespaces/x/serviceaccounts/orders/token", `"expirationSeconds":3600`},
		"bound": {func(c *c) { c.BoundTo = kubernetes.Bound{Kind: "Pod", Name: "orders-0", UID: "u-1"} },
			"/api/v1/namespaces/shop/serviceaccounts/orders/token",
			`"audiences":["vault"],"expirationSeconds":3600,"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"orders-0","uid":"u-1"}`},
		"bound to any of that name, for long": {func(c *c) {
			c.BoundTo, c.Expiration = kubernetes.Bound{Kind: "Secret", Name: "s"}, (1<<32)*time.Second
		}, "/api/v1/namespaces/shop/serviceaccounts/orders/token",
			`"audiences":["vault"],"expirationSeconds":4294967296,"boundObjectRef":{"apiVersion":"v1","kind":"Secret","name":"s"}`},
		"below a path": {func(c *c) { c.Server += "/k8s/clusters/c-1/" },
			"/k8s/clusters/c-1/api/v1/namespaces/shop/serviceaccounts/orders/token", `"audiences":["vault"],"expirationSeconds":3600`},
	} {
		own := config(t, i)
		r.change(&own)
		s := source(t, own)
		s.Version = "1.2.3"
		token, err := s.Token(t.Context())
		if err != nil || token.Value.Reveal() != "x" || token.Type != "Bearer" {
			t.Errorf("%s: %+v %v", name, token, err)
		}
		asked := i.Asked()
		if len(asked) != 1 {
			t.Fatalf("%s: %d requests", name, len(asked))
		}
		body := `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{` + r.spec + `}}`
		if a := asked[0]; a.Method != http.MethodPost || a.Path != r.path || a.Body != body {
			t.Errorf("%s: %s %s %s\nwant %s %s", name, a.Method, a.Path, a.Body, r.path, body)
		}
		for header, want := range map[string]string{
			"Authorization": "Bearer " + ours, "Content-Type": "application/json", "Accept": "application/json", "User-Agent": "renewd/1.2.3",
			"Accept-Encoding": "", "Connection": "close",
		} {
			if got := asked[0].Header.Get(header); got != want {
				t.Errorf("%s: %s %q, want %q", name, header, got, want)
			}
		}
	}
}

func TestWhoseTokenIsAskedFor(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(answer("x", 3600))
	for name, sub := range map[string]string{
		"a user":              `{"sub":"system:admin"}`,
		"no sub":              `{}`,
		"a node":              `{"sub":"system:node:a"}`,
		"half":                `{"sub":"system:serviceaccount:shop"}`,
		"a path as namespace": `{"sub":"system:serviceaccount:../../x:orders"}`,
		"a path as name":      `{"sub":"system:serviceaccount:shop:orders/../x?y"}`,
		"a name too many":     `{"sub":"system:serviceaccount:shop:orders:x"}`,
		"empty":               `{"sub":"system:serviceaccount::"}`,
	} {
		c := config(t, i)
		c.TokenFile = mounted(t, i, hostile.JWT(sub))
		_, err := source(t, c).Token(t.Context())
		if f := failure(t, err); f.Class != daemon.ClassConfig || !strings.Contains(f.Hint, "write serviceAccount and namespace") || len(i.Asked()) != 0 {
			t.Errorf("%s: %q %v", name, f.Class, err)
		}
		c.Namespace, c.ServiceAccount = "shop", "orders"
		if _, err := source(t, c).Token(t.Context()); err != nil || len(i.Asked()) != 1 {
			t.Errorf("%s, configured: %v", name, err)
		}
	}
	c := config(t, i)
	c.Namespace, c.ServiceAccount, c.TokenFile = "shop", "orders", mounted(t, i, "opaque")
	i.Answer(status(403, "Forbidden", `null`))
	if _, err := source(t, c).Token(t.Context()); !strings.Contains(daemon.HintOf(err), "whom the token in") {
		t.Errorf("%v %s", err, daemon.HintOf(err))
	}
}

// Kubernetes replaces token and CA while a pod runs.
func TestRotationUnderneath(t *testing.T) {
	first, second := hostile.New(t, nil), hostile.New(t, nil)
	first.Answer(answer("one", 3600))
	second.Answer(answer("two", 3600))
	c := config(t, first)
	s := source(t, c)
	if token, err := s.Token(t.Context()); err != nil || token.Value.Reveal() != "one" {
		t.Fatal(err)
	}
	c.Server = second.URL
	other := source(t, c)
	if _, err := other.Token(t.Context()); failure(t, err).Class != daemon.ClassUnavailable || !strings.Contains(err.Error(), "authority") {
		t.Errorf("another CA is trusted: %v", err)
	}
	ca, err := os.ReadFile(second.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	renewed := hostile.JWT(`{"sub":"system:serviceaccount:shop:orders","exp":4102444801}`)
	for path, text := range map[string]string{filepath.Join(filepath.Dir(c.TokenFile), "ca.crt"): string(ca), c.TokenFile: renewed} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token, err := other.Token(t.Context())
	if err != nil || token.Value.Reveal() != "two" {
		t.Fatal(err)
	}
	if got := second.Asked()[0].Header.Get("Authorization"); got != "Bearer "+renewed {
		t.Errorf("sent %q", got)
	}
}

func TestFiles(t *testing.T) {
	i := hostile.New(t, nil)
	empty := t.TempDir()
	for name, c := range map[string]struct {
		change func(*kubernetes.Config)
		class  daemon.Class
		hint   string
	}{
		"no token":     {func(c *kubernetes.Config) { c.TokenFile = filepath.Join(empty, "token") }, daemon.ClassUnavailable, "automountServiceAccountToken"},
		"no CA":        {func(c *kubernetes.Config) { c.TokenFile = hostile.Write(t, "token", ours) }, daemon.ClassConfig, "beside tokenFile"},
		"no CA, named": {func(c *kubernetes.Config) { c.HTTP.CAFile = filepath.Join(empty, "ca") }, daemon.ClassConfig, "correct the path"},
		"expired":      {func(c *kubernetes.Config) { c.TokenFile = mounted(t, i, hostile.JWT(`{"exp":1}`)) }, daemon.ClassUnavailable, "writes the file"},
		"not a header": {func(c *kubernetes.Config) {
			c.TokenFile = mounted(t, i, "a\nb")
			c.Namespace, c.ServiceAccount = "a", "b"
		}, daemon.ClassConfig, ""},
		"CA of garbage": {func(c *kubernetes.Config) { c.HTTP.CAFile = hostile.Write(t, "ca", "x") }, daemon.ClassConfig, "openssl"},
	} {
		own := config(t, i)
		c.change(&own)
		s := source(t, own)
		_, err := s.Token(t.Context())
		if f := failure(t, err); f.Class != c.class || !strings.Contains(f.Hint, c.hint) {
			t.Errorf("%s: %q %v\n%s", name, f.Class, err, f.Hint)
		}
		// What needs no server is found without one.
		if found := s.Check(); name != "not a header" && (found == nil || found.Error() != err.Error()) {
			t.Errorf("%s: Check says %v, not %v", name, found, err)
		}
	}
	if asked := i.Asked(); len(asked) != 0 {
		t.Errorf("%d requests", len(asked))
	}
	if err := source(t, config(t, i)).Check(); err != nil {
		t.Error(err)
	}
}

func TestHostileAnswers(t *testing.T) {
	i := hostile.New(t, nil)
	hostile.Test(t, i, source(t, config(t, i)), ours)
}

func TestContract(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(answer(hostile.Leaked, 3600))
	slow := hostile.New(t, nil)
	slow.Answer(hostile.Drip)
	refusing := hostile.New(t, nil)
	refusing.Answer(status(403, "Forbidden", fmt.Sprintf(`{"name":%q}`, ours)))
	expired := config(t, i)
	old := hostile.JWT(`{"exp":1700000000}`)
	expired.TokenFile = mounted(t, i, old)
	absent := config(t, i)
	absent.HTTP.CAFile = absent.TokenFile + ".gone"
	c := config(t, i)
	contract.Test(t, contract.Case{
		Source: source(t, c), Inputs: []string{c.TokenFile, filepath.Join(filepath.Dir(c.TokenFile), "ca.crt")},
		Slow: source(t, config(t, slow)),
		Failing: map[string]contract.Failing{
			"refused":       {Source: source(t, config(t, refusing)), Class: daemon.ClassRefused},
			"expired token": {Source: source(t, expired), Class: daemon.ClassUnavailable},
			"no CA":         {Source: source(t, absent), Class: daemon.ClassConfig},
		},
		Secrets: []string{ours, old, hostile.Leaked},
	})
}

func TestDoubts(t *testing.T) {
	i := hostile.New(t, nil)
	c := config(t, i)
	if doubts := source(t, c).Doubts(nil); len(doubts) != 0 {
		t.Errorf("%q", doubts)
	}
	c.Audiences = nil
	if doubts := source(t, c).Doubts(nil); len(doubts) != 1 || !slices.ContainsFunc(doubts, func(s string) bool { return strings.Contains(s, "audiences is empty") }) {
		t.Errorf("%q", doubts)
	}
	if life := source(t, c).Lifetime(); life != time.Hour {
		t.Errorf("%v", life)
	}
}
