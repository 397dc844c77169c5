// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package daemon holds the nouns of renewd (Secret, Token, Source, Format, Sink, Event) and its two loops: a Keeper
// keeps one token fresh, a Daemon runs one Keeper per configured token. It does not read configuration, does not watch
// files and knows no kind of source or sink: those are folders of their own, joined in daemon/command.
package daemon

import (
	"context"
	"time"
)

// Token is one token as a source handed it out. All times are on the wall clock, without a monotonic reading.
type Token struct {
	Value     Secret
	Type      string    // token_type of RFC 6749 §7.1; "Bearer" unless the issuer says otherwise
	IssuedAt  time.Time // start of life; never zero once it left a Source
	ExpiresAt time.Time // zero if nobody said
	Notices   []string  // what the source noticed without failing; logged when they change; never holds a secret
}

// Source obtains or signs a token.
//
// Token makes one attempt within the deadline of ctx: it does not cache, log, sleep, retry or leave a goroutine behind.
// It reads every file it needs anew. Its errors are a *Failure, or wrap one, and hold no secret. Calls do not overlap.
type Source interface {
	Token(ctx context.Context) (Token, error)
}

// Inputs is implemented by a Source that reads files. The daemon has them watched, and a change triggers an attempt.
type Inputs interface {
	// Inputs returns the paths, which do not change during the Source's life.
	Inputs() []string
}

// Rereader is implemented by a Source that reads a token back from where it was published.
type Rereader interface {
	// Rereads returns the path of that token, which is one of Inputs.
	Rereads() string
}

// Remote is implemented by a Source that asks a server. All Keepers with one Endpoint obey a Retry-After that any of
// them was given.
type Remote interface {
	// Endpoint returns scheme and host; it does not change during the Source's life.
	Endpoint() string
}

// Format turns a token into the bytes of a file. It has no side effects and is safe for concurrent use. An error means
// that this token cannot be written in this format.
type Format interface {
	Encode(t Token) ([]byte, error)
}

// Decoder is implemented by a Format whose bytes hold the token and can be turned back into it, for adoption after a
// restart. Only Value and Type of the result are set; the times are in the Record.
type Decoder interface {
	Decode(data []byte) (Token, error)
}

// Record is what is kept on disk beside a published token, so that a restarted daemon can adopt it and a probe can judge
// it without asking anybody. It never holds the token.
type Record struct {
	Token       string    `json:"token"`              // SHA-256 of the token, hexadecimal
	File        string    `json:"file"`               // SHA-256 of the bytes published, hexadecimal
	Type        string    `json:"type"`               // Token.Type
	IssuedAt    time.Time `json:"issuedAt"`           //
	ExpiresAt   time.Time `json:"expiresAt,omitzero"` // zero: nobody said
	Draw        float64   `json:"draw"`               // the random draw in [0,1) that placed the refresh in its window
	First       bool      `json:"first,omitempty"`    // drawn from the longer window of the first token after a start
	Fingerprint string    `json:"fingerprint"`        // of the source's configuration
}

// Sink puts a token where its readers find it: all of it or none of it.
type Sink interface {
	// Write publishes t. It fills in the digests of r and keeps it beside the token. Where the bytes, the mode and the
	// owner are already right nothing is written. On any error what was published before is still whole. Errors are a
	// *Failure of ClassWrite.
	Write(ctx context.Context, t Token, r Record) error

	// Read returns what is published. The error is nil if all of it is as it was written: bytes, mode and owner. The
	// Token has a Value only if the bytes hold it and match their record; then Token and Record can be trusted even
	// when the error says that something else (another file of several, a mode) is wrong. The error wraps
	// fs.ErrNotExist if a file is missing.
	Read(ctx context.Context) (Token, Record, error)
}

// Kind says what an Event reports.
type Kind string

// The kinds of events.
const (
	Adopted   Kind = "adopted"   // found on disk at start and good: no issuer was asked
	Published Kind = "published" // a new token was written
	Unchanged Kind = "unchanged" // the issuer handed out the same token again
	Healed    Kind = "healed"    // the published file had been deleted or altered and was written again from memory
	Failed    Kind = "failed"    // the attempt failed; the old token stays
	Panicked  Kind = "panicked"  // the Keeper panicked and was started again; only Name and Trigger of the Event are set
)

// Event reports what became of one attempt. It is a copy: the receiver may keep it.
type Event struct {
	Name     string // of the token
	Kind     Kind
	Trigger  string // why the attempt was made: a Trigger constant, or "schedule"
	Token    Token  // the token now in force; the zero Token if there is none
	Err      error  // of Failed
	Failures int    // consecutive failures, this one included
	Start    time.Time
	Took     time.Duration

	WindowStart, WindowEnd time.Time // the refresh window of Token; zero without a token
	Next                   time.Time // when the next attempt is due
}
