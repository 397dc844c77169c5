// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package vault

import (
	"errors"
	"net/url"
	"strings"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// Config is the mapping below vault. Start from Default.
type Config struct {
	Address   string        `yaml:"address" required:"true" doc:"The server, for example https://bao.example.com:8200."`
	Namespace string        `yaml:"namespace" doc:"The namespace of mount and role, such as team/orders. Empty: the root namespace."`
	Mount     string        `yaml:"mount" doc:"Where the login method is mounted, without auth/: a kubernetes or a jwt method."`
	Role      string        `yaml:"role" required:"true" doc:"The role of that method to log in with."`
	JWTFile   string        `yaml:"jwtFile" doc:"Path of the JWT to log in with, which somebody else keeps fresh."`
	OIDCRole  string        `yaml:"oidcRole" doc:"Name of a role below identity/oidc/role: the token is then a JWT that the server signs for it. Empty: the token is that of the login itself."`
	HTTP      endpoint.HTTP `yaml:"http" doc:"How the server is reached and verified."`
}

// Default returns what an empty mapping means. It names no server and no role.
func Default() Config {
	return Config{Mount: "kubernetes", JWTFile: "/var/run/secrets/kubernetes.io/serviceaccount/token", HTTP: endpoint.DefaultHTTP()}
}

// check returns every mistake that the text alone shows.
func (c Config) check() error {
	errs := c.HTTP.Check("http")
	wrong := func(field, problem, help string) {
		errs = append(errs, &daemon.FieldError{Field: field, Problem: problem, Help: help})
	}
	if err := c.HTTP.CheckURL("address", c.Address); err != nil {
		errs = append(errs, err)
	} else if strings.Contains(c.Address, "?") {
		wrong("address", "holds a query", "scheme, host and port: https://bao.example.com:8200")
	} else if u, err := url.Parse(c.Address); err == nil && (strings.HasSuffix(u.Path, "/v1") || strings.Contains(u.Path, "/v1/")) {
		wrong("address", "holds a path of the API", "leave /v1 and what follows away")
	}
	if after, ok := strings.CutPrefix(c.Mount, "auth/"); ok {
		wrong("mount", "begins with auth/", "write it without: "+after)
	} else if !isPath(c.Mount) {
		wrong("mount", "is no path of a login method", "for example kubernetes, or jwt, without slashes at its ends")
	}
	if c.Namespace != "" && !isPath(c.Namespace) {
		wrong("namespace", "is no namespace", "names with slashes between them, such as team/orders")
	}
	if c.Role == "" {
		wrong("role", "is missing", "the role of the login method")
	}
	if c.JWTFile == "" {
		wrong("jwtFile", "is missing", "the path of the JWT to log in with")
	}
	if c.OIDCRole != "" && (!isPath(c.OIDCRole) || strings.Contains(c.OIDCRole, "/")) {
		wrong("oidcRole", "is no name of a role", "the name alone, without identity/oidc/role/")
	}
	return errors.Join(errs...)
}

// isPath reports whether text is printable names with single slashes between them, none of which leads elsewhere.
func isPath(text string) bool {
	for name := range strings.SplitSeq(text, "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return false
		}
	}
	return true
}

// url returns the address of a path of the API, whose names are not escaped yet.
func (c Config) url(path string) string {
	names := strings.Split(path, "/")
	for i := range names {
		names[i] = url.PathEscape(names[i])
	}
	return strings.TrimRight(c.Address, "/") + "/v1/" + strings.Join(names, "/")
}
