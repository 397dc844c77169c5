// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"errors"
	"strings"
	"time"
)

// Class says what kind of failure it was: how long to wait (schedule.Failing), which exit code, which metric label.
type Class string

// The classes.
const (
	ClassConfig      Class = "config"      // cannot ask as configured: a key, secret, certificate or command absent or unusable
	ClassRefused     Class = "refused"     // the answer says no
	ClassThrottled   Class = "throttled"   // the issuer asked for patience; RetryAt says until when
	ClassUnavailable Class = "unavailable" // no whole answer from a server whose identity was proved
	ClassMalformed   Class = "malformed"   // the answer says yes, and the checks say no
	ClassWrite       Class = "write"       // the token was obtained and could not be published
)

// Failure is the error of a Source, a check or a Sink. Its text holds no secret and no part of an issuer's response body
// beyond what RFC 6749 §5.2 defines, quoted and cut.
type Failure struct {
	Class    Class
	Code     string    // the protocol's own code, such as invalid_client; empty if there is none
	Endpoint string    // scheme and host that RetryAt holds for; empty if the source has no server
	Hint     string    // the remedy, one sentence; may be empty
	Status   int       // of HTTP; 0 if there was none
	RetryAt  time.Time // the issuer asked not to be asked before; zero if it did not
	Err      error     // what happened; never nil
}

// Error returns the text of Err. The Hint is shown apart from it.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// ClassOf returns the class of the Failure that err is or wraps. An error without one counts as unavailable: it is tried
// again at the ordinary pace.
func ClassOf(err error) Class {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Class
	}
	return ClassUnavailable
}

// HintOf returns the remedy of the Failure that err is or wraps, or "".
func HintOf(err error) string {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Hint
	}
	return ""
}

// FieldError is a mistake in the configuration that only the part concerned can see, such as a claim that the algorithm
// does not allow. daemon/config adds file, line and column. Several are joined with errors.Join.
type FieldError struct {
	Field   string // path below the part's own mapping: "ttl", "claims.exp", "command[0]"; empty means the whole of it
	Problem string // what is wrong, in lower case
	Help    string // what would be right; may be empty
}

// Error returns field and problem on one line.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return strings.Join([]string{e.Field, e.Problem}, ": ")
}

// codeOf tells failures of one class apart, for the log: the protocol's code, or the text.
func codeOf(err error) string {
	if f, ok := errors.AsType[*Failure](err); ok && f.Code != "" {
		return f.Code
	}
	return err.Error()
}
