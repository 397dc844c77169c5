// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package outage

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"
)

// mood is how the issuer answers.
type mood int32

const (
	well mood = iota
	down
	refusing
)

// issuer is a token endpoint (RFC 6749 §4.4) on loopback.
type issuer struct {
	*httptest.Server
	life   time.Duration
	mood   atomic.Int32
	issued atomic.Int64
}

func newIssuer(life time.Duration) *issuer {
	i := &issuer{life: life}
	i.Server = httptest.NewServer(http.HandlerFunc(i.answer))
	return i
}

func (i *issuer) set(m mood) { i.mood.Store(int32(m)) }

func (i *issuer) answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	switch mood(i.mood.Load()) {
	case down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case refusing:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client"}`)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{ // a client that is gone asks again
			"access_token": fmt.Sprintf("issued.token.%d", i.issued.Add(1)),
			"token_type":   "Bearer", "expires_in": int(i.life.Seconds()),
		})
	}
}
