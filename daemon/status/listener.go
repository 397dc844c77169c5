// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// What a client may use. A whole request must arrive within readTimeout, its answer be taken within writeTimeout. Every
// answer ends its connection: nothing is kept for a client that may or may not come back in half a minute, and there is
// no idle connection to bound.
const (
	headerTimeout  = 2 * time.Second
	readTimeout    = 5 * time.Second
	writeTimeout   = 10 * time.Second
	maxHeaderBytes = 4 << 10 // net/http adds 4 KiB of its own
	maxConnections = 64      // beyond, the oldest one is closed
	patience       = 100 * time.Millisecond
)

// At the end, requests in hand get finishing; then their connections are closed, and they get abandoning to notice.
const (
	finishing  = 600 * time.Millisecond
	abandoning = 200 * time.Millisecond
)

// Listener is a bound address or socket. It does nothing until Serve is called.
type Listener struct {
	handler http.Handler
	accept  *acceptor
	address string
	log     *zap.Logger
	close   func() error
}

// TCP binds addr, such as "127.0.0.1:9736", for probes, metrics and status. Nothing can be ordered there.
func (s *Server) TCP(addr string) (*Listener, error) {
	var config net.ListenConfig
	inner, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("status listener: %w", err)
	}
	bound, ok := inner.Addr().(*net.TCPAddr)
	loopback := ok && bound.IP.IsLoopback()
	return &Listener{
		handler: s.public(loopback),
		accept:  &acceptor{Listener: inner, log: s.Log},
		address: inner.Addr().String(),
		log:     s.Log,
		close:   sync.OnceValue(inner.Close),
	}, nil
}

// Addr returns the address in force, with the port that the kernel chose if it was asked to, or the path of the socket.
func (l *Listener) Addr() string { return l.address }

// Close frees the address and removes the socket file. It also ends Serve. Only the first call does something.
func (l *Listener) Close() error { return l.close() }

// Serve answers requests until ctx ends or Close is called; it then lets requests in hand finish, for less than a second,
// and returns nil. Any other end is an error. Call it once. No goroutine is left, except for a request whose function of
// Server does not return: that is logged and abandoned.
func (l *Listener) Serve(ctx context.Context) error {
	defer l.Close()
	connections := newTracker()
	server := &http.Server{
		Handler:                      l.handler,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ConnState:                    connections.observe,
		ErrorLog:                     log.New(serverLog{l.log}, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()

	err := server.Serve(l.accept)

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishing)
	defer cancel()
	if server.Shutdown(last) != nil {
		_ = server.Close()
	}
	if !connections.await(0, abandoning) {
		l.log.Warn("request abandoned at the end", zap.String("address", l.address))
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.address, err)
}

// acceptor refuses clients that admit refuses, and says once when accepting stops working and once when it works again;
// net/http waits and tries again by itself.
type acceptor struct {
	net.Listener
	log     *zap.Logger
	admit   func(net.Conn) error // nil: anybody
	failing bool                 // only Accept uses it, and net/http calls that from one goroutine
}

func (a *acceptor) Accept() (net.Conn, error) {
	for {
		conn, err := a.Listener.Accept()
		if failing := err != nil && !errors.Is(err, net.ErrClosed); failing != a.failing {
			a.failing = failing
			if failing {
				a.log.Warn("cannot accept connections", zap.String("address", a.Addr().String()), zap.Error(err))
			} else {
				a.log.Info("accepting connections again", zap.String("address", a.Addr().String()))
			}
		}
		if err != nil || a.admit == nil {
			return conn, err
		}
		if err = a.admit(conn); err == nil {
			return conn, nil
		}
		a.log.Warn("admin client refused", zap.Error(err))
		_ = conn.Close()
	}
}

// tracker bounds connections and knows when the last goroutine of net/http is over. When there are too many connections
// the oldest is closed, not the newest refused: clients that hold connections open push out each other, and a probe, which
// asks at once, is answered. Goroutines whose connection was closed get a moment to notice; if they do not end, because what
// they ask for never returns, new connections are refused.
type tracker struct {
	mu      sync.Mutex
	open    []net.Conn    // oldest first
	serving int           // goroutines of net/http
	fewer   chan struct{} // a mailbox of one, filled when serving becomes less
}

func newTracker() *tracker { return &tracker{fewer: make(chan struct{}, 1)} }

// observe is http.Server.ConnState: net/http reports StateNew from the loop that accepts, before it starts a connection's
// goroutine, and StateClosed as the last thing in that goroutine.
func (t *tracker) observe(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		t.mu.Lock()
		t.serving++
		t.open = append(t.open, conn)
		if len(t.open) > maxConnections {
			_ = t.open[0].Close()
			t.forget(t.open[0])
		}
		t.mu.Unlock()
		if !t.await(2*maxConnections, patience) {
			_ = conn.Close()
		}
	case http.StateClosed:
		t.mu.Lock()
		t.serving--
		t.forget(conn)
		t.mu.Unlock()
		select {
		case t.fewer <- struct{}{}:
		default:
		}
	}
}

// await waits until at most n goroutines are left, and reports whether that came about in time. Only one goroutine may wait.
func (t *tracker) await(n int, patience time.Duration) bool {
	few := func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.serving <= n
	}
	if few() {
		return true
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for !few() {
		select {
		case <-t.fewer:
		case <-timeout.C:
			return false
		}
	}
	return true
}

// forget takes conn out of open, if it is there. The lock is held.
func (t *tracker) forget(conn net.Conn) {
	if i := slices.Index(t.open, conn); i >= 0 {
		t.open = slices.Delete(t.open, i, i+1)
	}
}

// serverLog takes what net/http has to say. Clients cause nearly all of it, so it is for debugging only; panics and
// failures of Accept are logged by us.
type serverLog struct{ log *zap.Logger }

func (l serverLog) Write(p []byte) (int, error) {
	l.log.Debug("http server", zap.String("detail", quotable(string(bytes.TrimSpace(p)))))
	return len(p), nil
}
