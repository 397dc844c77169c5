// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package fakes

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Hostile is a token endpoint that answers well, or in turn in every way that was seen to break a client. It checks nothing.
type Hostile struct {
	counter
	key  Key
	Life time.Duration // of tokens

	mu    sync.Mutex
	turns []http.HandlerFunc // nil: it answers well
	turn  int
}

// StartHostile starts a server whose tokens are signed by the key. Stop ends it.
func StartHostile(key Key, life time.Duration) *Hostile {
	h := &Hostile{key: key, Life: life}
	h.serve(h)
	return h
}

// URL returns the address of the token endpoint.
func (h *Hostile) URL() string { return h.server.URL + "/token" }

// Stop ends the server.
func (h *Hostile) Stop() {
	h.server.CloseClientConnections()
	h.server.Close()
}

// Set makes the server misbehave with a secret that it was told, or stop doing so. It returns how many ways it has.
func (h *Hostile) Set(secret string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turns, h.turn = nil, 0
	if secret != "" {
		h.turns = h.misdeeds(secret)
	}
	return len(h.turns)
}

// Turns returns how many answers were bad since Set.
func (h *Hostile) Turns() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.turn
}

// ServeHTTP answers.
func (h *Hostile) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body)
	h.count()
	h.mu.Lock()
	var bad http.HandlerFunc
	if len(h.turns) > 0 {
		bad = h.turns[h.turn%len(h.turns)]
		h.turn++
	}
	h.mu.Unlock()
	if bad != nil {
		bad(w, q)
		return
	}
	answer(w, http.StatusOK, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, h.sign(h.Life), int(h.Life.Seconds())))
}

func (h *Hostile) sign(life time.Duration) string {
	now := time.Now()
	return h.key.Sign(jwt.MapClaims{"iat": now.Unix(), "exp": now.Add(life).Unix()}, nil)
}

// misdeeds are the rows of the table of hostile behaviors that one answer can show.
func (h *Hostile) misdeeds(secret string) (list []http.HandlerFunc) {
	for status, bodies := range map[int][]string{
		200: {
			"", "null", "[]", "{}", `{"access_token":null}`, `{"access_token":{"a":1}}`, `{"access_token":""}`,
			`{"error":"` + secret + `"}`, `{"access_token":"x","token_type":"Bearer","error":"server_error"}`,
			`{"access_token":"a\nX-Admin: 1","token_type":"Bearer"}`, `{"access_token":"a b","token_type":"Bearer"}`, `{"access_token":"a\u0000","token_type":"Bearer"}`,
			`{"access_token":"x","token_type":"DPoP"}`, `{"access_token":"x","token_type":"N_A"}`, `{"access_token":"x","token_type":"` + secret + `"}`,
			`{"access_token":"x","token_type":"Bearer","expires_in":-1}`, `{"access_token":"x","access_token":"y","token_type":"Bearer"}`,
			`{"access_token":"` + strings.Repeat("x", 20<<10) + `","token_type":"Bearer"}`, `{"access_token":"` + strings.Repeat("x", 900<<10) + `"}`,
			`{"access_token":"x","token_type":"Bearer"}x`, "\xff\xfe{\x00}\x00", strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000),
			"access_token=x&token_type=bearer", "<html>" + secret,
			fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, h.sign(-time.Minute)),
		},
		400: {`{"error":"invalid_request","error_description":"\u001b[31m\n` + secret + `"}`, `{"error":"invalid_grant"}`},
		401: {`{"error":"invalid_client"}`, secret},
		403: {secret}, 404: {""}, 418: {""}, 500: {"<pre>" + secret}, 502: {"<html>"}, 503: {""}, 204: {""},
	} {
		for _, body := range bodies {
			list = append(list, func(w http.ResponseWriter, _ *http.Request) { answer(w, status, body) })
		}
	}
	for _, status := range []int{302, 303, 307, 308} {
		list = append(list, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", h.server.URL+"/elsewhere?"+secret)
			w.WriteHeader(status)
		})
	}
	for _, raw := range []string{
		"", "SSH-2.0-OpenSSH " + secret + "\r\n\r\n", "HTTP/1.1 200 OK\r\nA\x00B: c\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Fill: "+strings.Repeat("f", 1000)+"\r\n", 3000),
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n\x1f\x8b\x08\x00\x00\x00",
	} {
		list = append(list, func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = connection.Close() }()
			_, _ = io.WriteString(connection, raw)
		})
	}
	return append(list, func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
}
