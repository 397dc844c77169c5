// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/source"
)

// mistakes has a source of each kind, in which every line that ends with "# no" is wrong by the rules of that kind.
var mistakes = []string{`
exec:
  command:
    - a
    - "b\0" # no
  env:
    A: "b\0" # no
  output: raw
`, `
file:
  path: "/a\0b" # no
`, `
githubApp:
  appID: a b # no
  installationID: x # no
  keyFile: "" # no
  apiURL: https://github.com # no
  repositories:
    - orders
    - octocat/orders # no
  permissions:
    contents: all # no
  http:
    proxy: x # no
`, `
kubernetes:
  audiences:
    - a
    - "" # no
  expiration: 5m # no
  serviceAccount: A # no
  namespace: B # no
  boundTo:
    kind: Pod
    name: "" # no
  server: ftp://a.test # no
  tokenFile: "" # no
  http: # no
    certFile: /c
`, `
oauth2:
  tokenURL: https://u:p@a.test/t # no
  clientID: orders
  clientSecretFile: /s
  allowedHosts: [a] # no
  scopes:
    - a b # no
  resource:
    - a # no
  audience:
    - "" # no
  parameters:
    scope: a # no
  requestedType: jwt # no
`, `
oauth2: # no
  issuer: https://a.test/?b=c # no
  grant: jwt-bearer
  clientID: orders
  clientAuth: post
  grantAssertion:
    keyFile: /k
    iss: a
    ttl: 2h # no
    claims:
      exp: 1 # no
`, `
oauth2:
  issuer: https://a.test
  grant: token-exchange
  clientAuth: none
  subject:
    file: /s
    type: JWT # no
  actor: # no
    file: /a
`, `
oauth2: # no
  tokenURL: https://a.test/t
  grant: refresh_token
  refreshTokenFile: /s
  clientID: a
  assertion:
    keyFile: /k
    audience: issuer # no
    ttl: 1s # no
`, `
oauth2:
  issuer: https://a.test
  grant: jwt-bearer
  grantAssertion:
    file: /a
    iss: a # no
    sub: b # no
    certFile: /c # no
    claims: # no
      c: d
`, `
reissue:
  keyFile: "" # no
  extend: 1ms # no
  grace: -1s # no
`, `
sign:
  keyFile: "" # no
  ttl: 1ms # no
  claims:
    exp: 1 # no
`, `
spiffe:
  socket: /a # no
  audiences:
    - "" # no
  spiffeID: a # no
`, `
vault:
  address: https://a.test/v1 # no
  namespace: /a # no
  mount: auth/jwt # no
  role: "" # no
  jwtFile: "" # no
  oidcRole: a/b # no
`}

func TestMistakesOfEverySourceHaveTheirPlace(t *testing.T) {
	missing := source.Kinds()
	for _, text := range mistakes {
		kind, _, _ := strings.Cut(strings.TrimSpace(text), ":")
		delete(missing, kind)
		document := "version: 1\ntokens:\n  - name: a\n    publish: [{file: /run/a}]\n    source:" + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n      ") + "\n"
		var want, got []int
		for i, line := range strings.Split(document, "\n") {
			if strings.HasSuffix(line, "# no") {
				want = append(want, i+1)
			}
		}
		_, err := testLoader().Load("c.yaml", []byte(document))
		e, ok := errors.AsType[*strict.Error](err)
		if !ok {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		for _, p := range e.Problems {
			if !slices.Contains(got, p.Line) {
				got = append(got, p.Line)
			}
			if p.Help == "" {
				t.Errorf("%s: it is not said what would be right: %s", kind, p.Text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: mistakes in the lines %v, want %v:\n%s\n%v", kind, got, want, document, err)
		}
	}
	for kind := range missing {
		t.Errorf("no mistakes of %s", kind)
	}
}
