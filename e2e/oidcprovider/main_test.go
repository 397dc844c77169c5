// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oidcprovider

import (
	"os"
	"strings"
	"testing"

	"github.com/renewd/renewd/e2e/internal/trial"
)

// renewd is the path of the binary, which TestMain builds once.
var renewd string

func TestMain(m *testing.M) {
	os.Exit(trial.Build(func(binary string) int {
		renewd = binary
		return m.Run()
	}))
}

// provider starts a server of the test's own.
func provider(t *testing.T) *Provider {
	t.Helper()
	p, err := Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("the token endpoint answered: %+v", p.find("answer"))
		}
	})
	return p
}

// try is a trial with the server's files in place of SERVER, its issuer in place of ISSUER and its other host in place of MUTUAL. fields are those of oauth2;
// issuer and http need not be among them. more are fields of the token. No name of a test may hold a comma, since
// its folder is written into the configuration as it is.
func try(t *testing.T, p *Provider, fields, more string) *trial.Trial {
	t.Helper()
	if !strings.Contains(fields, "issuer: ") {
		fields += `, issuer: "ISSUER"`
	}
	if !strings.Contains(fields, "http: ") {
		fields += `, http: {caFile: SERVER/ca.pem}`
	}
	r := trial.New(t, renewd, p.expand("{oauth2: {"+fields+"}}"), more)
	for _, secret := range secrets {
		r.Secrets = append(r.Secrets, secret)
	}
	return r
}

// judge is what a reader holds a JWT of the server's against.
func judge(t *testing.T, p *Provider) func(token string) error {
	t.Helper()
	good, err := trial.JWT(p.Client, p.Issuer+"/jwks")
	if err != nil {
		t.Fatal(err)
	}
	return good
}

// asked returns what the token endpoint has answered so far.
func asked(t *testing.T, p *Provider) []Answer {
	t.Helper()
	answers, err := p.Asked()
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

// counted is a server as trial.Day looks at it.
type counted struct {
	*Provider
	t *testing.T
}

func (c counted) Tokens() int { return len(asked(c.t, c.Provider)) }
