// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// unsaved is a state that could not be written, with what its access token is worth.
type unsaved struct {
	before, state state
	token         daemon.Token
	err           error
}

// refresh exchanges the latest refresh token (RFC 6749 §6). Many issuers replace it with each use and take a second use
// for theft (RFC 9700 §4.14), so the steps keep this order:
//
//  1. lock the state: another process with the same refresh token would make the issuer revoke both
//  2. read it; another seed than last time is a new beginning
//  3. write what the last attempt could not
//  4. find the token endpoint
//  5. write that a request is about to leave
//  6. ask
//  7. write the new refresh token, or what became of the old one
//  8. only then hand on the access token
func (a *attempt) refresh(ctx context.Context) (daemon.Token, error) {
	store := store{a.config.StateFile}
	unlock, err := store.lock()
	if err != nil {
		return daemon.Token{}, err
	}
	defer unlock()

	current, err := store.load()
	if err != nil {
		return daemon.Token{}, err
	}
	if seed := digest(a.files.seed.Text); current.seed != seed {
		current = state{seed: seed, token: a.files.seed.Text}
	}
	if u := a.unsaved; u != nil {
		if a.unsaved = nil; current.same(u.before) {
			if err := a.save(store, *u); err != nil || u.err == nil && u.token.ExpiresAt.After(time.Now()) {
				return u.token, err
			}
			current = u.state
		}
	}
	if err := a.mayLeave(current, time.Now()); err != nil {
		return daemon.Token{}, err
	}
	a.files.latest = current.token
	if a.target, err = a.find(ctx); err != nil {
		return daemon.Token{}, err
	}
	return a.use(ctx, store, current)
}

// use sends the refresh token of current and writes down what became of it.
func (a *attempt) use(ctx context.Context, store store, current state) (daemon.Token, error) {
	leaving := current
	leaving.again = current.uncertain()
	leaving.sent = digest(current.token)
	if err := store.save(leaving); err != nil {
		return daemon.Token{}, err
	}
	m := &message{form: map[string][]string{}}
	m.set("grant_type", refreshToken)
	m.secret("refresh_token", current.token.Reveal())
	patient, end := outlast(ctx)
	defer end()
	answer, err := a.ask(patient, m)

	u := unsaved{before: leaving, state: current}
	switch f, _ := errors.AsType[*daemon.Failure](err); {
	case err == nil:
		u.token, u.err = a.token(answer)
		u.state.take(answer, u.token)
	case answer == nil:
		u.err = err // it did not leave: all is as it was
	case f == nil || answer.Status == 0 || f.Class == daemon.ClassUnavailable || f.Class == daemon.ClassMalformed:
		return daemon.Token{}, err // uncertain, which is what the state says
	default:
		u.err = err
		// No answer but these two says what became of an earlier request: it stays as uncertain as it was.
		u.state.again = leaving.again
		if f.Code == "invalid_grant" {
			u.state.sent, u.state.again = "", false
			u.state.refused = digest(current.token)
		}
	}
	if err := a.save(store, u); err != nil {
		return daemon.Token{}, err
	}
	return u.token, u.err
}

// linger is how long a request outlasts a stop, of the two seconds that a process may take to end.
const linger = time.Second

// outlast returns a context for one request. When ctx is canceled it goes on for a moment if the request may have left: its answer
// is worth waiting for, because without it nobody knows whether the refresh token may be used again. The deadline stays.
func outlast(ctx context.Context) (longer context.Context, end func()) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	release := context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		longer, release = context.WithDeadline(longer, deadline) // a dial divides what is left among the addresses of a name
	}
	var left atomic.Bool
	longer = httptrace.WithClientTrace(longer, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { left.Store(true) }})
	stop := context.AfterFunc(ctx, func() {
		if left.Load() {
			select {
			case <-time.After(linger):
			case <-longer.Done():
			}
		}
		cancel(context.Cause(ctx))
	})
	return longer, func() { stop(); cancel(nil); release() }
}

// save writes the state of u, or remembers u for the next attempt.
func (a *attempt) save(store store, u unsaved) error {
	err := store.save(u.state)
	if err != nil {
		a.unsaved = &u
	}
	return err
}

// margin is how much life readers may count on, as in the default schedule: until no more is left, the access token in
// force is not put at risk.
const margin = 2 * time.Minute

// mayLeave returns nil if the refresh token may be sent now.
//
// One that was refused is not sent again. One whose answer was lost may have been replaced, and a second use can revoke
// the access token in force: it is not sent while that has life to lose, then once, and freely after its expiry, when
// nothing is left to lose and an issuer that was only down must be found again.
func (a *attempt) mayLeave(s state, now time.Time) error {
	const hint = "put a new refresh token into refreshTokenFile"
	own := digest(s.token)
	switch left := s.expires.Sub(now); {
	case s.refused == own:
		return a.failure(daemon.ClassRefused, errors.New("the issuer has refused this refresh token, which is not sent again"), hint)
	case !s.uncertain() || s.expires.IsZero() || left <= 0:
		return nil
	case left > min(margin, s.life/4):
		return a.failure(daemon.ClassUnavailable, fmt.Errorf("the last request with this refresh token was not wholly answered, so that it is not sent again before %s",
			s.expires.Add(-min(margin, s.life/4)).UTC().Format(time.RFC3339)), hint+", or wait")
	case s.again:
		return a.failure(daemon.ClassUnavailable, fmt.Errorf("two requests with this refresh token were not wholly answered, so that it is not sent again before %s",
			s.expires.UTC().Format(time.RFC3339)), hint+", or wait")
	}
	return nil
}

// state is what is kept between attempts.
type state struct {
	seed    string        // SHA-256 of what refreshTokenFile held at the beginning
	token   daemon.Secret // the latest refresh token
	sent    string        // SHA-256 of the one that was sent and not wholly answered; "": none
	again   bool          // it was sent twice
	refused string        // SHA-256 of the one that the issuer refused for good; "": none
	expires time.Time     // of the access token in force; zero: none
	life    time.Duration // of the same
}

func (s state) uncertain() bool { return s.sent != "" && s.sent == digest(s.token) }

func (s state) same(other state) bool {
	return s.seed == other.seed && s.token.Equal(other.token) && s.sent == other.sent && s.again == other.again
}

// take makes s the state after a whole answer. Without a new refresh token the old one stays.
func (s *state) take(answer *endpoint.Answer, t daemon.Token) {
	if next := answer.Object.Text("refresh_token"); next != "" {
		s.token = daemon.NewSecret(next)
	}
	s.sent, s.again, s.refused = "", false, ""
	if t.Value.IsZero() {
		return
	}
	s.life = 5 * time.Minute // what stands in for a life that nobody said
	if !t.ExpiresAt.IsZero() {
		s.life = t.ExpiresAt.Sub(t.IssuedAt)
	}
	s.expires = t.IssuedAt.Add(s.life)
}

// digest tells secrets apart without keeping them.
func digest(s daemon.Secret) string {
	sum := sha256.Sum256([]byte(s.Reveal()))
	return hex.EncodeToString(sum[:])
}
