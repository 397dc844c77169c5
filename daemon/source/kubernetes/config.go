// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package kubernetes

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// Config is the mapping below kubernetes. Start from Default.
type Config struct {
	Audiences      []string      `yaml:"audiences" doc:"Whom the token is for. Empty: the API server itself."`
	Expiration     time.Duration `yaml:"expiration" doc:"The life to ask for, 10m or more. The API server may give another one."`
	ServiceAccount string        `yaml:"serviceAccount" doc:"The service account that the token speaks for. Empty: that of tokenFile."`
	Namespace      string        `yaml:"namespace" doc:"The namespace of the service account. Empty: that of tokenFile."`
	BoundTo        Bound         `yaml:"boundTo" doc:"The object whose end is also the token's. Empty: none."`
	Server         string        `yaml:"server" doc:"The API server, such as https://10.0.0.1:6443. Empty: that of the cluster, by KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT."`
	TokenFile      string        `yaml:"tokenFile" doc:"Path of the token that renewd shows to the API server. ca.crt beside it is the default of http.caFile."`
	HTTP           endpoint.HTTP `yaml:"http" doc:"How the API server is reached and verified."`
}

// Bound is the mapping boundTo: kind and name, or nothing.
type Bound struct {
	Kind string `yaml:"kind" enum:"Pod,Secret,Node" doc:"The object's kind."`
	Name string `yaml:"name" doc:"The object's name. A pod or a secret is in the namespace of the service account."`
	UID  string `yaml:"uid" doc:"The object's UID: no token for another object of that name. Empty: any."`
}

// The bounds of spec.expirationSeconds.
const (
	shortest = 10 * time.Minute
	longest  = (1 << 32) * time.Second
)

// Default returns what an empty mapping means: a token of the pod's own service account, in the pod's own cluster.
func Default() Config {
	return Config{Expiration: time.Hour, TokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token", HTTP: endpoint.DefaultHTTP()}
}

// checker collects the mistakes that the text of a Config and the environment show, and fills in what they leave out.
type checker struct {
	Config
	lookup func(name string) (string, bool)
	errs   []error
}

func (c *checker) wrong(field, problem, help string) {
	c.errs = append(c.errs, &daemon.FieldError{Field: field, Problem: problem, Help: help})
}

// check returns every mistake.
func (c *checker) check() error {
	c.errs = c.HTTP.Check("http")
	for i, audience := range c.Audiences {
		if audience == "" {
			c.wrong(fmt.Sprintf("audiences[%d]", i), "is empty", "for example vault, or the URL that the reader of the token calls itself")
		}
	}
	if c.Expiration < shortest || c.Expiration > longest || c.Expiration%time.Second != 0 {
		c.wrong("expiration", fmt.Sprintf("is %v", c.Expiration), "10m to 4294967296s, in whole seconds")
	}
	if c.ServiceAccount != "" && !isAccount(c.ServiceAccount) {
		c.wrong("serviceAccount", "is no name of a service account", "lower-case letters, digits, - and dots, without the namespace")
	}
	if c.Namespace != "" && !isNamespace(c.Namespace) {
		c.wrong("namespace", "is no name of a namespace", "lower-case letters, digits and -, at most 63")
	}
	c.bound()
	if c.TokenFile == "" {
		c.wrong("tokenFile", "is empty", Default().TokenFile)
	}
	c.server()
	return errors.Join(c.errs...)
}

func (c *checker) bound() {
	b := c.BoundTo
	if b == (Bound{}) {
		return
	}
	if b.Kind != "Pod" && b.Kind != "Secret" && b.Kind != "Node" {
		c.wrong("boundTo.kind", "is none of the kinds that a token can be bound to", "Pod, Secret or Node")
	}
	if !isAccount(b.Name) { // objects of all three kinds are named alike
		c.wrong("boundTo.name", "is no name of an object", `for a pod's own name write "${POD_NAME}", and set that variable from metadata.name`)
	}
}

// server finds the API server and where its CA is.
func (c *checker) server() {
	if c.Server == "" {
		c.Server = c.inCluster()
	} else {
		c.errs = append(c.errs, c.HTTP.CheckURL("server", c.Server))
		if strings.Contains(c.Server, "?") {
			c.wrong("server", "holds a query", "scheme, host and port, and the path of the API if it has one")
		}
	}
	c.Server = strings.TrimRight(c.Server, "/")
	// Without TLS (to kubectl proxy, say) there is nothing to verify.
	if c.HTTP.CAFile == "" && !strings.HasPrefix(c.Server, "http:") {
		c.HTTP.CAFile = filepath.Join(filepath.Dir(c.TokenFile), "ca.crt")
	}
}

// inCluster returns what Kubernetes tells every pod.
func (c *checker) inCluster() string {
	var host, port string
	for _, v := range []struct {
		name string
		into *string
	}{{"KUBERNETES_SERVICE_HOST", &host}, {"KUBERNETES_SERVICE_PORT", &port}} {
		if *v.into, _ = c.lookup(v.name); *v.into == "" {
			c.wrong("server", "is missing, and the variable "+v.name+" is not set, as it is in every pod",
				"outside of a cluster write server: https://HOST:6443, tokenFile, and http.caFile for the server's CA")
			return ""
		}
	}
	address := "https://" + net.JoinHostPort(host, port)
	if c.HTTP.CheckURL("server", address) != nil {
		c.wrong("server", "is missing, and KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are no host and port", "write server: https://HOST:6443")
	}
	return address
}

// isNamespace reports whether text is a label of RFC 1123 §2.1, as Kubernetes reads it.
func isNamespace(text string) bool { return len(text) <= 63 && isLabel(text) }

// isAccount reports whether text is labels with dots between them, as most objects are named. Unlike in the DNS, a label can
// be as long as the whole name: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/.
func isAccount(text string) bool {
	for label := range strings.SplitSeq(text, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return len(text) <= 253
}

func isLabel(text string) bool {
	return text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && text[0] != '-' && text[len(text)-1] != '-'
}
