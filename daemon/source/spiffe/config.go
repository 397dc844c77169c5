// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package spiffe

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"github.com/renewd/renewd/daemon"
)

// SocketVariable is the variable of the environment that names the Workload API where the configuration is silent
// (SPIFFE Workload Endpoint §4).
const SocketVariable = "SPIFFE_ENDPOINT_SOCKET"

// Config is the mapping below spiffe. Start from Default.
type Config struct {
	Socket    string   `yaml:"socket" doc:"The Workload API: unix:///path or tcp://IP:port. Empty: what the variable SPIFFE_ENDPOINT_SOCKET says."`
	Audiences []string `yaml:"audiences" required:"true" doc:"Whom the token is for; it names all of them."`
	SPIFFEID  string   `yaml:"spiffeID" doc:"Which identity the token is for, such as spiffe://example.org/orders. Empty: the first that the agent hands out, its default."`
}

// Default returns the configuration that applies where the file is silent. It has no audience.
func Default() Config { return Config{} }

// endpoint is where the Workload API listens.
type endpoint struct{ network, address string }

// String returns it as it is configured.
func (e endpoint) String() string { return e.network + "://" + e.address }

// local reports whether what is sent stays on this machine.
func (e endpoint) local() bool {
	at, err := netip.ParseAddrPort(e.address)
	return e.network == "unix" || err == nil && at.Addr().Unmap().IsLoopback()
}

const forms = "unix:///path or tcp://IP:port"

// The kernel's sockaddr_un holds 108 bytes, the last of them NUL.
const longestPath = 107

// parse reads a URI of the forms that SPIFFE Workload Endpoint §4 allows. The error says what is wrong in the words of a
// configuration.
func parse(text string) (endpoint, *daemon.FieldError) {
	wrong := func(problem, help string) (endpoint, *daemon.FieldError) {
		return endpoint{}, &daemon.FieldError{Field: "socket", Problem: problem, Help: help}
	}
	if strings.HasPrefix(text, "/") {
		return wrong("is a path", "write unix://"+text)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsAny(text, "?#") || u.User != nil || u.Opaque != "":
		return wrong("is not a URI of the Workload API", forms)
	case u.Scheme == "unix" && u.Host != "":
		return wrong("names a host before the path", fmt.Sprintf("three slashes: unix:///%s%s", u.Host, u.Path))
	case u.Scheme == "unix" && (u.Path == "" || strings.ContainsFunc(u.Path, unicode.IsControl) || len(u.Path) > longestPath):
		return wrong(fmt.Sprintf("has no path of 1 to %d printable bytes", longestPath), forms)
	case u.Scheme == "unix":
		return endpoint{u.Scheme, u.Path}, nil
	case u.Scheme != "tcp":
		return wrong("is neither unix nor tcp", forms)
	}
	at, err := netip.ParseAddrPort(u.Host)
	if err != nil || at.Port() == 0 || u.Path != "" {
		return wrong("is not an IP address and a port", "for example tcp://127.0.0.1:8081; names are not looked up (SPIFFE Workload Endpoint §4)")
	}
	return endpoint{u.Scheme, net.JoinHostPort(at.Addr().String(), fmt.Sprint(at.Port()))}, nil
}

// check returns where the Workload API is, and every mistake in the text of c. variable is what stands in for Socket.
func (c Config) check(variable string) (endpoint, error) {
	var errs []error
	wrong := func(field, problem, help string) {
		errs = append(errs, &daemon.FieldError{Field: field, Problem: problem, Help: help})
	}
	at, err := parse(cmp.Or(c.Socket, variable))
	switch {
	case err == nil:
	case c.Socket == "" && variable == "":
		wrong("socket", "is missing, and the variable "+SocketVariable+" is not set", forms)
	case c.Socket == "":
		wrong("", "the variable "+SocketVariable+" "+err.Problem, err.Help)
	default:
		errs = append(errs, err)
	}
	if len(c.Audiences) == 0 {
		wrong("audiences", "has no audience", "who will verify the token, such as orders")
	}
	for i, audience := range c.Audiences {
		if audience == "" {
			wrong(fmt.Sprintf("audiences[%d]", i), "is empty", "remove it, or say who will verify the token")
		}
	}
	if len(c.request()) > maxRequest {
		wrong("audiences", fmt.Sprintf("has more than %d bytes together", maxRequest), "ask for fewer, by a token of its own for each verifier")
	}
	if c.SPIFFEID != "" && !isID(c.SPIFFEID) {
		wrong("spiffeID", "is not a SPIFFE ID", "spiffe://TRUST-DOMAIN/PATH, such as spiffe://example.org/orders")
	}
	return at, errors.Join(errs...)
}

// isID holds text against SPIFFE-ID §2.
func isID(text string) bool {
	rest, ok := strings.CutPrefix(text, "spiffe://")
	domain, path, has := strings.Cut(rest, "/")
	if !ok || len(text) > 2048 || domain == "" || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return false
	}
	if !has {
		return true
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, func(r rune) bool {
			return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_", r)
		}) {
			return false
		}
	}
	return true
}
