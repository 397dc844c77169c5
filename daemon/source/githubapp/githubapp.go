// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package githubapp obtains installation tokens of a GitHub App, from GitHub or a GitHub Enterprise Server. It finds no
// installations, and does not revoke a token that it has replaced: readers may still use it.
//
// Limit: it is built from GitHub's documents and was not tried against GitHub.
package githubapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
	"github.com/renewd/renewd/daemon/source/internal/keyfile"
)

var (
	_ daemon.Source = (*Source)(nil)
	_ daemon.Inputs = (*Source)(nil)
	_ daemon.Remote = (*Source)(nil)
)

// Source asks GitHub's API. Get one from New.
type Source struct {
	Version string // of renewd, for the header User-Agent; may be empty

	config            Config
	app, installation string
	key               keyfile.File
}

// New checks the text of c, opens nothing and asks nobody. The error joins a *daemon.FieldError for each mistake.
func New(c Config) (*Source, error) {
	if err := (&checker{Config: c}).check(); err != nil {
		return nil, err
	}
	c.APIURL = strings.TrimRight(c.APIURL, "/")
	return &Source{
		config: c, app: identifier(c.AppID), installation: identifier(c.InstallationID),
		key: keyfile.File{Path: c.KeyFile, Algorithm: "RS256", KeyID: keyfile.None},
	}, nil
}

// Inputs returns the files that are read in every attempt: the key, CA and client certificate if there are any.
func (s *Source) Inputs() []string {
	return append([]string{s.config.KeyFile}, s.config.HTTP.Inputs()...)
}

// Endpoint returns scheme and host of the API.
func (s *Source) Endpoint() string { return endpoint.HostOf(s.config.APIURL) }

// Check reads what an attempt would read and asks nobody. Errors are those of Token.
func (s *Source) Check() error {
	if _, err := s.open(); err != nil {
		return fmt.Errorf("githubApp: %w", err)
	}
	return nil
}

// Token makes one attempt, in this order: read every file, sign an assertion, ask once, judge the answer.
//
// Errors are a *daemon.Failure of any class but ClassWrite.
func (s *Source) Token(ctx context.Context) (daemon.Token, error) {
	if ctx.Err() != nil {
		return daemon.Token{}, s.failure(daemon.ClassUnavailable, fmt.Errorf("githubApp: %w", ctx.Err()))
	}
	t, err := s.attempt(ctx)
	if err != nil {
		return daemon.Token{}, fmt.Errorf("githubApp: %w", err)
	}
	return t, nil
}

// opened is what the files held at the start of an attempt.
type opened struct {
	api *endpoint.Attempt
	key *keyfile.Key
}

func (s *Source) open() (o opened, err error) {
	if o.key, err = s.key.Load(); err != nil {
		return o, err
	}
	o.api, err = endpoint.Client{HTTP: s.config.HTTP, Version: s.Version, Endpoint: s.Endpoint()}.Open()
	return o, err
}

func (s *Source) attempt(ctx context.Context) (daemon.Token, error) {
	o, err := s.open()
	if err != nil {
		return daemon.Token{}, err
	}
	assertion, err := s.assertion(o.key, time.Now())
	if err != nil {
		return daemon.Token{}, err
	}
	body, err := s.body()
	if err != nil {
		return daemon.Token{}, err
	}
	answer, err := o.api.Ask(ctx, endpoint.Request{
		What: "installation token", URL: s.config.APIURL + "/app/installations/" + s.installation + "/access_tokens",
		Type: "application/json", Body: body,
		Header: http.Header{
			"Accept": {"application/vnd.github+json"}, "Authorization": {"Bearer " + assertion}, "X-Github-Api-Version": {apiVersion},
		},
		MaxBody: 256<<10 + len(s.config.Repositories)*descriptionOfOne,
		Secrets: []daemon.Secret{daemon.NewSecret(assertion)},
	})
	if err != nil {
		return daemon.Token{}, s.explain(err, answer)
	}
	return s.token(answer)
}

const (
	apiVersion = "2022-11-28"

	// GitHub describes in its answer every repository that was asked for, in about 6 KiB each.
	descriptionOfOne = 16 << 10

	// By its own clock GitHub takes no assertion that is of the future, has expired, or expires in more than ten minutes. So
	// ours may be a minute ahead of it, or eight behind.
	backdate = time.Minute
	lasts    = 8 * time.Minute
)

// assertion proves that renewd acts for the app.
func (s *Source) assertion(key *keyfile.Key, now time.Time) (string, error) {
	payload, err := json.Marshal(struct {
		IssuedAt int64  `json:"iat"`
		Expires  int64  `json:"exp"`
		Issuer   string `json:"iss"`
	}{now.Add(-backdate).Unix(), now.Add(lasts).Unix(), s.app})
	if err != nil {
		return "", s.failure(daemon.ClassConfig, err)
	}
	return key.Sign([]byte(`{"alg":"RS256","typ":"JWT"}`), payload)
}

// body narrows the token down.
func (s *Source) body() ([]byte, error) {
	body, err := json.Marshal(struct {
		Repositories []string          `json:"repositories,omitempty"`
		Permissions  map[string]string `json:"permissions,omitempty"`
	}{s.config.Repositories, s.config.Permissions})
	if err != nil {
		return nil, s.failure(daemon.ClassConfig, err)
	}
	return body, nil
}

// token judges a 2xx answer. What Keeper checks of every token is left to it.
func (s *Source) token(answer *endpoint.Answer) (daemon.Token, error) {
	t, err := judge(answer)
	if err != nil {
		f := s.failure(daemon.ClassMalformed, fmt.Errorf("installation token: %w", err))
		f.Status = answer.Status
		return daemon.Token{}, f
	}
	return t, nil
}

func judge(answer *endpoint.Answer) (daemon.Token, error) {
	value := answer.Object.Text("token")
	if value == "" {
		return daemon.Token{}, errors.New("the answer has no token that is a text")
	}
	life := answer.Life()
	life.At("expires_at", answer.Object.Member("expires_at"))
	if err := life.JWT(value); err != nil {
		return daemon.Token{}, err
	}
	return life.Token(value, "Bearer")
}

// failure returns a Failure of this source's own finding.
func (s *Source) failure(class daemon.Class, err error) *daemon.Failure {
	return &daemon.Failure{Class: class, Endpoint: s.Endpoint(), Err: err}
}
