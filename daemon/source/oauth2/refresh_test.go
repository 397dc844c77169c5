// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
	"github.com/renewd/renewd/daemon/source/oauth2"
)

// refreshing is a source with a refresh token and the issuer that it asks.
type refreshing struct {
	*hostile.Issuer
	config oauth2.Config
	source *oauth2.Source
}

func newRefreshing(t *testing.T) *refreshing { return refreshingAt(t, hostile.New(t, nil)) }

func refreshingAt(t *testing.T, i *hostile.Issuer) *refreshing {
	c := anonymous(t, i)
	c.Grant, c.ClientAuth = "refresh_token", "none"
	c.RefreshTokenFile = hostile.Write(t, "seed", "RT1\n")
	c.StateFile = filepath.Join(t.TempDir(), "state")
	return &refreshing{i, c, source(t, c)}
}

// attempt makes one attempt and returns the refresh token that it sent, or "".
func (r *refreshing) attempt(t *testing.T) (daemon.Token, string, error) {
	t.Helper()
	r.Asked()
	token, err := r.source.Token(t.Context())
	sent := ""
	asked := r.Asked()
	if len(asked) > 1 {
		t.Errorf("%d requests", len(asked))
	}
	for _, a := range asked {
		sent = a.Form.Get("refresh_token")
	}
	return token, sent, err
}

// wants makes an attempt that must send a refresh token, or none, and end in a class, or well.
func (r *refreshing) wants(t *testing.T, sent string, class daemon.Class) {
	t.Helper()
	_, got, err := r.attempt(t)
	if got != sent || (err == nil) != (class == "") || err != nil && failure(t, err).Class != class {
		t.Errorf("sent %q and got %v, want %q and %q", got, err, sent, class)
	}
}

// state reads the state file as a reader of JSON does.
func (r *refreshing) state(t *testing.T) map[string]any {
	t.Helper()
	data, err := os.ReadFile(r.config.StateFile)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// age makes the access token in force end after left.
func (r *refreshing) age(t *testing.T, left time.Duration) {
	t.Helper()
	m := r.state(t)
	m["accessExpiresAt"] = time.Now().Add(left)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.config.StateFile, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// rotate answers with an access token for an hour and, unless it is "", a new refresh token.
func rotate(next string) http.HandlerFunc {
	more := []string{`"expires_in":3600`}
	if next != "" {
		more = append(more, `"refresh_token":"`+next+`"`)
	}
	return ok(hostile.Token("AT-"+next, more...))
}

func TestRefreshTokenRotates(t *testing.T) {
	r := newRefreshing(t)
	r.Answer(rotate("RT2"))
	r.wants(t, "RT1", "")
	r.Answer(rotate(""))
	r.wants(t, "RT2", "")
	r.source = source(t, r.config) // a new process
	r.Answer(rotate("RT3"))
	r.wants(t, "RT2", "")
	if got := r.state(t)["refreshToken"]; got != "RT3" {
		t.Errorf("kept %v", got)
	}
	if info, err := os.Stat(r.config.StateFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if inputs := r.source.Inputs(); strings.Contains(strings.Join(inputs, " "), r.config.StateFile) {
		t.Errorf("its own write would trigger it: %q", inputs)
	}
}

// While the issuer has the request, the state on disk says that it left; when the caller has the access token, the disk
// has the new refresh token.
// TestSeedExpiresAfterItsUse is about issuers whose refresh tokens are JWTs: the first one ends, and those after it go on.
// Whether it was used in time the issuer judges.
func TestSeedExpiresAfterItsUse(t *testing.T) {
	r := newRefreshing(t)
	seed := hostile.JWT(`{"typ":"Refresh","exp":1}`)
	if err := os.WriteFile(r.config.RefreshTokenFile, []byte(seed), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Answer(hostile.JSON(200, `{"access_token":"at","token_type":"Bearer","expires_in":600,"refresh_token":"RT2"}`))
	r.wants(t, seed, "")
	r.wants(t, "RT2", "")
}

func TestStateIsWrittenBeforeAndAfter(t *testing.T) {
	r := newRefreshing(t)
	r.Answer(func(w http.ResponseWriter, q *http.Request) {
		if m := r.state(t); m["sent"] == nil || m["refreshToken"] != "RT1" {
			t.Errorf("in flight: %v", m)
		}
		rotate("RT2")(w, q)
	})
	token, _, err := r.attempt(t)
	if m := r.state(t); err != nil || token.Value.Reveal() != "AT-RT2" || m["refreshToken"] != "RT2" || m["sent"] != nil {
		t.Errorf("%v %v", err, m)
	}
}

func TestRefusedRefreshTokenIsNotSentAgain(t *testing.T) {
	r := newRefreshing(t)
	r.Answer(hostile.JSON(400, `{"error":"invalid_grant"}`))
	_, _, err := r.attempt(t)
	if !strings.Contains(daemon.HintOf(err), "used by another process") {
		t.Errorf("the hint does not name the usual cause: %q", daemon.HintOf(err))
	}
	r.Answer(rotate("RT2"))
	r.wants(t, "", daemon.ClassRefused)
	r.source = source(t, r.config)
	r.wants(t, "", daemon.ClassRefused)
	if err := os.WriteFile(r.config.RefreshTokenFile, []byte("RT9"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.wants(t, "RT9", "")
}

func TestOtherRefusalsDoNotUseUpTheRefreshToken(t *testing.T) {
	r := newRefreshing(t)
	for status, body := range map[int]string{401: `{"error":"invalid_client"}`, 429: "", 302: ""} {
		r.Answer(hostile.JSON(status, body))
		if _, sent, err := r.attempt(t); sent != "RT1" || err == nil {
			t.Errorf("%d: sent %q, %v", status, sent, err)
		}
	}
	r.Answer(rotate("RT2"))
	r.wants(t, "RT1", "")
}

func TestLostAnswerHoldsTheRefreshTokenBack(t *testing.T) {
	for name, lost := range map[string]http.HandlerFunc{
		"closed": hostile.Raw(), "502": hostile.JSON(502, ""), "cut": hostile.Raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
		"no JSON": ok("<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			class := daemon.ClassUnavailable
			if name == "no JSON" {
				class = daemon.ClassMalformed
			}
			r := newRefreshing(t)
			r.Answer(rotate("RT2"))
			r.wants(t, "RT1", "")
			r.Answer(lost)
			r.wants(t, "RT2", class)
			r.wants(t, "", daemon.ClassUnavailable) // an hour of life to lose
			r.source = source(t, r.config)
			r.wants(t, "", daemon.ClassUnavailable)
			r.age(t, time.Minute)
			r.wants(t, "RT2", class) // once
			r.wants(t, "", daemon.ClassUnavailable)
			r.age(t, -time.Second)
			r.wants(t, "RT2", class) // nothing left to lose
			r.Answer(rotate("RT3"))
			r.wants(t, "RT2", "")
			r.wants(t, "RT3", "")
		})
	}
}

// A server that asks for a certificate and closes the connection has perhaps not looked at the request, and perhaps it has.
func TestConnectionDroppedOverTheCertificateHoldsTheRefreshTokenBack(t *testing.T) {
	r := refreshingAt(t, hostile.New(t, func(c *tls.Config, _ *hostile.CA) { c.ClientAuth = tls.RequestClientCert }))
	r.Answer(rotate("RT2"))
	r.wants(t, "RT1", "")
	r.Answer(hostile.Raw())
	r.wants(t, "RT2", daemon.ClassRefused)
	r.wants(t, "", daemon.ClassUnavailable)
	r.age(t, -time.Second)
	r.Answer(rotate("RT3"))
	r.wants(t, "RT2", "")
}

func TestRequestThatDidNotLeaveIsNotHeldAgainstIt(t *testing.T) {
	r := newRefreshing(t)
	r.Answer(rotate("RT2"))
	r.wants(t, "RT1", "")
	before := r.state(t)
	nobody := r.config
	nobody.TokenURL = "https://127.0.0.1:1/token"
	if _, err := source(t, nobody).Token(t.Context()); daemon.ClassOf(err) != daemon.ClassUnavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
	if after := r.state(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%v, was %v", after, before)
	}
	r.Answer(rotate("RT3"))
	r.wants(t, "RT2", "")
}

// The new refresh token is kept although the access token beside it is of no use.
func TestUselessAccessTokenDoesNotLoseTheRefreshToken(t *testing.T) {
	r := newRefreshing(t)
	r.Answer(ok(`{"access_token":"dead","token_type":"Bearer","expires_in":-1,"refresh_token":"RT2"}`))
	r.wants(t, "RT1", daemon.ClassMalformed)
	r.Answer(rotate("RT3"))
	r.wants(t, "RT2", "")
}

func TestNothingIsSentBeforeTheStateIsSafe(t *testing.T) {
	r := newRefreshing(t)
	r.Answer(rotate("RT2"))
	r.wants(t, "RT1", "")
	// A directory in the place of the temporary file stops every write, also of root.
	block := filepath.Join(filepath.Dir(r.config.StateFile), ".state.new", "x")
	if err := os.MkdirAll(block, 0o700); err != nil {
		t.Fatal(err)
	}
	r.Answer(rotate("RT3"))
	r.wants(t, "", daemon.ClassConfig)
	if err := os.RemoveAll(filepath.Dir(block)); err != nil {
		t.Fatal(err)
	}
	r.wants(t, "RT2", "")
}

func TestUnsavedRefreshTokenIsSavedLater(t *testing.T) {
	r := newRefreshing(t)
	block := filepath.Join(filepath.Dir(r.config.StateFile), ".state.new", "x")
	r.Answer(func(w http.ResponseWriter, q *http.Request) {
		if err := os.MkdirAll(block, 0o700); err != nil {
			t.Error(err)
		}
		rotate("RT2")(w, q)
	})
	token, sent, err := r.attempt(t)
	if sent != "RT1" || daemon.ClassOf(err) != daemon.ClassConfig || err == nil || !token.Value.IsZero() {
		t.Fatalf("a token was handed on whose refresh token is not safe: %q %v", sent, err)
	}
	r.wants(t, "", daemon.ClassConfig)
	if err := os.RemoveAll(filepath.Dir(block)); err != nil {
		t.Fatal(err)
	}
	token, sent, err = r.attempt(t)
	if sent != "" || err != nil || token.Value.Reveal() != "AT-RT2" || r.state(t)["refreshToken"] != "RT2" {
		t.Errorf("%q %v %v", sent, err, r.state(t))
	}
	r.Answer(rotate("RT3"))
	r.wants(t, "RT2", "")
}

func TestDamagedStateIsNotReplaced(t *testing.T) {
	r := newRefreshing(t)
	r.Answer(rotate("RT2"))
	for _, text := range []string{`{"version":1,"seed":"x","refreshToken":"RT`, `{}`, `{"version":2,"seed":"x","refreshToken":"RT7"}`, `{"version":1,"version":1,"seed":"x","refreshToken":"a"}`} {
		if err := os.WriteFile(r.config.StateFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.wants(t, "", daemon.ClassConfig)
		if data, err := os.ReadFile(r.config.StateFile); err != nil || string(data) != text {
			t.Errorf("%q became %q, %v", text, data, err)
		}
	}
}

func TestOneWriterOfTheState(t *testing.T) {
	r := newRefreshing(t)
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(r.config.StateFile), ".state.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r.Answer(rotate("RT2"))
	r.wants(t, "", daemon.ClassUnavailable)
	if _, err := os.Stat(r.config.StateFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("written beside another process: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	r.wants(t, "RT1", "")
}

// Two replicas that share the state never send one refresh token twice.
func TestTwoReplicasDoNotSpendOneTokenTwice(t *testing.T) {
	r := newRefreshing(t)
	var mu sync.Mutex
	spent, next := map[string]int{}, 1
	r.Answer(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		next++
		answer := rotate(fmt.Sprintf("RT%d", next))
		mu.Unlock()
		answer(w, q)
	})
	var wait sync.WaitGroup
	for range 4 {
		s := source(t, r.config)
		wait.Go(func() {
			for range 15 {
				_, _ = s.Token(t.Context()) // some find the lock taken
			}
		})
	}
	wait.Wait()
	for _, a := range r.Asked() {
		spent[a.Form.Get("refresh_token")]++
	}
	for token, n := range spent {
		if n != 1 {
			t.Errorf("%s was sent %d times", token, n)
		}
	}
	if len(spent) < 2 {
		t.Errorf("only %d were sent", len(spent))
	}
}

// Who has handed out a refresh token knows it, and could have it logged by writing it where errors quote from.
func TestMetadataCannotShowTheRefreshToken(t *testing.T) {
	const second = "RT2-that-must-not-be-printed"
	r := newRefreshing(t)
	r.Answer(rotate(second))
	r.wants(t, "RT1", "")
	r.config.TokenURL, r.config.Issuer = "", r.URL
	r.source = source(t, r.config)
	r.Answer(ok(`{"issuer":"` + second + `"}`))
	_, _, err := r.attempt(t)
	if said := fmt.Sprint(err, daemon.HintOf(err)); !strings.Contains(said, `the issuer "[redacted]"`) || strings.Contains(said, second) {
		t.Error(said)
	}
}

// Who is stopped while the issuer answers does not lose what it answers: a second use of the refresh token could revoke all.
func TestStopWaitsForAnAnswerUnderWay(t *testing.T) {
	r := newRefreshing(t)
	ctx, stop := context.WithCancel(t.Context())
	r.Answer(func(w http.ResponseWriter, q *http.Request) {
		stop()
		time.Sleep(100 * time.Millisecond)
		rotate("RT2")(w, q)
	})
	token, err := r.source.Token(ctx)
	if err != nil || token.Value.Reveal() != "AT-RT2" || r.state(t)["refreshToken"] != "RT2" {
		t.Fatalf("%v %v", err, r.state(t))
	}
	ctx, stop = context.WithCancel(t.Context())
	r.Answer(func(_ http.ResponseWriter, q *http.Request) {
		stop()
		<-q.Context().Done()
	})
	start := time.Now()
	if _, err := r.source.Token(ctx); failure(t, err).Class != daemon.ClassUnavailable || !strings.Contains(err.Error(), "before renewd gave up") {
		t.Error(err)
	}
	if took := time.Since(start); took > 1900*time.Millisecond {
		t.Errorf("a stop took %v", took)
	}
	r.wants(t, "", daemon.ClassUnavailable)
}
