// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package status tells the outside how renewd is: probes, metrics and a JSON report over HTTP, and the admin socket, a unix
// socket that also takes a few orders. The same package holds the client that the commands use.
//
// It decides nothing and remembers nothing but counters: readiness, liveness and the report are functions that it is given
// and calls once per request. It never sees a token, and imports no other part of renewd.
//
// Limits: Linux only (SO_PEERCRED, /proc). Two processes that start in the same microseconds on the left-over socket of a
// dead one may both bind it; the later one then owns the path.
package status

import (
	"errors"
	"time"

	"go.uber.org/zap"
)

// ErrUnknown is wrapped by what Ready, Refresh, SetLevel and Check return for a name that does not exist: the answer is 404.
// The Client returns it for such an answer.
var ErrUnknown = errors.New("unknown name")

// Server answers requests by calling its functions. Report, Ready, Live, Started and Log must be set; the others may be nil.
//
// All functions are called from any goroutine, several at once, and should return within a second: they are not canceled
// when a client goes away. The text of their errors is shown to clients, one line per problem, so it names the token and
// holds no secret. The fields must not change after TCP or Socket was called.
type Server struct {
	Log *zap.Logger // area "status"

	Report  func() Report            // a snapshot, for /status and the metrics
	Ready   func(token string) error // nil if what is published is good, from the disk and the clock; "": all tokens
	Live    func() error             // nil while the loops go on
	Started func() error             // nil once the first token of each has been published

	Refresh  func(token string) error                                        // ask for an attempt now; "": all; nil: 501
	SetLevel func(area, level string, d time.Duration) (result any, _ error) // a temporary level; d 0 ends it; result becomes the JSON answer; nil: 501
	Levels   func(area string) (string, error)                               // which setting decides the level of an area, "": all areas; nil: 501
	Check    func(name string) error                                         // for /livez?check=NAME; nil: no such check
	Counters *Counters                                                       // nil: no counters are shown
	Metrics  func(*Writer)                                                   // families of other parts; nil: none
}
