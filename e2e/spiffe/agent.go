// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package spiffe tests the spiffe source against a Workload API in process: the stubs that go-spiffe generates, on grpc-go. Its
// answers to FetchJWTSVID are those that SPIRE 1.15.3 gave. It knows nothing of the program's packages.
package spiffe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// Agent is a Workload API. Set its identities before a workload asks.
type Agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer

	key *ecdsa.PrivateKey

	mu    sync.Mutex // guards what follows
	ids   []string   // of the workload, the default first; none: PermissionDenied
	life  time.Duration
	fail  error         // what every call fails with; nil: none
	hang  chan struct{} // calls wait until it is closed; nil: they do not
	cache map[string]*cached
	calls []call
	open  int // connections

	server *grpc.Server
	over   sync.WaitGroup
}

// cached is a token that is handed out again until half of its life is over, as SPIRE's agent does.
type cached struct {
	token string
	renew time.Time
}

// call is what was asked.
type call struct {
	metadata  metadata.MD
	audiences []string
	id        string
}

// New returns an agent that serves nobody yet, with one identity and tokens of five minutes, SPIRE's default.
func New() (*Agent, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &Agent{key: key, ids: []string{orders}, life: 5 * time.Minute, cache: map[string]*cached{}}, err
}

// Serve listens, at a path or at 127.0.0.1:0, and returns the URI. It remembers no token of before. Stop ends it and removes
// the socket.
func (a *Agent) Serve(network, address string) (string, error) {
	listener, err := net.Listen(network, address)
	if err != nil {
		return "", err
	}
	if network == "unix" {
		if err := os.Chmod(address, 0o777); err != nil {
			return "", err
		}
	}
	a.Set(func() { clear(a.cache) })
	a.server = grpc.NewServer(grpc.StatsHandler(a))
	workload.RegisterSpiffeWorkloadAPIServer(a.server, a)
	a.over.Go(func() { _ = a.server.Serve(listener) }) // ends with an error when it is stopped
	return network + "://" + listener.Addr().String(), nil
}

// Stop ends the server and all its connections.
func (a *Agent) Stop() {
	a.Set(func() {
		if a.hang != nil {
			close(a.hang)
			a.hang = nil
		}
	})
	a.server.Stop()
	a.over.Wait()
}

// Set changes the agent while no call looks at it.
func (a *Agent) Set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// Calls returns what was asked so far.
func (a *Agent) Calls() []call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// Connections returns how many connections are open.
func (a *Agent) Connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

// FetchJWTSVID implements the Workload API.
func (a *Agent) FetchJWTSVID(ctx context.Context, q *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	a.mu.Lock()
	a.calls = append(a.calls, call{md, q.Audience, q.SpiffeId})
	hang := a.hang
	a.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// The words of SPIRE's agent.
	switch {
	case !slices.Equal(md.Get("workload.spiffe.io"), []string{"true"}):
		return nil, status.Error(codes.InvalidArgument, "security header missing from request")
	case a.fail != nil:
		return nil, a.fail
	case len(q.Audience) == 0:
		return nil, status.Error(codes.InvalidArgument, "audience must be specified")
	}
	answer := &workload.JWTSVIDResponse{}
	for _, id := range a.ids {
		if q.SpiffeId != "" && q.SpiffeId != id {
			continue
		}
		token, err := a.token(id, q.Audience)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		answer.Svids = append(answer.Svids, &workload.JWTSVID{SpiffeId: id, Svid: token, Hint: "internal"})
	}
	if len(answer.Svids) == 0 {
		return nil, status.Error(codes.PermissionDenied, "no identity issued")
	}
	return answer, nil
}

// token returns the cached token, or a new one: ES256, aud a list, without jti and nbf.
func (a *Agent) token(id string, audience []string) (string, error) {
	key, now := id+" "+strings.Join(audience, " "), time.Now()
	if c := a.cache[key]; c != nil && now.Before(c.renew) {
		return c.token, nil
	}
	t := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"sub": id, "aud": audience, "iat": now.Unix(), "exp": now.Add(a.life).Unix()})
	t.Header["kid"] = "key"
	token, err := t.SignedString(a.key)
	a.cache[key] = &cached{token, now.Add(a.life / 2)}
	return token, err
}

// good says whether a token is one of the agent's, alive, for this identity and these audiences.
func (a *Agent) good(token, id string, audiences ...string) error {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithExpirationRequired(), jwt.WithSubject(id), jwt.WithAllAudiences(audiences...))
	_, err := parser.Parse(token, func(*jwt.Token) (any, error) { return &a.key.PublicKey, nil })
	return err
}

// TagRPC implements stats.Handler.
func (*Agent) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (*Agent) HandleRPC(context.Context, stats.RPCStats) {}

// TagConn implements stats.Handler.
func (*Agent) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn counts connections.
func (a *Agent) HandleConn(_ context.Context, s stats.ConnStats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch s.(type) {
	case *stats.ConnBegin:
		a.open++
	case *stats.ConnEnd:
		a.open--
	}
}
