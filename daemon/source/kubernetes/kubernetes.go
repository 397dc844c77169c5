// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package kubernetes obtains tokens of service accounts from a Kubernetes API server (TokenRequest of
// authentication.k8s.io/v1): for any audience, of another service account than the pod's own, bound to an object. It does
// not review tokens, and knows nothing else of the API.
package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
	"github.com/renewd/renewd/daemon/source/internal/ticket"
)

var (
	_ daemon.Source = (*Source)(nil)
	_ daemon.Inputs = (*Source)(nil)
	_ daemon.Remote = (*Source)(nil)
)

// Source asks an API server. Get one from New.
type Source struct {
	Version string // of renewd, for the header User-Agent; may be empty

	config Config // with server and CA filled in
	onlyCA bool   // http reads one file, the CA that is looked for beside tokenFile
}

// New checks the text of c, opens nothing and asks nobody. lookup returns variables of the environment: those that
// Kubernetes sets in every pod say where the API server is. The error joins a *daemon.FieldError for each mistake.
func New(c Config, lookup func(name string) (string, bool)) (*Source, error) {
	k := &checker{Config: c, lookup: lookup}
	if err := k.check(); err != nil {
		return nil, err
	}
	return &Source{config: k.Config, onlyCA: len(c.HTTP.Inputs()) == 0}, nil
}

// Inputs returns the files that are read in every attempt: the token, the CA, and the client certificate if there is one.
func (s *Source) Inputs() []string {
	return append([]string{s.config.TokenFile}, s.config.HTTP.Inputs()...)
}

// Endpoint returns scheme and host of the API server.
func (s *Source) Endpoint() string { return endpoint.HostOf(s.config.Server) }

// Lifetime returns the life that is asked for. The API server may give another one.
func (s *Source) Lifetime() time.Duration { return s.config.Expiration }

// Doubts says what is probably not meant.
func (s *Source) Doubts([]string) []string {
	if len(s.config.Audiences) > 0 {
		return nil
	}
	return []string{"kubernetes.audiences is empty: whoever reads the token can use the API server with all rights of the service account"}
}

// Check reads what an attempt would read and asks nobody. Errors are those of Token.
func (s *Source) Check() error {
	if _, err := s.open(time.Now()); err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	return nil
}

// Token makes one attempt, in this order: read every file, find out whose token to ask for, ask once, judge the answer.
//
// Errors are a *daemon.Failure of any class but ClassWrite.
func (s *Source) Token(ctx context.Context) (daemon.Token, error) {
	if ctx.Err() != nil {
		return daemon.Token{}, s.failure(daemon.ClassUnavailable, fmt.Errorf("kubernetes: %w", ctx.Err()), "")
	}
	t, err := s.attempt(ctx)
	if err != nil {
		return daemon.Token{}, fmt.Errorf("kubernetes: %w", err)
	}
	return t, nil
}

// attempt is what one attempt knows.
type attempt struct {
	*Source
	server *endpoint.Attempt
	shown  ticket.Ticket // to the API server
	own    claims.Claims // of it; zero if it is opaque
	of     account       // whose token is asked for
}

// account is a service account.
type account struct{ namespace, name string }

func (s *Source) attempt(ctx context.Context) (daemon.Token, error) {
	a, err := s.open(time.Now())
	if err != nil {
		return daemon.Token{}, err
	}
	body, err := s.config.request()
	if err != nil {
		return daemon.Token{}, s.failure(daemon.ClassConfig, err, "")
	}
	answer, err := a.server.Ask(ctx, endpoint.Request{
		What: "TokenRequest", URL: s.config.Server + "/api/v1/namespaces/" + a.of.namespace + "/serviceaccounts/" + a.of.name + "/token",
		Type: "application/json", Body: body, Header: http.Header{"Authorization": {"Bearer " + a.shown.Text.Reveal()}},
		Code: "reason", Secrets: []daemon.Secret{a.shown.Text},
	})
	if err != nil {
		return daemon.Token{}, a.explain(err, answer)
	}
	return s.token(answer)
}

// open reads every file, and finds out whose token to ask for.
func (s *Source) open(now time.Time) (*attempt, error) {
	a := &attempt{Source: s}
	var err error
	if a.shown, err = ticket.Read("token file", s.config.TokenFile, now); err != nil {
		return nil, where(err, "in a pod set automountServiceAccountToken: true, or mount a projected serviceAccountToken there; elsewhere write tokenFile")
	}
	client := endpoint.Client{HTTP: s.config.HTTP, Version: s.Version, Endpoint: s.Endpoint()}
	if a.server, err = client.Open(); err != nil && s.onlyCA {
		return nil, where(err, "the CA of the API server is looked for beside tokenFile: give it as http.caFile, or mount it there")
	} else if err != nil {
		return nil, err
	}
	a.own, _ = claims.Parse(a.shown.Text.Reveal()) // what is no JWT, or an odd one, the API server judges
	a.of, err = a.account()
	return a, err
}

// where gives the Failure of a file that does not exist its remedy.
func where(err error, hint string) error {
	if f, ok := errors.AsType[*daemon.Failure](err); ok && errors.Is(err, fs.ErrNotExist) {
		f.Hint = hint
	}
	return err
}

// account returns the configured service account, completed from the one whose token renewd has.
func (a *attempt) account() (account, error) {
	of := account{a.config.Namespace, a.config.ServiceAccount}
	if of.namespace != "" && of.name != "" {
		return of, nil
	}
	own, ok := accountOf(a.own)
	if !ok {
		return account{}, a.failure(daemon.ClassConfig, fmt.Errorf("token file %q: the token in it is not a service account's (claim sub), so it does not say whose token to ask for", a.config.TokenFile),
			"write serviceAccount and namespace")
	}
	return account{cmp.Or(of.namespace, own.namespace), cmp.Or(of.name, own.name)}, nil
}

// accountOf returns the service account that a token speaks for.
func accountOf(c claims.Claims) (account, bool) {
	rest, found := strings.CutPrefix(c.Subject, "system:serviceaccount:")
	namespace, name, both := strings.Cut(rest, ":")
	// The names become a part of a URL.
	return account{namespace, name}, found && both && isNamespace(namespace) && isAccount(name)
}

// request returns the body. Its kinds and names are of k8s.io/api/authentication/v1.
func (c Config) request() ([]byte, error) {
	type reference struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Name       string `json:"name"`
		UID        string `json:"uid,omitempty"`
	}
	type spec struct {
		Audiences  []string   `json:"audiences,omitempty"`
		Expiration int64      `json:"expirationSeconds"`
		Bound      *reference `json:"boundObjectRef,omitempty"`
	}
	r := struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       spec   `json:"spec"`
	}{"authentication.k8s.io/v1", "TokenRequest", spec{Audiences: c.Audiences, Expiration: int64(c.Expiration / time.Second)}}
	if b := c.BoundTo; b.Kind != "" {
		r.Spec.Bound = &reference{APIVersion: "v1", Kind: b.Kind, Name: b.Name, UID: b.UID}
	}
	return json.Marshal(r)
}

// token judges a 2xx answer without a reason in it. What Keeper checks of every token is left to it.
func (s *Source) token(answer *endpoint.Answer) (daemon.Token, error) {
	t, err := s.judge(answer)
	if err != nil {
		f := s.failure(daemon.ClassMalformed, fmt.Errorf("TokenRequest: %w", err), "")
		f.Status = answer.Status
		return daemon.Token{}, f
	}
	return t, nil
}

func (s *Source) judge(answer *endpoint.Answer) (daemon.Token, error) {
	status, err := answer.Inner("status")
	if err != nil {
		return daemon.Token{}, err
	}
	value := status.Text("token")
	if value == "" {
		return daemon.Token{}, errors.New("the answer has no status.token that is a text")
	}
	life := answer.Life()
	s.compare(answer, life)
	life.At("expirationTimestamp", status.Member("expirationTimestamp"))
	// With extended tokens exp lies a year ahead, and expirationTimestamp where it was asked for.
	if err := life.JWT(value); err != nil {
		return daemon.Token{}, err
	}
	return life.Token(value, "Bearer")
}

// compare notes a life that is not the one asked for: the API server writes into the spec what it made of it.
func (s *Source) compare(answer *endpoint.Answer, life *endpoint.Life) {
	spec, _ := answer.Object.Object("spec") // what is no object says nothing
	seconds, ok := claims.Number(spec.Member("expirationSeconds"))
	if asked := s.config.Expiration; ok && seconds != asked.Seconds() && seconds > 0 && seconds <= longest.Seconds() {
		life.Note(fmt.Sprintf("the API server gives a life of %.0f seconds, not of %.0f as asked", seconds, asked.Seconds()))
	}
}

// failure returns a Failure of this source's own finding.
func (s *Source) failure(class daemon.Class, err error, hint string) *daemon.Failure {
	return &daemon.Failure{Class: class, Endpoint: s.Endpoint(), Err: err, Hint: hint}
}
