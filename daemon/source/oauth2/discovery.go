// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// target is where a token is asked for.
type target struct {
	url     string
	methods []string // token_endpoint_auth_methods_supported; nil: not said
}

// find returns the token endpoint: the configured one, or what the issuer's metadata says now. OpenID Connect appends its
// path to the issuer (Discovery §4); RFC 8414 §3.1 puts its own between host and path, and is asked if the first is not
// there.
func (a *attempt) find(ctx context.Context) (target, error) {
	if a.config.TokenURL != "" {
		return target{url: a.config.TokenURL}, nil
	}
	issuer, err := url.Parse(a.config.Issuer)
	if err != nil {
		return target{}, a.failure(daemon.ClassConfig, errors.New("issuer is no URL"), "") // checked by New
	}
	base, path := issuer.Scheme+"://"+issuer.Host, strings.TrimSuffix(issuer.EscapedPath(), "/")
	answer, err := a.metadata(ctx, base+path+"/.well-known/openid-configuration")
	if answer != nil && answer.Status == http.StatusNotFound {
		answer, err = a.metadata(ctx, base+"/.well-known/oauth-authorization-server"+path)
	}
	if err != nil {
		return target{}, err
	}
	t, err := a.config.readMetadata(answer)
	if err != nil {
		return target{}, a.failure(daemon.ClassOf(err), fmt.Errorf("metadata of issuer %q: %w", a.config.Issuer, err), daemon.HintOf(err))
	}
	return t, nil
}

func (a *attempt) metadata(ctx context.Context, url string) (*endpoint.Answer, error) {
	answer, err := a.servers.Ask(ctx, endpoint.Request{What: "metadata", URL: url, Secrets: a.files.secrets(a.config.ClientID)})
	f, ok := errors.AsType[*daemon.Failure](err)
	if ok && f.Class == daemon.ClassRefused && f.Hint == "" {
		f.Hint = "correct issuer, or write tokenURL"
	}
	return answer, err
}

// readMetadata takes from the metadata (RFC 8414 §2) what is needed, and refuses what would send a secret elsewhere.
func (c Config) readMetadata(answer *endpoint.Answer) (target, error) {
	o := answer.Object
	wrong := func(class daemon.Class, hint, format string, args ...any) (target, error) {
		return target{}, &daemon.Failure{Class: class, Hint: hint, Err: fmt.Errorf(format, args...)}
	}
	// Another issuer could otherwise collect what is meant for this one (§3.3).
	if named := o.Text("issuer"); named != c.Issuer {
		if named == "" {
			return wrong(daemon.ClassMalformed, "", "it names no issuer")
		}
		return wrong(daemon.ClassConfig, "if that is right, write issuer: "+answer.Quote(named), "it names the issuer %s, not %q", answer.Quote(named), c.Issuer)
	}
	where := o
	if c.method() == authTLS {
		aliases, err := answer.Inner("mtls_endpoint_aliases")
		if err != nil {
			return wrong(daemon.ClassMalformed, "", "%w", err)
		}
		if aliases.Text("token_endpoint") != "" { // RFC 8705 §5
			where = aliases
		}
	}
	t := target{url: where.Text("token_endpoint")}
	if t.url == "" {
		return wrong(daemon.ClassMalformed, "write tokenURL", "it names no token_endpoint")
	}
	if err := c.HTTP.CheckURL("token_endpoint", t.url); err != nil {
		return wrong(daemon.ClassConfig, "correct the metadata at the issuer, or write tokenURL", "its %w", err)
	}
	host := hostOf(t.url)
	scheme, _, _ := strings.Cut(t.url, "://") // which says what port a name has by itself
	allowed := func(name string) bool { return hostOf(scheme+"://"+name) == host }
	if host != hostOf(c.Issuer) && !slices.ContainsFunc(c.AllowedHosts, allowed) {
		return wrong(daemon.ClassConfig, "if that is right, write allowedHosts: ["+answer.Quote(host)+"]", "its token_endpoint is on another host, %s", answer.Quote(host))
	}
	if methods := o.Member("token_endpoint_auth_methods_supported"); methods != nil {
		if err := json.Unmarshal(methods, &t.methods); err != nil {
			return wrong(daemon.ClassMalformed, "write clientAuth and tokenURL", "its token_endpoint_auth_methods_supported is no list of texts")
		}
	}
	return t, nil
}

// hostOf returns host and port as they are compared; what does not parse was refused before.
func hostOf(text string) string {
	_, host, _ := strings.Cut(endpoint.HostOf(text), "://")
	return host
}
