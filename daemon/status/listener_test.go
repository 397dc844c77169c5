// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest/observer"
)

// settled waits until done, for at most a minute.
func settled(done func() bool) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if done() {
			return true
		}
	}
	return false
}

func TestPortInUseIsAnError(t *testing.T) {
	s, _ := healthy()
	taken := tcp(t, s)
	l, err := s.TCP(taken)
	if err == nil {
		_ = l.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("second listener: %v", err)
	}
	if l, err := s.TCP("127.0.0.1"); err == nil {
		_ = l.Close()
		t.Error("an address without a port was taken")
	}
}

func TestCloseFreesTheAddress(t *testing.T) {
	s, _ := healthy()
	first, err := s.TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	second, err := s.TCP(first.Addr())
	stop := serve(t, second, err)
	_ = second.Close()
	if err := stop(); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
}

func TestServeOfAnEndedContextReturns(t *testing.T) {
	s, _ := healthy()
	l, err := s.TCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Serve(ctx); err != nil {
		t.Error(err)
	}
}

func TestHeadHasNoBodyAndConnectionsEnd(t *testing.T) {
	t.Parallel()
	s, _ := healthy()
	address := tcp(t, s)
	answer := raw(t, address, "HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") || !strings.Contains(answer, "\r\nConnection: close\r\n") || !strings.HasSuffix(answer, "\r\n\r\n") {
		t.Errorf("%q", answer)
	}
	for request, want := range map[string]string{
		"GET /livez HTTP/1.0\r\n\r\n":                                                          "HTTP/1.0 200",
		"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n":                                        "HTTP/1.1 405",
		"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n":                      "HTTP/1.1 405",
		"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n":                    "HTTP/1.1 403",
		"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 20_000) + "\r\n": "HTTP/1.1 431",
		"\x16\x03\x01\x00\x05hello\r\n\r\n":                                                    "HTTP/1.1 400",
	} {
		if answer := raw(t, address, request); !strings.HasPrefix(answer, want) {
			t.Errorf("%.60q: %.60q, want %s", request, answer, want)
		}
	}
}

// A thousand clients that connect and say nothing hold at most maxConnections, and a probe is answered among them.
func TestIdleClientsCannotShutOutAProbe(t *testing.T) {
	s, _ := healthy()
	address := tcp(t, s)
	before := runtime.NumGoroutine()
	for range 1000 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for range 5 {
		if code, body := get(t, address, "/livez"); code != 200 || body != "ok\n" {
			t.Fatalf("%d %q", code, body)
		}
	}
	if !settled(func() bool { return runtime.NumGoroutine() <= before+maxConnections+10 }) {
		t.Errorf("%d goroutines for silent clients", runtime.NumGoroutine()-before)
	}
}

// Requests whose function never returns are bounded too, although closing their connections does not end them.
func TestStuckFunctionsAreBounded(t *testing.T) {
	t.Parallel()
	s, logs := healthy()
	stuck := make(chan struct{})
	var mu sync.Mutex
	entered := 0
	s.Ready = func(string) error {
		mu.Lock()
		entered++
		mu.Unlock()
		<-stuck
		return nil
	}
	l, err := s.TCP("127.0.0.1:0")
	stop := serve(t, l, err)
	inside := func() int { mu.Lock(); defer mu.Unlock(); return entered }
	for i := range 2 * maxConnections {
		conn, err := net.Dial("tcp", l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		// Each is inside before the next comes, so that none is pushed out on the way.
		if !settled(func() bool { return inside() == i+1 }) {
			t.Fatalf("%d requests inside after %d", inside(), i+1)
		}
	}
	// More are closed without a word; a client sees that.
	if answer := raw(t, l.Addr(), "GET /readyz HTTP/1.0\r\n\r\n"); answer != "" || inside() != 2*maxConnections {
		t.Errorf("%q, %d requests inside", answer, inside())
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if logs.FilterMessage("request abandoned at the end").Len() != 1 {
		t.Error("the abandoned requests were not logged")
	}
	close(stuck)
}

// pipes is a listener without a socket, for bubbles.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// servePipes serves s in a bubble until stop, which returns how long the end took.
func servePipes(t *testing.T, s *Server) (p *pipes, stop func() time.Duration) {
	p = &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	l := &Listener{handler: s.public(true), accept: &acceptor{Listener: p, log: s.Log}, address: "pipes", log: s.Log, close: p.Close}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- l.Serve(ctx) }()
	return p, func() time.Duration {
		synctest.Wait()
		start := time.Now()
		cancel()
		if err := <-result; err != nil {
			t.Errorf("Serve: %v", err)
		}
		return time.Since(start)
	}
}

func TestSlowClientIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := healthy()
		p, stop := servePipes(t, s)
		defer stop()
		conn := p.dial()
		start := time.Now()
		var drip sync.WaitGroup
		defer drip.Wait()
		drip.Go(func() {
			for {
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		_, _ = io.Copy(io.Discard, conn)
		if took := time.Since(start); took != headerTimeout {
			t.Errorf("cut off after %s", took)
		}
	})
}

func TestEndLetsARequestFinish(t *testing.T) {
	for needs, want := range map[time.Duration]string{finishing - time.Millisecond: "\r\n\r\nok\n", finishing + abandoning/2: ""} {
		synctest.Test(t, func(t *testing.T) {
			s, logs := healthy()
			stopping := make(chan struct{})
			s.Live = func() error {
				<-stopping
				time.Sleep(needs)
				return nil
			}
			p, stop := servePipes(t, s)
			conn := p.dial()
			answer := make(chan string, 1)
			go func() {
				_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
				text, _ := io.ReadAll(conn)
				answer <- string(text)
			}()
			synctest.Wait()
			close(stopping)
			if took := stop(); took > finishing+abandoning {
				t.Errorf("%s: the end took %s", needs, took)
			}
			if got := <-answer; !strings.HasSuffix(got, want) || want == "" && got != "" {
				t.Errorf("%s: %q", needs, got)
			}
			if n := logs.FilterMessage("request abandoned at the end").Len(); n > 0 {
				t.Errorf("%s: it was logged as abandoned", needs)
			}
		})
	}
}

// The end takes less than a second whatever a request does.
func TestEndAbandonsAStuckRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logs := healthy()
		stuck := make(chan struct{})
		s.Live = func() error { <-stuck; return nil }
		p, stop := servePipes(t, s)
		conn := p.dial()
		go func() { _, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n") }()
		if took := stop(); took < finishing || took >= time.Second {
			t.Errorf("the end took %s", took)
		}
		if logs.FilterMessage("request abandoned at the end").Len() != 1 {
			t.Error("the abandoned request was not logged")
		}
		close(stuck)
	})
}

func TestNothingIsLeftAfterServe(t *testing.T) {
	before := runtime.NumGoroutine()
	s, _ := healthy()
	l, err := s.TCP("127.0.0.1:0")
	stop := serve(t, l, err)
	silent, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + l.Addr() + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !settled(func() bool { return runtime.NumGoroutine() <= before }) {
		t.Errorf("%d goroutines more than before", runtime.NumGoroutine()-before)
	}
}

// At rest a listener is one goroutine in accept, and the one that this test runs Serve in.
func TestListenerAtRestIsOneGoroutine(t *testing.T) {
	s, _ := healthy()
	before := runtime.NumGoroutine()
	address := tcp(t, s)
	get(t, address, "/metrics")
	if !settled(func() bool { return runtime.NumGoroutine() <= before+1 }) {
		t.Errorf("%d goroutines", runtime.NumGoroutine()-before)
	}
}

// flaky fails to accept a few times, as a process without free descriptors does.
type flaky struct {
	net.Listener
	failures int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.failures--; f.failures >= 0 {
		return nil, &net.OpError{Op: "accept", Err: io.ErrNoProgress}
	}
	server, client := net.Pipe()
	_ = client.Close()
	return server, nil
}

func (f *flaky) Addr() net.Addr { return &net.TCPAddr{} }

func TestAcceptFailuresAreSaidOnce(t *testing.T) {
	s, logs := healthy()
	a := &acceptor{Listener: &flaky{failures: 3}, log: s.Log}
	for range 5 {
		if conn, err := a.Accept(); err == nil {
			_ = conn.Close()
		}
	}
	var said []string
	logs.Filter(func(e observer.LoggedEntry) bool { said = append(said, e.Message); return true })
	if strings.Join(said, "; ") != "cannot accept connections; accepting connections again" {
		t.Errorf("said %q", said)
	}
}

func TestConcurrentScrapes(t *testing.T) {
	t.Parallel()
	s, _ := healthy()
	s.Counters = new(Counters)
	address := tcp(t, s)
	done := make(chan struct{})
	var observers, clients sync.WaitGroup
	observers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				s.Counters.Observe("orders", "published", "", time.Millisecond)
				s.Counters.Forget("orders")
				s.Counters.Reload("applied")
			}
		}
	})
	bodies := make(chan string, 4*10)
	for range 4 {
		clients.Go(func() {
			for range 10 {
				bodies <- raw(t, address, "GET /metrics HTTP/1.0\r\n\r\n")
			}
		})
	}
	clients.Wait()
	close(done)
	observers.Wait()
	close(bodies)
	for body := range bodies {
		_, body, _ = strings.Cut(body, "\r\n\r\n")
		lint(t, parse(t, body))
	}
}
