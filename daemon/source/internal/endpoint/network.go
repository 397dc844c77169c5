// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/renewd/renewd/daemon"
)

// proxyRefusal is a proxy's answer to CONNECT.
type proxyRefusal struct{ status int }

func (p *proxyRefusal) Error() string { return fmt.Sprintf("the proxy answered %d", p.status) }

// lost makes a Failure of what went wrong before the answer was whole. The sentences are ours: the errors of net/http
// quote what the peer sent, the proxy's URL, or ours.
func (c *call) lost(err error) error {
	if context.Cause(c.parent) != nil {
		return c.fail(daemon.ClassUnavailable, c.interrupted(), "")
	}
	if class, text, hint, ok := c.explainTLS(err); ok {
		if class == daemon.ClassRefused {
			c.answer = nil // the connection was refused, so the request was not looked at
		}
		return c.fail(class, text, hint)
	}
	if text, hint, ok := c.dropped(err); ok {
		return c.fail(daemon.ClassRefused, text, hint)
	}
	text, hint := c.explain(err)
	return c.fail(daemon.ClassUnavailable, text, hint)
}

// dropped knows a server that asks for a client certificate and closes the connection over what it gets, without the alert
// that RFC 8446 §6.2 allows it to leave out. Up to TLS 1.2 that is within the handshake; since 1.3 the client has
// then sent its request, so that nobody can say whether it was looked at.
func (c *call) dropped(err error) (text, hint string, ok bool) {
	errno, _ := errors.AsType[syscall.Errno](err)
	phase := c.phase.Load()
	over := phase == phaseTLS || phase == phaseSent && c.version.Load() >= tls.VersionTLS13
	if !c.wanted.Load() || !over || !c.broken(err, errno) {
		return "", "", false
	}
	if !c.attempt.hasCertificate() {
		return "the server asked for a client certificate, got none, and closed the connection", "it seems to insist on one: give it as http.certFile and http.keyFile", true
	}
	return "the server asked for a client certificate and closed the connection after it got one",
		"probably it does not take this certificate: compare http.certFile with what it expects; it is read anew when it changes", true
}

// interrupted says what was waited for when the caller's context ended.
func (c *call) interrupted() string {
	text := map[int32]string{
		phaseStart: "no connection was made",
		phaseName:  "the name was not looked up",
		phaseDial:  "no connection was made",
		phaseTLS:   "the TLS handshake was not finished",
		phaseSent:  "no answer came",
		phaseBody:  "the answer did not end",
	}[c.phase.Load()]
	if errors.Is(context.Cause(c.parent), context.DeadlineExceeded) {
		return text + " in time"
	}
	return text + " before renewd gave up"
}

func (c *call) explain(err error) (text, hint string) {
	if p, ok := errors.AsType[*proxyRefusal](err); ok {
		if p.status == 407 {
			return p.Error(), "give the proxy's URL with credentials in HTTPS_PROXY, or name the server in NO_PROXY"
		}
		return p.Error(), "let the proxy pass this server, or name the server in NO_PROXY"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return fmt.Sprintf("the name %q does not exist", e.Name), dnsHint
		}
		return fmt.Sprintf("the name %q could not be looked up", e.Name), dnsHint
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return fmt.Sprintf("the server ended the TLS handshake: %.100q", e.Err.Error()), "compare the TLS versions and the client certificate with what the server wants"
	}
	errno, _ := errors.AsType[syscall.Errno](err)
	switch {
	case errno == syscall.ECONNREFUSED:
		return "the connection was refused", "nothing listens on that port, or a policy forbids it"
	case errno == syscall.EHOSTUNREACH, errno == syscall.ENETUNREACH, errno == syscall.ETIMEDOUT, errno == syscall.EACCES, errno == syscall.EPERM:
		return "no connection was made: " + errno.Error(), "look at routes, network policies and the proxy"
	case c.url.Scheme == "http" && c.broken(err, errno):
		return "the connection ended before the answer was whole", "if the server speaks https on that port, write https://"
	case c.broken(err, errno):
		return "the connection ended before the answer was whole", ""
	case strings.Contains(err.Error(), "response headers exceeded"):
		return fmt.Sprintf("the answer has more than %d bytes of headers", maxHeader), ""
	case c.phase.Load() == phaseTLS:
		return "the TLS handshake did not succeed", "the server must speak TLS 1.2 or later"
	case errno != 0:
		return "the connection broke: " + errno.Error(), ""
	}
	return "the answer is not HTTP", "check the port"
}

const dnsHint = "check the name; in Kubernetes a name that ends with a dot is not tried with every search domain (ndots:5) first"

func (c *call) broken(err error, errno syscall.Errno) bool {
	// What net/http says, and does not export, if the connection ends while the request is being written.
	if strings.Contains(err.Error(), "server closed idle connection") {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errno == syscall.ECONNRESET || errno == syscall.EPIPE
}

// certificateAlerts are the alerts (RFC 8446 §6.2) by which a server refuses a client's certificate, in the words of
// crypto/tls, which does not export their numbers.
const certificateAlerts = "bad certificate,unsupported certificate,revoked certificate,expired certificate,unknown certificate," +
	"unknown certificate authority,access denied,certificate required"

// explainTLS knows the errors of the handshake: what the server says of our certificate, and what we say of the server.
func (c *call) explainTLS(err error) (class daemon.Class, text, hint string, ok bool) {
	if text, hint, ok = c.explainAlert(err); ok {
		return daemon.ClassRefused, text, hint, true
	}
	if e, is := errors.AsType[tls.RecordHeaderError](err); is {
		text = "the server does not speak TLS on this port"
		if string(e.RecordHeader[:]) == "HTTP/" {
			text = "the server speaks plain HTTP on this port"
		}
		return daemon.ClassUnavailable, text, "correct the port, or the scheme of the URL", true
	}
	text, hint, ok = c.explainCertificate(err)
	return daemon.ClassUnavailable, text, hint, ok
}

func (c *call) explainAlert(err error) (text, hint string, ok bool) {
	e, is := errors.AsType[*net.OpError](err)
	if !is || e.Op != "remote error" || e.Err == nil {
		return "", "", false
	}
	alert := strings.TrimPrefix(e.Err.Error(), "tls: ")
	// What TLS 1.2 says to a client without a certificate is less clear.
	if !slices.Contains(strings.Split(certificateAlerts, ","), alert) && (alert != "handshake failure" || !c.wanted.Load()) {
		return "", "", false
	}
	if !c.attempt.hasCertificate() {
		return "the server wants a client certificate: " + alert, "give one as http.certFile and http.keyFile", true
	}
	return "the server refuses the client certificate: " + alert, "give the certificate that the server expects; it is read anew when it changes", true
}

func (c *call) explainCertificate(err error) (text, hint string, ok bool) {
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return "the server's certificate is not by an authority that is trusted", "name the authority's certificate as http.caFile", true
	}
	if _, is := errors.AsType[x509.SystemRootsError](err); is {
		return "the system has no root certificates", "name the authority's certificate as http.caFile", true
	}
	if e, is := errors.AsType[x509.HostnameError](err); is {
		host := cmp.Or(c.attempt.client.HTTP.ServerName, c.url.Hostname())
		return fmt.Sprintf("the server's certificate is for %s, not for %q", namesOf(e.Certificate), host), "correct the host, or set http.serverName", true
	}
	e, is := errors.AsType[x509.CertificateInvalidError](err)
	if !is {
		return "", "", false
	}
	text, hint = "the server's certificate is not valid", "renew it at the server"
	if e.Reason == x509.Expired && e.Cert != nil {
		text += fmt.Sprintf(" now: it is from %s to %s", stamp(e.Cert.NotBefore), stamp(e.Cert.NotAfter))
		hint += ", or look at this machine's clock"
	}
	return text, hint, true
}

func namesOf(certificate *x509.Certificate) string {
	names := slices.Clone(certificate.DNSNames)
	for _, address := range certificate.IPAddresses {
		names = append(names, address.String())
	}
	if len(names) == 0 {
		return "no host"
	}
	return fmt.Sprintf("%.200q", strings.Join(names[:min(len(names), 5)], ", "))
}
