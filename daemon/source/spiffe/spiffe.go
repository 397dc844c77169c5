// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package spiffe obtains a JWT-SVID from the SPIFFE Workload API, which an agent such as SPIRE's serves on a socket of this
// machine: one call of FetchJWTSVID in each attempt, on a connection of its own. gRPC and HTTP/2 are spoken by hand, as
// far as one call needs them; only header compression is a library's. It does not verify the signature of the token, does
// not fetch X.509 identities or bundles, and streams nothing.
//
// Limit: the Workload API has no TLS and no secret. Whom an agent trusts it decides by the peer of its socket.
package spiffe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
)

var (
	_ daemon.Source = (*Source)(nil)
	_ daemon.Remote = (*Source)(nil)
)

// Source asks the Workload API. Get one from New. It does not implement daemon.Inputs: an agent's socket has no contents
// to watch.
type Source struct {
	Version string // of renewd, for the header user-agent; may be empty

	config Config
	at     endpoint
}

// New checks the text of c and opens nothing. variable is the value of SocketVariable, which counts where c has no socket; it
// may be empty. The error joins a *daemon.FieldError for each mistake.
func New(c Config, variable string) (*Source, error) {
	c.Audiences = slices.Clone(c.Audiences)
	at, err := c.check(variable)
	if err != nil {
		return nil, err
	}
	return &Source{config: c, at: at}, nil
}

// Endpoint returns the URI of the Workload API.
func (s *Source) Endpoint() string { return s.at.String() }

// Token asks for one JWT-SVID. Its life ends with its exp, and begins with its iat if that is earlier than the question:
// agents hand out the same token until half of its life is over.
//
// Errors are a *daemon.Failure: ClassUnavailable while the agent does not answer or knows no identity of this process,
// ClassConfig if it says that the question is wrong, ClassThrottled, and ClassMalformed for an answer that is no token as
// it was asked for.
func (s *Source) Token(ctx context.Context) (daemon.Token, error) {
	asked := time.Now().Round(0)
	message, err := s.ask(ctx)
	if err != nil {
		return daemon.Token{}, s.failed(err)
	}
	list, err := parseSVIDs(message)
	if err != nil {
		return daemon.Token{}, s.failed(malformed("%w", err))
	}
	t, err := s.choose(list, asked)
	if err != nil {
		return daemon.Token{}, s.failed(err)
	}
	return t, nil
}

// failed adds whom was asked to the Failure that err is.
func (s *Source) failed(err error) error {
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok {
		f = &daemon.Failure{Class: daemon.ClassUnavailable, Err: err}
	}
	f.Endpoint = s.Endpoint()
	f.Err = fmt.Errorf("the Workload API %s: %w", s.at, f.Err)
	return f
}

// choose takes the SVID that is configured, or the first, which is the default (SPIFFE Workload API §6.2.1).
func (s *Source) choose(list []svid, asked time.Time) (daemon.Token, error) {
	if len(list) == 0 {
		return daemon.Token{}, malformed("the answer has no SVID")
	}
	i := 0
	if want := s.config.SPIFFEID; want != "" {
		if i = slices.IndexFunc(list, func(v svid) bool { return v.id == want }); i < 0 {
			f := unavailable("the agent hands out %s, and not %q", quote(list[0].id), want)
			f.Hint = "compare spiffeID with the agent's registration entries"
			return daemon.Token{}, f
		}
	}
	t, err := s.token(list[i], asked)
	if err == nil && s.config.SPIFFEID == "" && len(list) > 1 {
		t.Notices = append(t.Notices, fmt.Sprintf("the agent hands out %d identities, and the first is taken, %s: spiffeID chooses one", len(list), quote(list[0].id)))
	}
	return t, err
}

// token reads the life of an SVID and holds it against what was asked for (JWT-SVID §3).
func (s *Source) token(v svid, asked time.Time) (daemon.Token, error) {
	jwt, err := claims.Parse(v.token.Reveal())
	if errors.Is(err, claims.ErrOpaque) {
		return daemon.Token{}, malformed("the SVID is not a JWT")
	}
	if err != nil {
		return daemon.Token{}, malformed("the SVID: %w", err)
	}
	for _, audience := range s.config.Audiences {
		if !slices.Contains(jwt.Audience, audience) {
			return daemon.Token{}, malformed("the SVID's aud does not name %.200q", audience)
		}
	}
	now := time.Now().Round(0)
	expires, notice := jwt.Expiry(now)
	switch {
	case jwt.ExpiresAt.IsZero():
		return daemon.Token{}, malformed("the SVID has no exp")
	case notice != "":
		return daemon.Token{}, malformed("the SVID's exp is more than ten years ahead")
	case !expires.After(now):
		return daemon.Token{}, malformed("the SVID expired at %s, %s ago by this machine's clock", expires.Format(time.RFC3339), now.Sub(expires).Round(time.Second))
	case !isID(jwt.Subject):
		return daemon.Token{}, malformed("the SVID's sub is %s, which is no SPIFFE ID", quote(jwt.Subject))
	case jwt.Subject != v.id:
		return daemon.Token{}, malformed("the SVID's sub is %s, and not %s as the agent says", quote(jwt.Subject), quote(v.id))
	}
	t := daemon.Token{Value: v.token, Type: "Bearer", IssuedAt: asked, ExpiresAt: expires, Notices: jwt.Notices}
	if !jwt.IssuedAt.IsZero() && jwt.IssuedAt.Before(asked) {
		t.IssuedAt = jwt.IssuedAt
	}
	return t, nil
}

// Check looks whether there is a socket, and asks nobody. Errors are a *daemon.Failure: ClassUnavailable if nothing is
// there, since an agent may start later, and ClassConfig for what is no socket.
func (s *Source) Check() error {
	if f := s.look(); f != nil {
		return s.failed(f)
	}
	return nil
}

func (s *Source) look() *daemon.Failure {
	if s.at.network != "unix" {
		return nil
	}
	info, err := os.Stat(s.at.address)
	if err != nil {
		return unreachable(err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return &daemon.Failure{Class: daemon.ClassConfig, Err: errors.New("this is not a socket"), Hint: "name the socket itself, not its directory"}
	}
	return nil
}

// Doubts says what is probably not meant: a Workload API beyond a network.
func (s *Source) Doubts([]string) []string {
	if s.at.local() {
		return nil
	}
	return []string{fmt.Sprintf("the Workload API %s is not on loopback: tokens cross a network unencrypted, and nothing proves who asks", s.at)}
}

func malformed(format string, args ...any) *daemon.Failure {
	return &daemon.Failure{Class: daemon.ClassMalformed, Err: fmt.Errorf(format, args...)}
}

func unavailable(format string, args ...any) *daemon.Failure {
	return &daemon.Failure{Class: daemon.ClassUnavailable, Err: fmt.Errorf(format, args...)}
}
