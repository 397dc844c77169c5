// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package endpoint

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/renewd/renewd/daemon"
)

// The values of HTTP.Proxy that are not a URL.
const (
	proxyEnvironment = "environment"
	proxyNone        = "none"
)

// HTTP is the mapping http of every source that asks a server. Start from DefaultHTTP.
type HTTP struct {
	CAFile         string `yaml:"caFile" doc:"Path of the certificates (PEM) that the server's certificate must lead to, instead of the system's. Empty: the system's."`
	CertFile       string `yaml:"certFile" doc:"Path of the client certificate (PEM), with its chain. Needs keyFile."`
	KeyFile        string `yaml:"keyFile" doc:"Path of the client certificate's private key (PEM). Needs certFile."`
	ServerName     string `yaml:"serverName" doc:"The name to verify in the server's certificate. Empty: the host of the URL."`
	Proxy          string `yaml:"proxy" doc:"environment: as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say; none; or a URL such as http://proxy:3128."`
	AllowPlainHTTP bool   `yaml:"allowPlainHTTP" doc:"Allow http:// to other hosts than loopback. Everybody on the way can then read secrets and tokens."`
}

// DefaultHTTP returns what an empty mapping means.
func DefaultHTTP() HTTP { return HTTP{Proxy: proxyEnvironment} }

// Check returns a *daemon.FieldError for each mistake that the text alone shows; field is the mapping's own name.
func (h HTTP) Check(field string) (errs []error) {
	wrong := func(name, problem, help string) {
		errs = append(errs, &daemon.FieldError{Field: field + "." + name, Problem: problem, Help: help})
	}
	if (h.CertFile == "") != (h.KeyFile == "") {
		name := "keyFile"
		if h.CertFile == "" {
			name = "certFile"
		}
		wrong(name, "is missing", "a client certificate is certFile and keyFile together")
	}
	switch u, err := url.Parse(h.Proxy); {
	case h.Proxy == proxyEnvironment, h.Proxy == proxyNone:
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		wrong("proxy", "is no address of a proxy", "environment, none, or a URL such as http://proxy:3128")
	case u.User != nil:
		wrong("proxy", "holds credentials", "put the URL into HTTPS_PROXY in renewd's environment, and proxy: environment")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		wrong("proxy", "is more than scheme, host and port", "for example http://proxy:3128")
	case u.Scheme == "https" && h.ServerName != "":
		wrong("serverName", "would also be the name of the https proxy", "remove it, or use a proxy with an http URL")
	}
	return errs
}

// Inputs returns the files that are read in every attempt.
func (h HTTP) Inputs() []string {
	return slices.DeleteFunc([]string{h.CAFile, h.CertFile, h.KeyFile}, func(path string) bool { return path == "" })
}

// CheckURL returns nil if text is a URL that a secret may be sent to, else a *daemon.FieldError for field that does not
// repeat it.
func (h HTTP) CheckURL(field, text string) error {
	_, err := h.parse(text)
	if err == nil {
		return nil
	}
	return &daemon.FieldError{Field: field, Problem: err.Error(), Help: "for example https://idp.example.com/token; http:// is for loopback, or with allowPlainHTTP"}
}

// parse returns the URL, or an error without any part of it, worded as the rest of a sentence.
func (h HTTP) parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("is no URL with a host")
	case u.User != nil:
		return nil, errors.New("holds a user name or password")
	case strings.Contains(text, "#"):
		return nil, errors.New("holds a fragment")
	case credentialIn(u):
		return nil, errors.New("holds a credential in its query")
	case u.Scheme == "https", u.Scheme == "http" && (h.AllowPlainHTTP || isLoopback(u.Hostname())):
		return u, nil
	case u.Scheme == "http":
		return nil, errors.New("is not https")
	}
	return nil, errors.New("is neither https nor http")
}

// credentialIn goes by names: proxies and servers write queries into their logs (RFC 6749 §2.3.1).
func credentialIn(u *url.URL) bool {
	for name := range u.Query() {
		name = strings.ToLower(name)
		for _, word := range []string{"secret", "password", "token", "assertion", "credential", "key", "sig", "signature", "code"} {
			if strings.HasSuffix(name, word) {
				return true
			}
		}
	}
	return false
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// HostOf returns scheme and host of a URL that CheckURL accepts: what Failures name as Endpoint. URLs of one server give the
// same: lower case, and without the port that the scheme stands for, or none.
func HostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	return strings.ToLower(u.Scheme + "://" + strings.TrimSuffix(strings.TrimSuffix(u.Host, port), ":"))
}
