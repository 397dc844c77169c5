// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
)

const password = "pr0xy-p4ssw0rd"

// TestMain sets the proxy of the environment, which net/http reads once in the life of a process. It is not used for
// loopback.
func TestMain(m *testing.M) {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: askOurs}
	environment := newProxy(func(http.ResponseWriter, *http.Request) bool { return false })
	if err := os.Setenv("HTTPS_PROXY", strings.Replace(environment.URL, "//", "//user:"+password+"@", 1)); err != nil {
		panic(err)
	}
	code := m.Run()
	environment.Close()
	os.Exit(code)
}

// newProxy is a proxy that passes every CONNECT on, or none, as decide says after it has answered.
func newProxy(decide func(http.ResponseWriter, *http.Request) bool) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !decide(w, r) {
			if r.Method == http.MethodConnect {
				http.Error(w, "", http.StatusProxyAuthRequired)
			}
			return
		}
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		down, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
		_, _ = io.Copy(down, up)
		_ = down.Close()
	}))
}

// asks sends one request and returns the answer and the Failure, which is nil for a success.
func asks(t testing.TB, h endpoint.HTTP, r endpoint.Request) (*endpoint.Answer, *daemon.Failure) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return asksWithin(ctx, t, h, r)
}

func asksWithin(ctx context.Context, t testing.TB, h endpoint.HTTP, r endpoint.Request) (*endpoint.Answer, *daemon.Failure) {
	t.Helper()
	client := endpoint.Client{HTTP: h, Endpoint: endpoint.HostOf(r.URL)}
	attempt, err := client.Open()
	var answer *endpoint.Answer
	if err == nil {
		r.What = "server"
		answer, err = attempt.Ask(ctx, r)
	}
	if err == nil {
		return answer, nil
	}
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok {
		t.Fatalf("no Failure: %v", err)
	}
	if text := f.Error() + f.Hint; strings.Contains(text, password) || strings.ContainsAny(text, "\n\r") {
		t.Errorf("%s", text)
	}
	return answer, f
}

func trusting(i *hostile.Issuer) endpoint.HTTP {
	h := endpoint.DefaultHTTP()
	h.CAFile = i.CAFile
	return h
}

// want checks class and words of a Failure; words may stand in the hint.
func want(t testing.TB, name string, f *daemon.Failure, class daemon.Class, says string) {
	t.Helper()
	if f == nil || f.Class != class || !strings.Contains(f.Error()+" | "+f.Hint, says) {
		t.Errorf("%s: %+v, want %q and %q", name, f, class, says)
	}
}

// Bearer headers, JSON bodies and GET are what kinds other than oauth2 send.
func TestOtherProtocols(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(hostile.JSON(201, `{"status":{"token":"x","expirationTimestamp":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"},"auth":null}`))
	header := http.Header{"Authorization": {"Bearer abc"}, "Accept": {"application/vnd.x+json"}}
	answer, f := asks(t, trusting(i), endpoint.Request{URL: i.URL + "/a%2Fb?q=1", Type: "application/json", Body: []byte(`{"a":1}`), Header: header})
	if f != nil {
		t.Fatal(f)
	}
	r := i.Asked()[0]
	if r.Method != http.MethodPost || r.Body != `{"a":1}` || r.Header.Get("Authorization") != "Bearer abc" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Accept") != "application/vnd.x+json" {
		t.Errorf("%+v", r)
	}
	status, err := answer.Object.Object("status")
	if err != nil || status.Text("token") != "x" {
		t.Errorf("%v", err)
	}
	life := answer.Life()
	life.At("expirationTimestamp", status.Member("expirationTimestamp"))
	token, err := life.Token(status.Text("token"), "Bearer")
	if err != nil || (time.Until(token.ExpiresAt)-time.Hour).Abs() > 2*time.Second {
		t.Errorf("%v %v", token.ExpiresAt, err)
	}
	if auth, err := answer.Object.Object("auth"); err != nil || auth.Text("x") != "" {
		t.Errorf("null is absent: %v", err)
	}
	i.Answer(hostile.JSON(403, `{"reason":"Forbidden","message":"`+password+`"}`))
	_, f = asks(t, trusting(i), endpoint.Request{URL: i.URL, Code: "reason"})
	want(t, "reason", f, daemon.ClassRefused, "403: Forbidden")
	if f.Code != "Forbidden" || i.Asked()[0].Method != http.MethodGet {
		t.Errorf("%+v", f)
	}
	header.Set("Authorization", "Bearer a\nX-Admin: 1")
	if answer, f = asks(t, trusting(i), endpoint.Request{URL: i.URL, Header: header}); answer != nil || len(i.Asked()) != 0 {
		t.Error("a header was injected")
	}
	want(t, "header", f, daemon.ClassConfig, "no header may hold")
}

func TestEachRequestHasItsOwnConnection(t *testing.T) {
	i := hostile.New(t, nil)
	var mu atomic.Int64
	seen := map[string]bool{}
	i.Answer(func(w http.ResponseWriter, r *http.Request) {
		mu.Add(1)
		seen[r.RemoteAddr] = true
		hostile.JSON(200, `{}`)(w, r)
	})
	attempt, err := endpoint.Client{HTTP: trusting(i)}.Open()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := attempt.Ask(t.Context(), endpoint.Request{URL: i.URL}); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d connections", len(seen))
	}
}

func TestCAFile(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(hostile.JSON(200, `{}`))
	good, err := os.ReadFile(i.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	h := endpoint.DefaultHTTP()
	h.CAFile = path
	other, err := os.ReadFile(hostile.NewCA(t).File)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text, says string
		class            daemon.Class
	}{
		{"absent", "", "no such file", daemon.ClassConfig},
		{"another authority", string(other), "not by an authority that is trusted", daemon.ClassUnavailable},
		{"rotated", string(other) + string(good), "", ""},
		{"half written", string(good[:len(good)/2]), "damaged PEM", daemon.ClassConfig},
		{"good and half", string(good) + string(other[:len(other)/2]), "damaged PEM", daemon.ClassConfig},
		{"damaged", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged certificate", daemon.ClassConfig},
		{"text", "hello", "no certificate", daemon.ClassConfig},
		{"whole again", string(good), "", ""},
	} {
		if c.text != "" {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		i.Asked()
		_, f := asks(t, h, endpoint.Request{URL: i.URL})
		if c.class != "" {
			want(t, c.name, f, c.class, c.says)
		} else if f != nil {
			t.Errorf("%s: %v", c.name, f)
		}
		if n := len(i.Asked()); (n == 1) != (c.class == "") {
			t.Errorf("%s: %d requests", c.name, n)
		}
	}
}

func TestServersAreVerified(t *testing.T) {
	answer := hostile.JSON(200, `{}`)
	withHost := func(host string, life time.Duration) func(*tls.Config, *hostile.CA) {
		return func(c *tls.Config, ca *hostile.CA) { c.Certificates = []tls.Certificate{ca.Issue(t, host, life)} }
	}
	for name, c := range map[string]struct {
		change     func(*tls.Config, *hostile.CA)
		serverName string
		says       string
	}{
		"another host": {withHost("other.test", time.Hour), "", `is for "other.test", not for "127.0.0.1"`},
		"serverName":   {withHost("other.test", time.Hour), "other.test", ""},
		"another name": {nil, "other.test", `not for "other.test"`},
		"expired":      {withHost("127.0.0.1", -time.Hour), "", "not valid now: it is from"},
		"TLS 1.1":      {func(c *tls.Config, _ *hostile.CA) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "", "TLS"},
		"no common suite": {func(c *tls.Config, _ *hostile.CA) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
		}, "", "TLS"},
	} {
		i := hostile.New(t, c.change)
		i.Answer(answer)
		h := trusting(i)
		h.ServerName = c.serverName
		sent, f := asks(t, h, endpoint.Request{URL: i.URL})
		if c.says == "" {
			if f != nil {
				t.Errorf("%s: %v", name, f)
			}
			continue
		}
		want(t, name, f, daemon.ClassUnavailable, c.says)
		if sent != nil || len(i.Asked()) != 0 {
			t.Errorf("%s: something was sent", name)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	var authority *hostile.CA
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		i := hostile.New(t, func(c *tls.Config, ca *hostile.CA) {
			authority, c.ClientAuth, c.ClientCAs, c.MaxVersion = ca, tls.RequireAndVerifyClientCert, ca.Pool, version
		})
		i.Answer(hostile.JSON(200, `{}`))
		certificate, key := hostile.Files(t, authority.Issue(t, "c", time.Hour))
		_, otherKey := hostile.Files(t, authority.Issue(t, "c", time.Hour))
		old, oldKey := hostile.Files(t, authority.Issue(t, "c", -time.Minute))
		foreign, foreignKey := hostile.Files(t, hostile.NewCA(t).Issue(t, "c", time.Hour))
		for _, c := range []struct {
			name, certificate, key, says string
			class                        daemon.Class
		}{
			{"good", certificate, key, "", ""},
			{"none", "", "", "wants a client certificate", daemon.ClassRefused},
			{"half rotated", certificate, otherKey, "not a pair", daemon.ClassConfig},
			{"expired", old, oldKey, "expired at", daemon.ClassConfig},
			{"key absent", certificate, key + ".gone", "no such file", daemon.ClassConfig},
			{"foreign", foreign, foreignKey, "refuses the client certificate", daemon.ClassRefused},
		} {
			h := trusting(i)
			h.CertFile, h.KeyFile = c.certificate, c.key
			sent, f := asks(t, h, endpoint.Request{URL: i.URL})
			if c.class == "" {
				if f != nil {
					t.Errorf("%x %s: %v", version, c.name, f)
				}
				continue
			}
			want(t, fmt.Sprintf("%x %s", version, c.name), f, c.class, c.says)
			if sent != nil {
				t.Errorf("%x %s: counts as sent", version, c.name)
			}
		}
	}
}

// A server may close the connection over a certificate without an alert, before the handshake is done or after it.
func TestDroppedOverTheCertificate(t *testing.T) {
	ca := hostile.NewCA(t)
	pair := ca.Issue(t, "127.0.0.1", time.Hour)
	// drops serves TLS, and closes the bare connection when it sees what the client has shown.
	drops := func(version uint16, ask tls.ClientAuthType) string {
		return listen(t, func(c net.Conn) {
			server := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: ask, MaxVersion: version,
				VerifyConnection: func(tls.ConnectionState) error { _ = c.Close(); return errors.New("dropped") }})
			_ = server.HandshakeContext(t.Context())
		})
	}
	certificate, key := hostile.Files(t, ca.Issue(t, "c", time.Hour))
	for name, c := range map[string]struct {
		version uint16
		ask     tls.ClientAuthType
		none    bool
		class   daemon.Class
		says    string
		sent    bool
	}{
		"1.3":             {tls.VersionTLS13, tls.RequestClientCert, false, daemon.ClassRefused, "compare http.certFile", true},
		"1.3, none given": {tls.VersionTLS13, tls.RequestClientCert, true, daemon.ClassRefused, "got none", true},
		"1.2":             {tls.VersionTLS12, tls.RequestClientCert, false, daemon.ClassRefused, "compare http.certFile", false},
		"1.2, none given": {tls.VersionTLS12, tls.RequestClientCert, true, daemon.ClassRefused, "got none", false},
		"not asked for":   {tls.VersionTLS13, tls.NoClientCert, false, daemon.ClassUnavailable, "ended before", true},
	} {
		h := endpoint.DefaultHTTP()
		h.CAFile = ca.File
		if !c.none {
			h.CertFile, h.KeyFile = certificate, key
		}
		sent, f := asks(t, h, endpoint.Request{URL: "https://" + drops(c.version, c.ask)})
		want(t, name, f, c.class, c.says)
		// Whether the request was looked at nobody knows: a refresh token must count as used.
		if (sent != nil) != c.sent || sent != nil && sent.Status != 0 {
			t.Errorf("%s: %+v", name, sent)
		}
	}
	// An accepted certificate explains nothing of what goes wrong behind it.
	i := hostile.New(t, func(c *tls.Config, _ *hostile.CA) {
		c.ClientAuth, c.MaxVersion = tls.RequestClientCert, tls.VersionTLS12
	})
	i.Answer(hostile.Raw())
	h := trusting(i)
	h.CertFile, h.KeyFile = certificate, key
	_, f := asks(t, h, endpoint.Request{URL: i.URL})
	want(t, "after the handshake of 1.2", f, daemon.ClassUnavailable, "ended before")
	i.Answer(hostile.Raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"))
	_, f = asks(t, h, endpoint.Request{URL: i.URL})
	want(t, "in the body", f, daemon.ClassUnavailable, "ended before")
}

func TestWrongSchemes(t *testing.T) {
	plain := httptest.NewServer(hostile.JSON(200, `{}`))
	defer plain.Close()
	i := hostile.New(t, nil)
	_, f := asks(t, trusting(i), endpoint.Request{URL: strings.Replace(plain.URL, "http:", "https:", 1)})
	want(t, "https to http", f, daemon.ClassUnavailable, "speaks plain HTTP")
	_, f = asks(t, endpoint.DefaultHTTP(), endpoint.Request{URL: strings.Replace(i.URL, "https:", "http:", 1)})
	want(t, "http to https", f, daemon.ClassRefused, "write https://")
	says := httptest.NewServer(hostile.JSON(400, `{"errors":["x"]}`))
	defer says.Close()
	_, f = asks(t, endpoint.DefaultHTTP(), endpoint.Request{URL: says.URL, Code: "errors"})
	want(t, "a 400 of the right server", f, daemon.ClassRefused, ": 400 | ")
	if f.Hint != "" {
		t.Errorf("the scheme is right: %s", f.Hint)
	}
	if _, f = asks(t, endpoint.DefaultHTTP(), endpoint.Request{URL: plain.URL}); f != nil {
		t.Errorf("loopback: %v", f)
	}
	_, f = asks(t, endpoint.DefaultHTTP(), endpoint.Request{URL: "http://idp.test/"})
	want(t, "elsewhere", f, daemon.ClassConfig, "is not https")
	ssh := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9\r\n") })
	_, f = asks(t, trusting(i), endpoint.Request{URL: "https://" + ssh})
	want(t, "ssh", f, daemon.ClassUnavailable, "does not speak TLS")
	_, f = asks(t, trusting(i), endpoint.Request{URL: "https://" + listen(t, func(net.Conn) {})})
	want(t, "closed", f, daemon.ClassUnavailable, "ended before")
}

// listen serves each connection with f, closes it, and returns the address.
func listen(t testing.TB, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// Every phase ends with the context, and says which one it was.
func TestDeadlines(t *testing.T) {
	ended := make(chan struct{}, 100)
	mute := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c); ended <- struct{}{} })
	i := hostile.New(t, nil)
	i.Answer(hostile.Drip)
	proxy := endpoint.DefaultHTTP()
	proxy.Proxy = "http://" + mute
	for name, c := range map[string]struct {
		h    endpoint.HTTP
		url  string
		says string
	}{
		"handshake": {trusting(i), "https://" + mute, "the TLS handshake was not finished"},
		"headers":   {endpoint.DefaultHTTP(), "http://" + mute, "no answer came"},
		"body":      {trusting(i), i.URL, "the answer did not end"},
		"proxy":     {proxy, "https://idp.test/t", "by way of proxy " + mute},
	} {
		f := failsWithin(t, c.says, c.h, endpoint.Request{URL: c.url})
		want(t, name, f, daemon.ClassUnavailable, c.says)
		if name == "body" {
			continue
		}
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Errorf("%s: the connection outlives the attempt", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, f := asksWithin(ctx, t, trusting(i), endpoint.Request{URL: i.URL})
	want(t, "stopped", f, daemon.ClassUnavailable, "before renewd gave up")
}

// failsWithin asks for longer and longer until the Failure says so: on a busy machine a short time may end in an earlier phase.
func failsWithin(t *testing.T, says string, h endpoint.HTTP, r endpoint.Request) (f *daemon.Failure) {
	t.Helper()
	for limit := 60 * time.Millisecond; limit < time.Minute; limit *= 4 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		start := time.Now()
		_, f = asksWithin(ctx, t, h, r)
		cancel()
		if took := time.Since(start); took > limit+30*time.Second {
			t.Errorf("%v for %v", took, limit)
		}
		if f != nil && strings.Contains(f.Error(), says) {
			break
		}
	}
	return f
}

func TestProxies(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(hostile.JSON(200, `{}`))
	var passed atomic.Int64
	passing := newProxy(func(_ http.ResponseWriter, r *http.Request) bool {
		passed.Add(1)
		return r.Method == http.MethodConnect
	})
	defer passing.Close()
	status := func(status int) *httptest.Server {
		s := httptest.NewServer(hostile.JSON(status, "<html>"+password))
		t.Cleanup(s.Close)
		return s
	}
	by := func(proxy string, plain bool) endpoint.HTTP {
		h := trusting(i)
		h.Proxy, h.AllowPlainHTTP = proxy, plain
		return h
	}
	if _, f := asks(t, by(passing.URL, false), endpoint.Request{URL: i.URL}); f != nil || passed.Load() != 1 {
		t.Errorf("%v, %d", f, passed.Load())
	}
	if _, f := asks(t, by("none", false), endpoint.Request{URL: i.URL}); f != nil || passed.Load() != 1 {
		t.Errorf("none: %v, %d", f, passed.Load())
	}
	bad, needs := status(502), status(407)
	_, f := asks(t, by(bad.URL, false), endpoint.Request{URL: "https://idp.test/t"})
	want(t, "502", f, daemon.ClassUnavailable, "by way of proxy "+strings.TrimPrefix(bad.URL, "http://")+": the proxy answered 502")
	_, f = asks(t, by(needs.URL, false), endpoint.Request{URL: "https://idp.test/t"})
	want(t, "407", f, daemon.ClassUnavailable, "with credentials in HTTPS_PROXY")
	_, f = asks(t, by(needs.URL, true), endpoint.Request{URL: "http://idp.test/t"})
	want(t, "407 without CONNECT", f, daemon.ClassUnavailable, "NO_PROXY")
	_, f = asks(t, by("http://127.0.0.1:1", false), endpoint.Request{URL: "https://idp.test/t"})
	want(t, "no proxy", f, daemon.ClassUnavailable, "by way of proxy 127.0.0.1:1: the connection was refused")
	_, f = asks(t, by("environment", false), endpoint.Request{URL: "https://idp.test/t"})
	want(t, "environment", f, daemon.ClassUnavailable, ": the proxy answered 407")
}

// names is the address of the name server that the resolver of this process asks. The resolver itself is set once, before
// any test: a lookup that was given up goes on in the background and still reads it.
var names atomic.Value

func askOurs(ctx context.Context, _, _ string) (net.Conn, error) {
	address, ok := names.Load().(string)
	if !ok {
		return nil, errors.New("no name server in this test")
	}
	return new(net.Dialer).DialContext(ctx, "udp", address)
}

// nameServer answers every question with a code, or not at all.
func nameServer(t testing.TB, code byte, mute bool) (questions *atomic.Int64) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	questions = new(atomic.Int64)
	go func() {
		for buffer := make([]byte, 512); ; {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			questions.Add(1)
			if n < 12 || mute {
				continue
			}
			buffer[2], buffer[3] = buffer[2]|0x80, 0x80|code // an answer, recursion available
			copy(buffer[6:12], []byte{0, 0, 0, 0, 0, 0})     // no records
			_, _ = c.WriteTo(buffer[:endOfQuestion(buffer[:n])], from)
		}
	}()
	names.Store(c.LocalAddr().String())
	t.Cleanup(func() { _ = c.Close() })
	return questions
}

// endOfQuestion skips the one question of a DNS message.
func endOfQuestion(message []byte) int {
	at := 12
	for at < len(message) && message[at] != 0 {
		at += int(message[at]) + 1
	}
	return min(at+5, len(message))
}

func TestNames(t *testing.T) {
	h := endpoint.DefaultHTTP()
	h.Proxy = "none"
	for _, c := range []struct {
		name string
		code byte
		mute bool
		says string
	}{
		{"NXDOMAIN", 3, false, `the name "idp.test" does not exist`},
		{"SERVFAIL", 2, false, `the name "idp.test" could not be looked up`},
		{"silence", 0, true, "the name was not looked up in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			questions := nameServer(t, c.code, c.mute)
			f := failsWithin(t, c.says, h, endpoint.Request{URL: "https://idp.test/t"})
			want(t, c.name, f, daemon.ClassUnavailable, c.says)
			if !c.mute {
				want(t, c.name, f, daemon.ClassUnavailable, "ends with a dot")
			}
			if questions.Load() == 0 {
				t.Error("the name server was not asked")
			}
		})
	}
}

func TestHostOf(t *testing.T) {
	for text, host := range map[string]string{"https://IDP.test:8443/a?b": "https://idp.test:8443", "http://[::1]:1": "http://[::1]:1",
		"https://idp.test:443/t": "https://idp.test", "https://idp.test:/t": "https://idp.test", "https://[::1]:": "https://[::1]",
		"http://[::1]:80": "http://[::1]", "http://idp.test:443": "http://idp.test:443"} {
		if got := endpoint.HostOf(text); got != host {
			t.Errorf("%s: %s", text, got)
		}
	}
	h := endpoint.HTTP{CAFile: "a", CertFile: "b", KeyFile: "c"}
	if got := h.Inputs(); !slices.Equal(got, []string{"a", "b", "c"}) || len(endpoint.HTTP{}.Inputs()) != 0 {
		t.Errorf("%q", got)
	}
}

func TestObjectShowsNothing(t *testing.T) {
	o, err := endpoint.ParseObject([]byte(`{"access_token":"` + password + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	a := &endpoint.Answer{Object: o}
	if text := fmt.Sprintf("%v %+v %#v %v", o, a, a, *a); strings.Contains(text, password) {
		t.Error(text)
	}
}

// Any bytes make an answer that is read or refused within the limits, and a Failure that fits on a line.
func FuzzRawAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 429 x\r\nRetry-After: 9\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\n{\"error\":\"a\"}",
		"HTTP/1.1 302 \r\nLocation: //x\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{", "HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	var raw atomic.Pointer[[]byte]
	address := listen(f, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = c.Write(*raw.Load())
		}
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		raw.Store(&data)
		answer, failure := asks(t, endpoint.DefaultHTTP(), endpoint.Request{URL: "http://" + address, Secrets: []daemon.Secret{daemon.NewSecret(password)}})
		if failure != nil {
			if failure.Class == "" || len(failure.Error()) > 1000 || !failure.RetryAt.IsZero() && failure.RetryAt.Before(time.Now().Add(-time.Minute)) {
				t.Errorf("%+v", failure)
			}
			return
		}
		if answer.Status/100 != 2 || answer.Asked.IsZero() || answer.Received.Before(answer.Asked) {
			t.Errorf("%+v", answer)
		}
	})
}
