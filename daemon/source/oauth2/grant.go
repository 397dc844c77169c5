// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// grant begins the message with the parameters of the configured grant; refresh_token is refresh's own.
func (a *attempt) grant() (*message, error) {
	m := &message{form: map[string][]string{}}
	c := a.config
	switch c.Grant {
	case jwtBearer:
		m.set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
		text := a.files.given.Text.Reveal()
		if a.files.grant != nil {
			var err error
			if text, err = a.files.grant.sign(a.audiences(), time.Now()); err != nil {
				return nil, err
			}
		}
		m.secret("assertion", text)
	case tokenExchange:
		m.set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
		m.secret("subject_token", a.files.subject.Text.Reveal())
		m.set("subject_token_type", tokenType(c.Subject.Type))
		m.secret("actor_token", a.files.actor.Text.Reveal())
		m.set("actor_token_type", tokenType(c.Actor.Type))
		m.set("requested_token_type", tokenType(c.RequestedType))
	default:
		m.set("grant_type", clientCredentials)
	}
	return m, nil
}

// token judges a 2xx answer without an error in it. What Keeper checks of every token is left to it.
func (a *attempt) token(answer *endpoint.Answer) (daemon.Token, error) {
	t, err := a.judge(answer)
	if err != nil {
		f := a.failure(daemon.ClassMalformed, fmt.Errorf("token endpoint: %w", err), "")
		f.Status = answer.Status
		return daemon.Token{}, f
	}
	return t, nil
}

func (a *attempt) judge(answer *endpoint.Answer) (daemon.Token, error) {
	o, life := answer.Object, answer.Life()
	value := o.Text("access_token") // whatever its type, also in token exchange (RFC 8693 §2.2.1)
	if value == "" {
		return daemon.Token{}, errors.New("the answer has no access_token that is a text")
	}
	typ, err := a.typeOf(answer, life)
	if err != nil {
		return daemon.Token{}, err
	}
	if err := a.scope(o, life); err != nil {
		return daemon.Token{}, err
	}
	life.Seconds("expires_in", o.Member("expires_in"))
	life.At("expires_on", o.Member("expires_on")) // Entra v1
	if err := life.JWT(value); err != nil {
		return daemon.Token{}, err
	}
	if err := a.binding(value, life); err != nil {
		return daemon.Token{}, err
	}
	if subject := a.files.subject.Expires; !life.Bounded() && !subject.IsZero() {
		life.Limit(subject)
	}
	return life.Token(value, typ)
}

// typeOf reads token_type (RFC 6749 §7.1), which case does not matter to, and issued_token_type (RFC 8693 §2.2.1).
func (a *attempt) typeOf(answer *endpoint.Answer, life *endpoint.Life) (string, error) {
	o := answer.Object
	typ := o.Text("token_type")
	switch {
	case typ == "" && o.Member("token_type") != nil:
		return "", errors.New("token_type is no text")
	case typ == "":
		life.Note("the answer has no token_type; Bearer is taken")
		typ = "Bearer"
	case strings.EqualFold(typ, "Bearer"):
		typ = "Bearer"
	case strings.EqualFold(typ, "N_A") && a.config.Grant != tokenExchange:
		return "", errors.New("token_type is N_A, which only token exchange may answer")
	case strings.EqualFold(typ, "N_A"):
		typ = "N_A"
	default:
		return "", fmt.Errorf("token_type is %s: a sender-constrained token cannot be used from a file", answer.Quote(typ))
	}
	if a.config.Grant != tokenExchange {
		return typ, nil
	}
	issued, wanted := o.Text("issued_token_type"), tokenType(a.config.RequestedType)
	switch {
	case issued == "":
		life.Note("the answer has no issued_token_type")
	case wanted != "" && issued != wanted:
		return "", fmt.Errorf("issued_token_type is %s, not %q as asked", answer.Quote(issued), wanted)
	}
	return typ, nil
}

// scope compares what was granted with what was asked for. An issuer that grants all of it need not say so (RFC 6749
// §5.1), but some that grant less are silent as well, which strictScope does not accept.
func (a *attempt) scope(o endpoint.Object, life *endpoint.Life) error {
	if len(a.config.Scopes) == 0 {
		return nil
	}
	granted := strings.Fields(o.Text("scope"))
	missing := slices.DeleteFunc(slices.Clone(a.config.Scopes), func(s string) bool { return slices.Contains(granted, s) })
	silent := o.Member("scope") == nil
	switch {
	case len(missing) == 0, silent && !a.config.StrictScope:
		return nil
	case silent:
		return errors.New("the answer does not say its scope, and strictScope is set")
	case a.config.StrictScope:
		return fmt.Errorf("the answer does not grant the scopes %q", missing)
	}
	life.Note(fmt.Sprintf("the issuer did not grant the scopes %q", missing))
	return nil
}

// binding looks for the certificate that a JWT is bound to (RFC 8705 §3): its reader has to show the same.
func (a *attempt) binding(value string, life *endpoint.Life) error {
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return nil
	}
	// What cannot be read so is opaque; a JWT with a member twice was refused before.
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	claims, _ := endpoint.ParseObject(payload)
	cnf, err := claims.Object("cnf")
	if err != nil {
		return errors.New("the token's cnf is no object that reads in one way") // what it holds may be what was sent
	}
	bound := cnf.Text("x5t#S256")
	switch {
	case bound == "":
		return nil
	case subtle.ConstantTimeCompare([]byte(bound), []byte(a.servers.Thumbprint())) != 1:
		return errors.New("the token is bound to a certificate that is not http.certFile's")
	}
	life.Note("the token is bound to the client certificate: whoever uses it must show the same one")
	return nil
}
