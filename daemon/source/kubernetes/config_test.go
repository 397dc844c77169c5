// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package kubernetes_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/source/internal/contract"
	"github.com/renewd/renewd/daemon/source/kubernetes"
)

// in is the environment of a pod.
func in(host, port string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}[name]
		return value, ok && value != ""
	}
}

func TestMistakesAreFoundWithoutFiles(t *testing.T) {
	type c = kubernetes.Config
	bound := func(kind, name, uid string) func(*c) {
		return func(o *c) { o.BoundTo = kubernetes.Bound{Kind: kind, Name: name, UID: uid} }
	}
	for name, r := range map[string]struct {
		change func(*c)
		want   []string
	}{
		"nothing":              {func(*c) {}, nil},
		"an empty audience":    {func(o *c) { o.Audiences = []string{"a", ""} }, []string{"audiences[1]"}},
		"too short":            {func(o *c) { o.Expiration = 10*time.Minute - time.Second }, []string{"expiration"}},
		"just enough":          {func(o *c) { o.Expiration = 10 * time.Minute }, nil},
		"too long":             {func(o *c) { o.Expiration = (1<<32 + 1) * time.Second }, []string{"expiration"}},
		"a fraction":           {func(o *c) { o.Expiration += time.Millisecond }, []string{"expiration"}},
		"a namespace with it":  {func(o *c) { o.ServiceAccount = "shop:orders" }, []string{"serviceAccount"}},
		"a path":               {func(o *c) { o.ServiceAccount, o.Namespace = "a/b", ".." }, []string{"namespace", "serviceAccount"}},
		"dots":                 {func(o *c) { o.ServiceAccount, o.Namespace = "a.b", "a.b" }, []string{"namespace"}},
		"upper case":           {func(o *c) { o.ServiceAccount, o.Namespace = "A", "B" }, []string{"namespace", "serviceAccount"}},
		"a long namespace":     {func(o *c) { o.Namespace = strings.Repeat("a", 64) }, []string{"namespace"}},
		"a long label":         {bound("Pod", strings.Repeat("a", 253), ""), nil},
		"a name too long":      {func(o *c) { o.ServiceAccount = strings.Repeat("a", 254) }, []string{"serviceAccount"}},
		"long labels":          {func(o *c) { o.ServiceAccount = strings.Repeat("a.", 126) + "ab" }, []string{"serviceAccount"}},
		"longest":              {func(o *c) { o.ServiceAccount = strings.Repeat("a.", 126) + "a" }, nil},
		"dashes at the ends":   {func(o *c) { o.Namespace, o.ServiceAccount = "-a", "a-" }, []string{"namespace", "serviceAccount"}},
		"bound":                {bound("Node", "a.b", ""), nil},
		"bound to nothing":     {bound("Pod", "", ""), []string{"boundTo.name"}},
		"bound to a UID":       {bound("", "", "u"), []string{"boundTo.kind", "boundTo.name"}},
		"bound to a path":      {bound("Deployment", "a/b", ""), []string{"boundTo.kind", "boundTo.name"}},
		"no token":             {func(o *c) { o.TokenFile = "" }, []string{"tokenFile"}},
		"plain HTTP":           {func(o *c) { o.Server = "http://10.0.0.1" }, []string{"server"}},
		"kubectl proxy":        {func(o *c) { o.Server = "http://127.0.0.1:8001" }, nil},
		"a password":           {func(o *c) { o.Server = "https://u:p@host" }, []string{"server"}},
		"a query":              {func(o *c) { o.Server = "https://host?a=b" }, []string{"server"}},
		"half a certificate":   {func(o *c) { o.HTTP.CertFile = "/c" }, []string{"http.keyFile"}},
		"all of it, and https": {func(o *c) { o.Server, o.Expiration = "host", 0 }, []string{"expiration", "server"}},
	} {
		o := kubernetes.Default()
		r.change(&o)
		_, err := kubernetes.New(o, in("10.0.0.1", "443"))
		if got := contract.Fields(t, err); !slices.Equal(got, r.want) {
			t.Errorf("%s: %q, want %q (%v)", name, got, r.want, err)
		}
	}
}

func TestServer(t *testing.T) {
	for name, c := range map[string]struct {
		host, port, server string
		endpoint, ca, says string
	}{
		"in a pod":            {"10.96.0.1", "443", "", "https://10.96.0.1", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", ""},
		"IPv6":                {"fd00::1", "6443", "", "https://[fd00::1]:6443", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", ""},
		"configured":          {"10.96.0.1", "443", "https://API.test/", "https://api.test", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", ""},
		"without TLS":         {"", "", "http://localhost:8001", "http://localhost:8001", "", ""},
		"outside":             {"", "", "", "", "", "server: is missing, and the variable KUBERNETES_SERVICE_HOST is not set"},
		"half outside":        {"10.96.0.1", "", "", "", "", "the variable KUBERNETES_SERVICE_PORT is not set"},
		"a strange host":      {"a b/c", "443", "", "", "", "are no host and port"},
		"a password in there": {"u:p@host", "443", "", "", "", "are no host and port"},
	} {
		o := kubernetes.Default()
		o.Server = c.server
		s, err := kubernetes.New(o, in(c.host, c.port))
		if c.says != "" {
			if got := contract.Fields(t, err); !slices.Equal(got, []string{"server"}) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		want := []string{o.TokenFile, c.ca}
		if c.ca == "" {
			want = want[:1]
		}
		if err != nil || s.Endpoint() != c.endpoint || !slices.Equal(s.Inputs(), want) {
			t.Errorf("%s: %v %q", name, err, s.Inputs())
		}
	}
}

func TestYAML(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"everything": {`{audiences: [vault], expiration: 1h, serviceAccount: a, namespace: b, boundTo: {kind: Pod, name: p, uid: u},
  server: https://host:6443, tokenFile: /t, http: {caFile: /ca, proxy: none}}`, ""},
		"nothing":        {`{}`, ""},
		"one audience":   {`{audiences: vault}`, ":1:13: error: audiences must be a list"},
		"an unknown key": {`{audience: [vault]}`, `did you mean "audiences"?`},
		"a kind":         {`{boundTo: {kind: pod, name: p}}`, `did you mean "Pod"?`},
		"seconds":        {`{expiration: 3600}`, ":1:14: error: expiration must be"},
	} {
		o := kubernetes.Default()
		err := strict.Decode(strict.Options{MaxBytes: 1 << 20}, []byte(c.text), &o).Err()
		if c.says == "" && err == nil {
			_, err = kubernetes.New(o, in("10.0.0.1", "443"))
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
