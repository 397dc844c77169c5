// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package zitadel tests the oauth2 source against the server side of zitadel/oidc, in process: its example server and storage
// with clients and keys of our own. It knows nothing of the program's packages.
package zitadel

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The clients: one that asks for tokens of its own, and one that exchanges those of others.
const (
	serviceID       = "svc:a/b c"
	serviceSecret   = "p@ss w0rd:/+%&=?#\"'\\<>~!$*()[]{}|^`,;-._"
	exchangerID     = "exchanger"
	exchangerSecret = "exchanger secret"
	jwtUser         = "robot" // who signs assertions with the key of Server.Keys
)

// Server is the issuer. Its tokens are JWTs if they come from client credentials or an exchange, else opaque.
type Server struct {
	*storage.Storage
	Issuer string // with a slash at its end
	Keys   map[string]crypto.PublicKey
	Life   time.Duration // of access tokens; 0: the storage's five minutes

	http *http.Server
	over sync.WaitGroup

	mu    sync.Mutex
	asked int
	open  map[net.Conn]bool
}

// Start listens on a loopback port. Stop ends it.
func Start(keys map[string]crypto.PublicKey) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Issuer: fmt.Sprintf("http://%s/", listener.Addr()), Keys: keys, open: map[net.Conn]bool{}}
	clients := map[string]*storage.Client{exchangerID: storage.WebClient(exchangerID, exchangerSecret)}
	s.Storage = storage.NewStorageWithClients(storage.NewUserStore(s.Issuer), clients)
	router := exampleop.SetupServer(s.Issuer, s, slog.New(slog.NewTextHandler(io.Discard, nil)), false)
	s.http = &http.Server{ReadHeaderTimeout: time.Minute, ConnState: s.count, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/oauth/token" {
			s.mu.Lock()
			s.asked++
			s.mu.Unlock()
		}
		router.ServeHTTP(w, q)
	})}
	s.over.Go(func() { _ = s.http.Serve(listener) }) // ends with an error when it is closed
	return s, nil
}

// Stop closes the listener and all connections.
func (s *Server) Stop() {
	_ = s.http.Close() // nothing is lost with it
	s.over.Wait()
}

// count follows the connections.
func (s *Server) count(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.open[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(s.open, c)
	}
}

// Connections returns how many connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Tokens returns how often the token endpoint was asked.
func (s *Server) Tokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// CreateAccessToken implements op.Storage.
func (s *Server) CreateAccessToken(ctx context.Context, request op.TokenRequest) (string, time.Time, error) {
	id, expires, err := s.Storage.CreateAccessToken(ctx, request)
	if s.Life > 0 {
		expires = time.Now().Add(s.Life)
	}
	return id, expires, err
}

// client is a client whose tokens are JWTs.
type client struct{ op.Client }

func (c client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (c client) GrantTypes() []oidc.GrantType {
	return append(slices.Clone(c.Client.GrantTypes()), oidc.GrantTypeClientCredentials)
}

// ClientCredentials implements op.ClientCredentialsStorage.
func (s *Server) ClientCredentials(_ context.Context, id, secret string) (op.Client, error) {
	if id != serviceID || secret != serviceSecret {
		return nil, errors.New("wrong client or secret")
	}
	return client{storage.WebClient(serviceID, serviceSecret)}, nil
}

// ClientCredentialsTokenRequest implements op.ClientCredentialsStorage. The subject is one of the users of the example.
func (s *Server) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return &oidc.JWTTokenRequest{Subject: "id1", Audience: []string{id}, Scopes: scopes}, nil
}

// GetClientByClientID implements op.Storage.
func (s *Server) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{c}, nil
}

// GetKeyByIDAndClientID implements op.Storage.
func (s *Server) GetKeyByIDAndClientID(_ context.Context, keyID, id string) (*jose.JSONWebKey, error) {
	key := s.Keys[keyID]
	if id != jwtUser || key == nil {
		return nil, errors.New("unknown key")
	}
	return &jose.JSONWebKey{KeyID: keyID, Use: "sig", Key: key}, nil
}
