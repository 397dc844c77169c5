// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
	"github.com/renewd/renewd/daemon/source/oauth2"
)

const oidc, rfc8414 = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"

// pages answers by path; other paths are 404.
func pages(list map[string]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if f, ok := list[r.URL.Path]; ok {
			f(w, r)
			return
		}
		http.NotFound(w, r)
	}
}

func document(issuer, tokenURL, more string) http.HandlerFunc {
	return ok(fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q%s}`, issuer, tokenURL, more))
}

func discovering(t testing.TB, i *hostile.Issuer, path string) oauth2.Config {
	c := config(t, i)
	c.TokenURL, c.Issuer = "", i.URL+path
	return c
}

func TestDiscovery(t *testing.T) {
	i := hostile.New(t, nil)
	token := ok(expiring("60"))
	for name, c := range map[string]struct {
		path  string
		found string
		more  string
		want  []string
		post  bool
	}{
		"OpenID Connect":       {"", oidc, "", []string{oidc, "/t"}, false},
		"with a path":          {"/realms/r", "/realms/r" + oidc, "", []string{"/realms/r" + oidc, "/t"}, false},
		"with a final slash":   {"/", oidc, "", []string{oidc, "/t"}, false},
		"RFC 8414":             {"", rfc8414, "", []string{oidc, rfc8414, "/t"}, false},
		"RFC 8414 with a path": {"/realms/r", rfc8414 + "/realms/r", "", []string{"/realms/r" + oidc, rfc8414 + "/realms/r", "/t"}, false},
		"only post":            {"", oidc, `,"token_endpoint_auth_methods_supported":["client_secret_post"]`, []string{oidc, "/t"}, true},
		"both":                 {"", oidc, `,"token_endpoint_auth_methods_supported":["client_secret_post","client_secret_basic"]`, []string{oidc, "/t"}, false},
	} {
		i.Answer(pages(map[string]http.HandlerFunc{c.found: document(i.URL+c.path, i.URL+"/t", c.more), "/t": token}))
		s := source(t, discovering(t, i, c.path))
		i.Asked()
		if _, err := s.Token(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		var last hostile.Request
		for _, last = range i.Asked() {
			got = append(got, last.Path)
		}
		if !slices.Equal(got, c.want) || last.Form.Has("client_secret") != c.post || (last.Header.Get("Authorization") == "") != c.post {
			t.Errorf("%s: %q %v", name, got, last.Form)
		}
		if s.Endpoint() != i.URL {
			t.Errorf("%s: endpoint %q", name, s.Endpoint())
		}
	}
}

func TestHostileMetadata(t *testing.T) {
	i, evil := hostile.New(t, nil), hostile.New(t, nil)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  daemon.Class
		says   string
	}{
		"another issuer":          {document("https://evil.test", i.URL+"/t", ""), daemon.ClassConfig, `"https://evil.test"`},
		"a slash too many":        {document(i.URL+"/", i.URL+"/t", ""), daemon.ClassConfig, `write issuer: "` + i.URL + `/"`},
		"the secret as issuer":    {ok(fmt.Sprintf(`{"issuer":%s}`, asJSON(canary))), daemon.ClassConfig, "[redacted]"},
		"the header as issuer":    {ok(fmt.Sprintf(`{"issuer":"Basic %s"}`, secrets()[3])), daemon.ClassConfig, `"Basic [redacted]"`},
		"the header as a type":    {ok("x", "Content-Type: "+secrets()[3]), daemon.ClassMalformed, "[redacted]"},
		"no issuer":               {ok(`{}`), daemon.ClassMalformed, "no issuer"},
		"http token endpoint":     {document(i.URL, "http://idp.test/t", ""), daemon.ClassConfig, "is not https"},
		"foreign token endpoint":  {document(i.URL, evil.URL+"/t", ""), daemon.ClassConfig, "another host"},
		"userinfo":                {document(i.URL, strings.Replace(i.URL, "//", "//u:p@", 1)+"/t", ""), daemon.ClassConfig, "user name"},
		"no token endpoint":       {ok(`{"issuer":"` + i.URL + `"}`), daemon.ClassMalformed, "no token_endpoint"},
		"token endpoint a number": {ok(`{"issuer":"` + i.URL + `","token_endpoint":1}`), daemon.ClassMalformed, "no token_endpoint"},
		"methods a text":          {document(i.URL, i.URL+"/t", `,"token_endpoint_auth_methods_supported":"x"`), daemon.ClassMalformed, "no list"},
		"10 MB":                   {ok(`{"x":"` + strings.Repeat("x", 10<<20) + `"}`), daemon.ClassMalformed, "longer than"},
		"redirect loop":           {hostile.JSON(302, "", "Location: /.well-known/openid-configuration"), daemon.ClassConfig, "redirect"},
		"not there":               {http.NotFound, daemon.ClassRefused, "404"},
		"403":                     {hostile.JSON(403, "<html>"), daemon.ClassRefused, "write tokenURL"},
		"500":                     {hostile.JSON(500, ""), daemon.ClassUnavailable, "500"},
	} {
		i.Answer(c.answer)
		i.Asked()
		_, err := source(t, discovering(t, i, "")).Token(t.Context())
		said := fmt.Sprintf("%v %s", err, daemon.HintOf(err))
		if err == nil || daemon.ClassOf(err) != c.class || !strings.Contains(said, c.says) {
			t.Errorf("%s: %q %s", name, daemon.ClassOf(err), said)
		}
		if (c.class == daemon.ClassConfig || c.class == daemon.ClassRefused) && daemon.HintOf(err) == "" {
			t.Errorf("%s: no remedy: %s", name, said)
		}
		for _, secret := range secrets() {
			if strings.Contains(said, secret) {
				t.Errorf("%s: %s", name, said)
			}
		}
		for _, r := range i.Asked() {
			if r.Method != http.MethodGet || r.Body != "" || r.Header.Get("Authorization") != "" {
				t.Errorf("%s: something secret was sent: %+v", name, r)
			}
		}
	}
	if n := len(evil.Asked()); n != 0 {
		t.Errorf("the foreign host was asked %d times", n)
	}
}

// Who has written issuer is not told to correct tokenURL, which is not there.
func TestMetadataThatNamesAnAbsentEndpoint(t *testing.T) {
	i := hostile.New(t, nil)
	i.Answer(pages(map[string]http.HandlerFunc{oidc: document(i.URL, i.URL+"/t", "")}))
	_, err := source(t, discovering(t, i, "")).Token(t.Context())
	if f := failure(t, err); f.Class != daemon.ClassRefused || !strings.Contains(f.Hint, "the issuer's metadata names this URL") {
		t.Errorf("%v %q", err, f.Hint)
	}
}

func TestAllowedHosts(t *testing.T) {
	i, other := hostile.New(t, nil), hostile.New(t, nil)
	i.Answer(document(i.URL, other.URL+"/t", ""))
	other.Answer(ok(expiring("60")))
	c := discovering(t, i, "")
	c.AllowedHosts = []string{"LOCALHOST:443", "127.0.0.2:80", strings.TrimPrefix(other.URL, "https://")}
	_, err := source(t, c).Token(t.Context())
	// The other host has its certificate by another authority, which is as far as this goes.
	if daemon.ClassOf(err) != daemon.ClassUnavailable || !strings.Contains(err.Error(), other.URL+"/t: the server's certificate is not by an authority") {
		t.Errorf("%v", err)
	}
	// The port that a scheme stands for is not another host, and upper case is none either.
	for _, tokenURL := range []string{"https://localhost/t", "https://localhost:443/t", "http://127.0.0.2:80/t"} {
		i.Answer(document(i.URL, tokenURL, ""))
		if _, err := source(t, c).Token(t.Context()); !strings.Contains(fmt.Sprint(err), "token endpoint "+tokenURL) {
			t.Errorf("%s: %v", tokenURL, err)
		}
	}
}

func TestAliasForClientCertificates(t *testing.T) {
	i, _, c, _ := mutual(t)
	c.TokenURL, c.Issuer = "", i.URL
	i.Answer(pages(map[string]http.HandlerFunc{
		oidc:    document(i.URL, i.URL+"/t", `,"mtls_endpoint_aliases":{"token_endpoint":"`+i.URL+`/mtls"}`),
		"/mtls": ok(expiring("60")),
	}))
	if _, err := source(t, c).Token(t.Context()); err != nil {
		t.Error(err)
	}
}
