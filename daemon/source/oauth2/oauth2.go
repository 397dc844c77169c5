// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package oauth2 obtains tokens from the token endpoint of an OAuth 2 server: client credentials and refresh tokens
// (RFC 6749), JWT bearer grants (RFC 7523) and token exchange (RFC 8693). Each attempt asks once, with one way to prove
// who the client is. It does not log in people, does not use proofs of possession that a file cannot carry (DPoP), and
// keeps nothing between attempts but the refresh token, which lives in a file.
//
// Limit: a new refresh token that the disk did not take is kept in memory until it does, and is lost if the Source is
// replaced before.
package oauth2

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

var (
	_ daemon.Source = (*Source)(nil)
	_ daemon.Inputs = (*Source)(nil)
	_ daemon.Remote = (*Source)(nil)
)

// Source asks a token endpoint. Get one from New.
type Source struct {
	Version string // of renewd, for the header User-Agent; may be empty

	config  Config
	unsaved *unsaved // what the issuer handed out and the disk did not take; nil: nothing
}

// New checks the text of c, opens nothing and asks nobody. The error joins a *daemon.FieldError for each mistake.
func New(c Config) (*Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Source{config: c}, nil
}

// Inputs returns the files that are read in every attempt: keys, secrets, certificates and tokens. The state file is not
// one of them, since renewd writes it.
func (s *Source) Inputs() []string {
	c := s.config
	files := append([]string{
		c.ClientSecretFile, c.Assertion.KeyFile, c.Assertion.CertFile, c.AssertionFile, c.RefreshTokenFile,
		c.GrantAssertion.File, c.GrantAssertion.KeyFile, c.GrantAssertion.CertFile, c.Subject.File, c.Actor.File,
	}, c.HTTP.Inputs()...)
	return slices.DeleteFunc(files, func(path string) bool { return path == "" })
}

// Endpoint returns scheme and host of tokenURL, or else of issuer.
func (s *Source) Endpoint() string { return s.config.endpointOf() }

// Check reads what an attempt would read, but for the state file, and asks nobody. Errors are those of Token.
func (s *Source) Check() error {
	if _, err := s.open(); err != nil {
		return fmt.Errorf("oauth2: %w", err)
	}
	return nil
}

// Token makes one attempt, in this order: read every file, find the token endpoint, ask it once, judge the answer. With
// a refresh token, see refresh; that one may outlast the end of a canceled ctx by a second.
//
// Errors are a *daemon.Failure of any class but ClassWrite.
func (s *Source) Token(ctx context.Context) (daemon.Token, error) {
	if ctx.Err() != nil {
		return daemon.Token{}, s.failure(daemon.ClassUnavailable, fmt.Errorf("oauth2: %w", ctx.Err()), "")
	}
	t, err := s.attempt(ctx)
	if err != nil {
		return daemon.Token{}, fmt.Errorf("oauth2: %w", err)
	}
	return t, nil
}

// attempt is what one attempt knows.
type attempt struct {
	*Source
	servers *endpoint.Attempt
	files   *files
	target  target
}

// open reads every file.
func (s *Source) open() (*attempt, error) {
	a := &attempt{Source: s}
	var err error
	client := endpoint.Client{HTTP: s.config.HTTP, Version: s.Version, Endpoint: s.Endpoint()}
	if a.servers, err = client.Open(); err == nil {
		a.files, err = s.config.read(time.Now())
	}
	return a, err
}

func (s *Source) attempt(ctx context.Context) (daemon.Token, error) {
	a, err := s.open()
	if err != nil {
		return daemon.Token{}, err
	}
	if s.config.Grant == refreshToken {
		return a.refresh(ctx)
	}
	if a.target, err = a.find(ctx); err != nil {
		return daemon.Token{}, err
	}
	g, err := a.grant()
	if err != nil {
		return daemon.Token{}, err
	}
	answer, err := a.ask(ctx, g)
	if err != nil {
		return daemon.Token{}, err
	}
	return a.token(answer)
}

// message is a request for a token. It holds secrets, so it is never printed.
type message struct {
	form    url.Values
	header  http.Header
	secrets []daemon.Secret
}

// set adds a parameter; an empty one is left out (RFC 6749 §3.2).
func (m *message) set(name, value string) {
	if value != "" {
		m.form.Set(name, value)
	}
}

// secret adds a parameter that must not be quoted from the answer.
func (m *message) secret(name, value string) {
	m.set(name, value)
	m.secrets = append(m.secrets, daemon.NewSecret(value))
}

// ask sends m, to which the client's proof of identity is added, once.
func (a *attempt) ask(ctx context.Context, m *message) (*endpoint.Answer, error) {
	c := a.config
	m.set("scope", strings.Join(c.Scopes, " "))
	for _, list := range []struct {
		name   string
		values []string
	}{{"resource", c.Resource}, {"audience", c.Audience}} {
		if len(list.values) > 0 {
			m.form[list.name] = list.values
		}
	}
	for name, value := range c.Parameters {
		m.set(name, value)
	}
	if err := a.authenticate(m); err != nil {
		return nil, err
	}
	answer, err := a.servers.Ask(ctx, endpoint.Request{
		What: "token endpoint", URL: a.target.url, Header: m.header, Secrets: m.secrets,
		Type: "application/x-www-form-urlencoded", Body: []byte(m.form.Encode()),
	})
	return answer, a.explain(err)
}

// failure returns a Failure of this source's own finding.
func (s *Source) failure(class daemon.Class, err error, hint string) *daemon.Failure {
	return &daemon.Failure{Class: class, Endpoint: s.Endpoint(), Err: err, Hint: hint}
}
