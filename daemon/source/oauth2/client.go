// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/input"
	"github.com/renewd/renewd/daemon/source/internal/keyfile"
	"github.com/renewd/renewd/daemon/source/internal/ticket"
)

// files is what the configured files held at the start of an attempt.
type files struct {
	secret    daemon.Secret // of the client
	client    *signer       // of client assertions; nil: none are signed
	grant     *signer       // of grant assertions; nil: none are signed
	assertion ticket.Ticket // assertionFile
	given     ticket.Ticket // grantAssertion.file
	seed      ticket.Ticket // refreshTokenFile
	latest    daemon.Secret // the refresh token in force; none if there is no state
	subject   ticket.Ticket
	actor     ticket.Ticket
}

// read reads every file that the configuration names and proves it usable.
func (c Config) read(now time.Time) (*files, error) {
	f := &files{}
	err := f.readSecret(c)
	if err == nil {
		err = f.readTickets(c, now)
	}
	if err != nil {
		return nil, err
	}
	switch c.method() {
	case authKey:
		f.client, err = c.clientSigner(keyfile.File{Path: c.Assertion.KeyFile, Algorithm: c.Assertion.Algorithm, KeyID: c.Assertion.KeyID}, now)
	case authSecretJWT:
		f.client, err = c.clientSigner(keyfile.File{Path: c.ClientSecretFile, Algorithm: "HS256", KeyID: keyfile.None}, now)
	}
	if err == nil && c.Grant == jwtBearer && c.GrantAssertion.KeyFile != "" {
		f.grant, err = c.grantSigner(now)
	}
	return f, err
}

// readTickets reads the tokens that are sent.
func (f *files) readTickets(c Config, now time.Time) (err error) {
	for _, t := range []struct {
		what, path string
		into       *ticket.Ticket
		now        time.Time
	}{
		{"assertion file", c.AssertionFile, &f.assertion, now},
		{"assertion file", c.GrantAssertion.File, &f.given, now},
		// Mostly it was replaced long ago, and is not what is sent: that is in the state file.
		{"refresh token file", c.RefreshTokenFile, &f.seed, time.Time{}},
		{"subject token file", c.Subject.File, &f.subject, now},
		{"actor token file", c.Actor.File, &f.actor, now},
	} {
		if t.path == "" {
			continue
		}
		if *t.into, err = ticket.Read(t.what, t.path, t.now); err != nil {
			return err
		}
	}
	return nil
}

// readSecret takes one line end off the client secret, which editors put there.
func (f *files) readSecret(c Config) error {
	if c.ClientSecretFile == "" {
		return nil
	}
	data, err := input.Read("client secret file", c.ClientSecretFile)
	if err != nil {
		return err
	}
	if line, ended := bytes.CutSuffix(data, []byte("\n")); ended {
		data = bytes.TrimSuffix(line, []byte("\r"))
	}
	if len(data) == 0 {
		return &daemon.Failure{Class: daemon.ClassConfig, Hint: "put the secret there",
			Err: fmt.Errorf("client secret file %q: %w", c.ClientSecretFile, input.ErrEmpty)}
	}
	f.secret = daemon.NewSecret(string(data))
	return nil
}

// secrets returns what must not be quoted from an answer, of this request or of an earlier one to a client with this id.
func (f *files) secrets(id string) []daemon.Secret {
	list := []daemon.Secret{f.secret, f.assertion.Text, f.given.Text, f.seed.Text, f.latest, f.subject.Text, f.actor.Text}
	if secret := f.secret.Reveal(); secret != "" {
		list = append(list, daemon.NewSecret(basic(id, secret)), daemon.NewSecret(basic(url.QueryEscape(id), url.QueryEscape(secret))))
	}
	return list
}

// awkward reports whether form-encoding changes id or secret.
func (f *files) awkward(id string) bool {
	return url.QueryEscape(id) != id || url.QueryEscape(f.secret.Reveal()) != f.secret.Reveal()
}

// method returns the mechanism to use: auto with a secret follows the metadata (RFC 8414 §2: a list that is absent means
// basic).
func (a *attempt) method() string {
	method := a.config.method()
	if a.config.ClientAuth == authAuto && method == authBasic && len(a.target.methods) > 0 && !slices.Contains(a.target.methods, "client_secret_basic") {
		return authPost
	}
	return method
}

// authenticate adds what proves who the client is: exactly one mechanism (RFC 6749 §2.3).
func (a *attempt) authenticate(m *message) error {
	id, secret := a.config.ClientID, a.files.secret.Reveal()
	switch method := a.method(); method {
	case authBasic:
		m.basic(url.QueryEscape(id), url.QueryEscape(secret))
	case authBasicRaw:
		m.basic(id, secret)
	case authPost:
		m.set("client_id", id)
		m.secret("client_secret", secret)
	case authKey, authSecretJWT:
		text, err := a.files.client.sign(a.audiences(), time.Now())
		if err != nil {
			return err
		}
		m.assertion(jwtBearerAssertion, text)
		m.set("client_id", id)
	case authFile:
		m.assertion(a.config.AssertionType, a.files.assertion.Text.Reveal())
		m.set("client_id", id)
	default: // authTLS, authNone: the certificate, if any, was shown in the handshake
		m.set("client_id", id)
	}
	m.secrets = append(m.secrets, a.files.secrets(id)...)
	return nil
}

// basic returns id and secret as they stand in the header (RFC 7617 §2).
func basic(id, secret string) string {
	return base64.StdEncoding.EncodeToString([]byte(id + ":" + secret))
}

func (m *message) basic(id, secret string) {
	m.header = http.Header{"Authorization": {"Basic " + basic(id, secret)}}
}

func (m *message) assertion(typ, text string) {
	m.set("client_assertion_type", typ)
	m.secret("client_assertion", text)
}
