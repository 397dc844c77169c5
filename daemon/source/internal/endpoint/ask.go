// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package endpoint asks the servers that sources get their tokens from: one request, one answer, read whole and within
// limits or not at all. It verifies whom it talks to, follows no redirect, keeps no connection, name or certificate
// between attempts, does not try again, and says what happened without repeating a secret or an answer's body. It does
// not know what a source asks for.
//
// Limit: the system's root certificates, used without a caFile, are loaded once per process by crypto/x509.
package endpoint

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/renewd/renewd/daemon"
)

// What is more is an error: an answer cut short could mean something else.
const (
	maxBody   = 256 << 10
	maxHeader = 64 << 10
)

// Request is one request. Its strings may hold secrets, so it is never printed.
type Request struct {
	What    string          // what is asked, for errors: "token endpoint"
	Method  string          // "": POST with a Body, else GET
	URL     string          // errors name scheme, host and path
	Type    string          // Content-Type of Body
	Body    []byte          //
	Header  http.Header     // further headers; one of ours gives way
	Code    string          // the member of an answer that names an error; "": error (RFC 6749 §5.2)
	MaxBody int             // the longest answer that is read, in bytes; 0: 256 KiB
	Secrets []daemon.Secret // what was sent or configured: replaced wherever an answer is quoted
}

// Ask sends r once and reads the answer. It ends with ctx, and nothing that it started outlives it.
//
// The Answer is not nil once the request may have left, also beside an error; then its Status is 0 if none came. The
// error is nil for a 2xx answer that is one JSON object without an error in it, else a *daemon.Failure.
func (a *Attempt) Ask(ctx context.Context, r Request) (*Answer, error) {
	c := &call{attempt: a, Request: r, parent: ctx}
	target, err := a.client.HTTP.parse(r.URL)
	if err != nil {
		return nil, c.fail(daemon.ClassConfig, "the URL "+err.Error(), "")
	}
	c.url = target
	// Not every part of a dial ends with the request's own context, but with this one it does.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := c.build(httptrace.WithClientTrace(ctx, c.trace()))
	if err != nil {
		return nil, err
	}
	// Not by a http.Client, which follows redirects, and whose errors repeat the URL.
	response, err := c.transport(request.Context()).RoundTrip(request)
	if err != nil {
		err = c.lost(err) // may find that nothing was sent
		return c.answer, err
	}
	defer func() { _ = response.Body.Close() }() // closes the connection: what is left of the body is not wanted
	return c.answer, c.read(response)
}

// call is one request on its way.
type call struct {
	Request
	attempt *Attempt
	parent  context.Context // of the caller, to tell its end from ours
	url     *url.URL
	proxy   *url.URL // nil: none
	phase   atomic.Int32
	wanted  atomic.Bool   // the server asked for a client certificate
	version atomic.Uint32 // of TLS; 0 until the handshake is done
	answer  *Answer       // nil until the request may have left
}

// The phases of a call, for what to say when time runs out.
const (
	phaseStart int32 = iota
	phaseName
	phaseDial
	phaseTLS
	phaseSent
	phaseBody
)

// trace follows the call. All hooks but the last run in other goroutines, that one in Ask's.
func (c *call) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { c.phase.Store(phaseName) },
		ConnectStart:      func(string, string) { c.phase.Store(phaseDial) },
		TLSHandshakeStart: func() { c.phase.Store(phaseTLS) },
		TLSHandshakeDone:  func(state tls.ConnectionState, _ error) { c.version.Store(uint32(state.Version)) },
		GotConn: func(httptrace.GotConnInfo) {
			c.phase.Store(phaseSent)
			c.answer = &Answer{Asked: time.Now().Round(0), secrets: slices.Clone(c.Secrets)}
		},
	}
}

func (c *call) build(ctx context.Context) (*http.Request, error) {
	method, body := c.Method, io.Reader(nil)
	if c.Body != nil {
		body = bytes.NewReader(c.Body)
		if method == "" {
			method = http.MethodPost
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url.String(), body)
	if err != nil {
		return nil, c.fail(daemon.ClassConfig, "the request cannot be made", "")
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", strings.TrimSuffix("renewd/"+c.attempt.client.Version, "/"))
	if c.Type != "" {
		request.Header.Set("Content-Type", c.Type)
	}
	for name, values := range c.Header {
		for _, value := range values {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				return nil, c.fail(daemon.ClassConfig, fmt.Sprintf("what is to be sent as %s has a character that no header may hold", name), "look at the file that it comes from")
			}
		}
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if c.proxy, err = c.attempt.client.HTTP.proxyFor(request); err != nil {
		// The error may repeat the proxy's URL with its password.
		return nil, c.fail(daemon.ClassConfig, "the environment names a proxy that is no URL", "correct HTTPS_PROXY or HTTP_PROXY")
	}
	return request, nil
}

func (h HTTP) proxyFor(request *http.Request) (*url.URL, error) {
	switch h.Proxy {
	case proxyEnvironment:
		return http.ProxyFromEnvironment(request)
	case proxyNone, "":
		return nil, nil
	}
	return url.Parse(h.Proxy)
}

// transport makes the transport of one request. Every connection ends with ctx, in whatever state it is then.
func (c *call) transport(ctx context.Context) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	config := c.attempt.tls.Clone()
	// Not Certificates: the certificate would be held back from a server that names other issuers, whose refusal would
	// then be a riddle.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c.wanted.Store(true)
		return c.attempt.pair, nil
	}
	return &http.Transport{
		Proxy: http.ProxyURL(c.proxy),
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				return &proxyRefusal{answer.StatusCode}
			}
			return nil
		},
		// A Transport detaches dials from their request, so that later requests can use the connection.
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			connection, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				context.AfterFunc(ctx, func() { _ = connection.Close() })
			}
			return connection, err
		},
		TLSClientConfig:        config,
		DisableKeepAlives:      true, // a connection that was idle for minutes is often dead
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              &protocols,
	}
}

// read takes the answer in.
func (c *call) read(response *http.Response) error {
	c.phase.Store(phaseBody)
	answer := c.answer
	answer.Status, answer.Header = response.StatusCode, response.Header
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(c.longest())+1))
	answer.Received = time.Now().Round(0)
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		answer.Date = date
	}
	switch {
	case err == nil:
		return c.judge(body)
	case answer.Status/100 == 2:
		return c.lost(err)
	}
	return c.judge(nil) // the status has said enough
}

// longest returns the size above which an answer is not read.
func (c *call) longest() int { return cmp.Or(c.MaxBody, maxBody) }

// fail returns the Failure that says where and what.
func (c *call) fail(class daemon.Class, text, hint string) *daemon.Failure {
	where := c.What
	if c.url != nil {
		where += " " + (&url.URL{Scheme: c.url.Scheme, Host: c.url.Host, Path: c.url.Path}).String()
	}
	if c.proxy != nil {
		where += " by way of proxy " + c.proxy.Host
	}
	return &daemon.Failure{Class: class, Endpoint: c.attempt.client.Endpoint, Hint: hint, Err: fmt.Errorf("%s: %s", where, text)}
}
