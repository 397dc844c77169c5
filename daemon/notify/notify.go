// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package notify tells consumers that a token was written: by a signal, a command or an HTTP request. It never hands
// out the token, and it never retries: the next notice comes with the next token. What a consumer does with a notice
// has no influence on when a token is refreshed.
package notify

import (
	"context"
	"time"

	"github.com/renewd/renewd/daemon"
)

// Note says what was written.
type Note struct {
	Name      string    `json:"name"`               // of the token in the configuration
	Path      string    `json:"path"`               // of the published file or directory
	IssuedAt  time.Time `json:"issuedAt"`           //
	ExpiresAt time.Time `json:"expiresAt,omitzero"` // zero: nobody said
	Digest    string    `json:"digest"`             // the first eight hexadecimal digits of the token's SHA-256
}

// Notifier tells one consumer, once.
type Notifier interface {
	// Notify returns when the consumer was told, within the notifier's own timeout and the deadline of ctx. Errors hold no
	// secret and nothing that the consumer said; where there is a remedy they are a *daemon.Failure with a Hint. Calls do
	// not overlap for one token.
	Notify(ctx context.Context, n Note) error

	// String begins with the notifier's kind and a space, and names its target. It is safe to print.
	String() string
}

// Kind is one kind of Notifier as the configuration knows it.
type Kind struct {
	// Default returns a pointer to the struct of the kind's options, filled with their defaults.
	Default func() any

	// New checks the text of options, a pointer as Default returns it, and does no I/O. Errors are joined
	// *daemon.FieldError of the fields of options.
	New func(options any) (Notifier, error)
}

// Kinds returns every kind by its name in the configuration. To add one, write its file and its line here.
func Kinds() map[string]Kind {
	return map[string]Kind{
		"signal": {func() any { return &Signal{Signal: "HUP"} }, newSignal},
		"exec":   {func() any { return &Exec{Timeout: defaultTimeout} }, newExec},
		"http":   {func() any { return &HTTP{Method: "POST", Timeout: defaultTimeout} }, newHTTP},
	}
}

const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = 10 * time.Minute
)

// checkTimeout returns nil or a *daemon.FieldError.
func checkTimeout(d time.Duration) error {
	if d > 0 && d <= maxTimeout {
		return nil
	}
	return &daemon.FieldError{Field: "timeout", Problem: "is out of range", Help: "more than 0s, at most 10m"}
}
