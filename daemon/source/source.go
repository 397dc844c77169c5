// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package source is the map of every kind of source: one folder per kind, each with its own Config and New. It has no
// behavior of its own.
package source

import (
	"cmp"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/exec"
	"github.com/renewd/renewd/daemon/source/file"
	"github.com/renewd/renewd/daemon/source/githubapp"
	"github.com/renewd/renewd/daemon/source/kubernetes"
	"github.com/renewd/renewd/daemon/source/oauth2"
	"github.com/renewd/renewd/daemon/source/reissue"
	"github.com/renewd/renewd/daemon/source/sign"
	"github.com/renewd/renewd/daemon/source/spiffe"
	"github.com/renewd/renewd/daemon/source/vault"
)

// Kind makes sources of one kind.
type Kind struct {
	// Default returns a pointer to the kind's Config, filled with its defaults.
	Default func() any

	// New checks the text of config, a pointer as Default returns it, and does no I/O. Errors are joined
	// *daemon.FieldError of the fields of config.
	New func(config any, c Context) (daemon.Source, error)
}

// Context is what a source may know of the token that it belongs to.
type Context struct {
	Version string // of renewd, for User-Agent
	RawFile string // the first file that the token is published to in the raw format; "" if there is none

	Lookup func(name string) (string, bool) // a variable of the environment; never nil
}

// Kinds returns every source by its name in the configuration. To add one, write its folder and its line here.
func Kinds() map[string]Kind {
	return map[string]Kind{
		"exec":       kind(exec.Default, alone(exec.New)),
		"file":       kind(file.Default, alone(file.New)),
		"githubApp":  kind(githubapp.Default, newGitHubApp),
		"kubernetes": kind(kubernetes.Default, newKubernetes),
		"oauth2":     kind(oauth2.Default, newOAuth2),
		"reissue":    kind(reissue.Default, newReissue),
		"sign":       kind(sign.Default, alone(sign.New)),
		"spiffe":     kind(spiffe.Default, newSPIFFE),
		"vault":      kind(vault.Default, newVault),
	}
}

// kind makes a Kind of a package's Default and of what calls its New.
func kind[C any, S daemon.Source](def func() C, create func(C, Context) (S, error)) Kind {
	return Kind{
		Default: func() any { return new(def()) },
		New: func(config any, c Context) (daemon.Source, error) {
			s, err := create(*config.(*C), c)
			if err != nil {
				return nil, err // and not s, which would be an interface that is not nil
			}
			return s, nil
		},
	}
}

// alone is for a source that need not know anything of its token.
func alone[C any, S daemon.Source](create func(C) (S, error)) func(C, Context) (S, error) {
	return func(config C, _ Context) (S, error) { return create(config) }
}

func newGitHubApp(config githubapp.Config, c Context) (*githubapp.Source, error) {
	s, err := githubapp.New(config)
	if err == nil {
		s.Version = c.Version
	}
	return s, err
}

func newKubernetes(config kubernetes.Config, c Context) (*kubernetes.Source, error) {
	s, err := kubernetes.New(config, c.Lookup)
	if err == nil {
		s.Version = c.Version
	}
	return s, err
}

func newOAuth2(config oauth2.Config, c Context) (*oauth2.Source, error) {
	s, err := oauth2.New(config)
	if err == nil {
		s.Version = c.Version
	}
	return s, err
}

// newReissue re-issues, unless told otherwise, the token that is published.
func newReissue(config reissue.Config, c Context) (*reissue.Source, error) {
	config.TokenFile = cmp.Or(config.TokenFile, c.RawFile)
	return reissue.New(config)
}

// newSPIFFE asks, unless told otherwise, the Workload API that the environment names.
func newSPIFFE(config spiffe.Config, c Context) (*spiffe.Source, error) {
	variable, _ := c.Lookup(spiffe.SocketVariable)
	s, err := spiffe.New(config, variable)
	if err == nil {
		s.Version = c.Version
	}
	return s, err
}

func newVault(config vault.Config, c Context) (*vault.Source, error) {
	s, err := vault.New(config)
	if err == nil {
		s.Version = c.Version
	}
	return s, err
}
