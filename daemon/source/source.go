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
		"exec":       kind(exec.Default, exec.New),
		"file":       kind(file.Default, file.New),
		"githubApp":  {func() any { return new(githubapp.Default()) }, newGitHubApp},
		"kubernetes": {func() any { return new(kubernetes.Default()) }, newKubernetes},
		"oauth2":     {func() any { return new(oauth2.Default()) }, newOAuth2},
		"reissue":    {func() any { return new(reissue.Default()) }, newReissue},
		"sign":       kind(sign.Default, sign.New),
		"spiffe":     {func() any { return new(spiffe.Default()) }, newSPIFFE},
		"vault":      {func() any { return new(vault.Default()) }, newVault},
	}
}

// kind makes a Kind of a package's Default and New.
func kind[C any, S daemon.Source](def func() C, create func(C) (S, error)) Kind {
	return Kind{
		Default: func() any { return new(def()) },
		New: func(config any, _ Context) (daemon.Source, error) {
			s, err := create(*config.(*C))
			if err != nil {
				return nil, err
			}
			return s, nil
		},
	}
}

func newGitHubApp(config any, c Context) (daemon.Source, error) {
	s, err := githubapp.New(*config.(*githubapp.Config))
	if err != nil {
		return nil, err
	}
	s.Version = c.Version
	return s, nil
}

func newKubernetes(config any, c Context) (daemon.Source, error) {
	s, err := kubernetes.New(*config.(*kubernetes.Config), c.Lookup)
	if err != nil {
		return nil, err
	}
	s.Version = c.Version
	return s, nil
}

func newOAuth2(config any, c Context) (daemon.Source, error) {
	s, err := oauth2.New(*config.(*oauth2.Config))
	if err != nil {
		return nil, err
	}
	s.Version = c.Version
	return s, nil
}

// newReissue re-issues, unless told otherwise, the token that is published.
func newReissue(config any, c Context) (daemon.Source, error) {
	own := *config.(*reissue.Config)
	own.TokenFile = cmp.Or(own.TokenFile, c.RawFile)
	s, err := reissue.New(own)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// newSPIFFE asks, unless told otherwise, the Workload API that the environment names.
func newSPIFFE(config any, c Context) (daemon.Source, error) {
	variable, _ := c.Lookup(spiffe.SocketVariable)
	s, err := spiffe.New(*config.(*spiffe.Config), variable)
	if err != nil {
		return nil, err
	}
	s.Version = c.Version
	return s, nil
}

func newVault(config any, c Context) (daemon.Source, error) {
	s, err := vault.New(*config.(*vault.Config))
	if err != nil {
		return nil, err
	}
	s.Version = c.Version
	return s, nil
}
