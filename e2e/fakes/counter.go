// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package fakes tests sources against servers that no registry serves: each file replays what a version of a real server
// answered, for good and for bad requests, and says of which version: statuses, codes and members as they were measured, texts
// abridged. The tests run the program itself and know nothing of its packages. A fake is no proof that a newer version
// answers so.
package fakes

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// counter is a server on loopback that counts its connections, and the requests that it is told to.
type counter struct {
	server *httptest.Server

	mu    sync.Mutex
	asked int
	open  map[net.Conn]bool
}

// serve starts it.
func (c *counter) serve(h http.Handler) {
	c.open = map[net.Conn]bool{}
	c.server = httptest.NewUnstartedServer(h)
	c.server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch state {
		case http.StateNew:
			c.open[conn] = true
		case http.StateClosed, http.StateHijacked:
			delete(c.open, conn)
		}
	}
	c.server.Start()
}

// Connections returns how many connections are open.
func (c *counter) Connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// Tokens returns how many requests for a token there were.
func (c *counter) Tokens() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

func (c *counter) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
}

// answer writes a body as JSON.
func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}
