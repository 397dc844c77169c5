// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package vault logs in to OpenBao or Vault with a JWT, by a method of type kubernetes or jwt, and hands on the token of
// the login, or a JWT that the server signs for it. Every attempt is a login of its own: a renewed token runs into its
// maximal life, and a batch token cannot be renewed. It reads no secrets from the server, revokes nothing, and
// knows no other method.
//
// Limit: with an OIDC role the token of the login is used once and then lives out its time at the server. Give the login's
// role a short token_ttl, or token_type batch, which the server does not store.
package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// Source logs in. Get one from New.
type Source struct {
	Version string // of renewd, for the header User-Agent; may be empty

	config Config
}

// New checks the text of c, opens nothing and asks nobody. The error joins a *daemon.FieldError for each mistake.
func New(c Config) (*Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Source{config: c}, nil
}

// Inputs returns the files that are read in every attempt.
func (s *Source) Inputs() []string {
	return append([]string{s.config.JWTFile}, s.config.HTTP.Inputs()...)
}

// Endpoint returns scheme and host of the address.
func (s *Source) Endpoint() string { return endpoint.HostOf(s.config.Address) }

// Check reads what an attempt would read and asks nobody. Errors are those of Token.
func (s *Source) Check() error {
	if _, _, err := s.open(); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	return nil
}

// Token makes one attempt: read every file, log in, and with an OIDC role ask for its token. Each request is sent once.
//
// Errors are a *daemon.Failure of any class but ClassWrite. Of an answer they hold the status alone: what the server
// says is not for programs, and may repeat what it was sent.
func (s *Source) Token(ctx context.Context) (daemon.Token, error) {
	t, err := s.attempt(ctx)
	if err != nil {
		return daemon.Token{}, fmt.Errorf("vault: %w", err)
	}
	return t, nil
}

func (s *Source) attempt(ctx context.Context) (daemon.Token, error) {
	if ctx.Err() != nil {
		return daemon.Token{}, s.failure(daemon.ClassUnavailable, ctx.Err())
	}
	servers, jwt, err := s.open()
	if err != nil {
		return daemon.Token{}, err
	}
	login, err := s.login(ctx, servers, jwt.Text)
	if err != nil || s.config.OIDCRole == "" {
		return login, err
	}
	return s.signed(ctx, servers, login.Value, jwt.Text)
}

// open reads every file.
func (s *Source) open() (servers *endpoint.Attempt, jwt ticket.Ticket, err error) {
	servers, err = endpoint.Client{HTTP: s.config.HTTP, Version: s.Version, Endpoint: s.Endpoint()}.Open()
	if err == nil {
		jwt, err = ticket.Read("JWT file", s.config.JWTFile, time.Now())
	}
	return servers, jwt, err
}

// login exchanges the JWT for a token of the server's own.
func (s *Source) login(ctx context.Context, servers *endpoint.Attempt, jwt daemon.Secret) (daemon.Token, error) {
	body, err := json.Marshal(map[string]string{"role": s.config.Role, "jwt": jwt.Reveal()})
	if err != nil {
		return daemon.Token{}, s.failure(daemon.ClassConfig, errors.New("the login cannot be written as JSON"))
	}
	answer, err := servers.Ask(ctx, endpoint.Request{
		What: "login", URL: s.config.url("auth/" + s.config.Mount + "/login"), Type: "application/json", Body: body,
		Header: s.header(""), Code: "errors", Secrets: []daemon.Secret{jwt},
	})
	if err != nil {
		return daemon.Token{}, s.explain(err, map[int]string{
			http.StatusBadRequest: fmt.Sprintf("compare role, and iss, aud and exp of the JWT in %q, with what the method's role expects", s.config.JWTFile),
			http.StatusForbidden:  "the server answers alike to a mount or namespace that is not there, and to a JWT that the role does not take: compare mount, namespace and role",
		})
	}
	return s.ofLogin(answer)
}

// ofLogin judges the answer to a login.
func (s *Source) ofLogin(answer *endpoint.Answer) (daemon.Token, error) {
	return s.token(answer, "login", "auth", func(auth endpoint.Object, life *endpoint.Life) (string, error) {
		// What stands outside of auth is zero. Inside, zero is a root token, whose life has no end.
		if n, ok := claims.Number(auth.Member("lease_duration")); !ok || n != 0 {
			life.Seconds("lease_duration", auth.Member("lease_duration"))
		}
		if n, ok := claims.Number(auth.Member("num_uses")); ok && n > 0 {
			life.Note("the token may be used only so many times: set token_num_uses of the login's role to 0")
		}
		value := auth.Text("client_token")
		if value == "" && auth.Member("mfa_requirement") != nil {
			return "", errors.New("the login wants a second factor")
		}
		return value, nil
	})
}

// signed asks for a JWT of the OIDC role, in the name of who has logged in.
func (s *Source) signed(ctx context.Context, servers *endpoint.Attempt, login, jwt daemon.Secret) (daemon.Token, error) {
	if strings.ContainsFunc(login.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return daemon.Token{}, s.failure(daemon.ClassMalformed, errors.New("login: the token holds a character that no header may hold"))
	}
	answer, err := servers.Ask(ctx, endpoint.Request{
		What: "OIDC token", URL: s.config.url("identity/oidc/token/" + s.config.OIDCRole),
		Header: s.header(login.Reveal()), Code: "errors", Secrets: []daemon.Secret{login, jwt}, // the server has seen both
	})
	if err != nil {
		return daemon.Token{}, s.explain(err, map[int]string{
			http.StatusBadRequest: "create oidcRole below identity/oidc/role; its key must allow the role's client_id",
			http.StatusForbidden:  "give the login's role a policy with the capability read on identity/oidc/token/" + s.config.OIDCRole,
		})
	}
	return s.ofOIDC(answer)
}

// ofOIDC judges the answer to the request for a JWT.
func (s *Source) ofOIDC(answer *endpoint.Answer) (daemon.Token, error) {
	return s.token(answer, "OIDC token", "data", func(data endpoint.Object, life *endpoint.Life) (string, error) {
		life.Seconds("ttl", data.Member("ttl"))
		value := data.Text("token")
		return value, life.JWT(value)
	})
}

// token judges a 2xx answer: read takes the value, and the bounds of its life, from the member that holds them.
func (s *Source) token(answer *endpoint.Answer, what, member string, read func(endpoint.Object, *endpoint.Life) (string, error)) (daemon.Token, error) {
	life, token := answer.Life(), daemon.Token{}
	inner, err := answer.Inner(member)
	if err == nil {
		var value string
		switch value, err = read(inner, life); {
		case err != nil:
		case value == "":
			err = fmt.Errorf("the answer has no token in %s", member)
		default:
			token, err = life.Token(value, "Bearer")
		}
	}
	if err != nil {
		f := s.failure(daemon.ClassMalformed, fmt.Errorf("%s: %w", what, err))
		f.Status = answer.Status
		return daemon.Token{}, f
	}
	return token, nil
}

// header returns what each request carries. An agent in between may demand X-Vault-Request, which a browser that was
// tricked into a request cannot add.
func (s *Source) header(token string) http.Header {
	h := http.Header{"X-Vault-Request": {"true"}}
	if s.config.Namespace != "" {
		h.Set("X-Vault-Namespace", s.config.Namespace)
	}
	if token != "" {
		h.Set("X-Vault-Token", token)
	}
	return h
}

// explain adds the remedy for a status.
func (s *Source) explain(err error, remedies map[int]string) error {
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok || f.Hint != "" {
		return err
	}
	switch f.Hint = remedies[f.Status]; f.Status {
	case http.StatusNotFound:
		f.Hint = "correct address: this is not the API of OpenBao or Vault, or mount lies in another namespace"
	case http.StatusServiceUnavailable:
		f.Hint = "the server is sealed, or has no active node: unseal it"
	}
	if f.Hint == "" && f.Class == daemon.ClassRefused {
		f.Hint = "see whether address is that of OpenBao or Vault, and what lies between"
	}
	return err
}

// failure returns a Failure of this source's own finding.
func (s *Source) failure(class daemon.Class, err error) *daemon.Failure {
	return &daemon.Failure{Class: class, Endpoint: s.Endpoint(), Err: err}
}
