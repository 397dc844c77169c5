// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package ticket reads a token that is sent in order to get another one: an assertion, a subject token, a service
// account's. It does not verify it, which the server that it is sent to does.
package ticket

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
	"github.com/renewd/renewd/daemon/source/internal/input"
)

// Ticket is what a file held. The zero value stands for a file that is not configured.
type Ticket struct {
	Text    daemon.Secret // without the white space around it
	Expires time.Time     // exp of a JWT; zero: unknown
}

// Read reads the file at path; what names its duty in errors, such as "subject token file". With a zero now it is no error
// that the token has expired.
//
// Errors are a *daemon.Failure: ClassUnavailable for a file that is absent, empty or being written, or whose token has
// expired, since who writes it mends it; else ClassConfig.
func Read(what, path string, now time.Time) (Ticket, error) {
	late := func(err error) (Ticket, error) {
		return Ticket{}, &daemon.Failure{Class: daemon.ClassUnavailable, Err: err, Hint: "look at the program that writes the file"}
	}
	data, err := input.Read(what, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, input.ErrEmpty) {
		return late(err)
	}
	if err != nil {
		return Ticket{}, err
	}
	text := strings.Trim(string(data), " \t\r\n\v\f")
	if text == "" {
		return late(fmt.Errorf("%s %q: %w", what, path, input.ErrEmpty))
	}
	t := Ticket{Text: daemon.NewSecret(text)}
	// What is opaque to us, or odd, the server judges; then there is no exp.
	if c, err := claims.Parse(text); err == nil {
		t.Expires = c.ExpiresAt
	}
	if !t.Expires.IsZero() && !t.Expires.After(now) {
		return late(fmt.Errorf("%s %q: the token in it expired at %s, and the clock says %s",
			what, path, t.Expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
	}
	return t, nil
}
