// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"encoding/hex"
	"time"
)

// Report is the body of GET /status, and the one definition of that format: what the server encodes, the client decodes.
// Its types can hold no token: see Digest. Times are RFC 3339; a time that is not known is left out.
type Report struct {
	Time          time.Time `json:"time"` // when the snapshot was taken
	Process       Process   `json:"process"`
	Configuration Loaded    `json:"configuration"`
	LogPolicy     LogPolicy `json:"logPolicy"`
	Watches       []Watch   `json:"watches,omitempty"` // the watched files: configuration, log policy, inputs, published files
	Tokens        []Token   `json:"tokens"`            // in the order of the configuration
}

// Process is the running program.
type Process struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"startedAt,omitzero"`
}

// Loaded is a file that is read again while the process runs.
type Loaded struct {
	Path                 string    `json:"path,omitempty"`       // empty: flags or environment only, or the built-in one
	SHA256               string    `json:"sha256,omitempty"`     // of what is in force, hexadecimal
	Generation           uint64    `json:"generation"`           // grows by one with every change that came into force
	LastReloadSuccessful bool      `json:"lastReloadSuccessful"` // what is on disk is what is in force
	LastReload           time.Time `json:"lastReload,omitzero"`  // when what is in force came into force
	Error                string    `json:"error,omitempty"`      // why what is on disk is not in force
}

// LogPolicy is the log policy file and the levels that are set apart from it.
type LogPolicy struct {
	Loaded
	Overrides []Override `json:"overrides,omitempty"`
}

// Override is a temporary level.
type Override struct {
	Area  string    `json:"area"` // "root" is the top level
	Level string    `json:"level"`
	Until time.Time `json:"until"`
}

// Watch is how one file is watched.
type Watch struct {
	Path      string    `json:"path"`
	State     string    `json:"state"`              // inotify, degraded or static_mount
	LastCheck time.Time `json:"lastCheck,omitzero"` // the last check that finished, whatever it found
	Error     string    `json:"error,omitempty"`    // why it is not inotify
}

// Token is one configured token.
type Token struct {
	Name   string `json:"name"`
	Source string `json:"source"` // its kind, such as sign or oauth2
	Files  []File `json:"files"`
	Valid  bool   `json:"valid"` // every published file matches its record and has life left: from the disk and the clock, at Time

	State       string    `json:"state,omitempty"`      // what the last attempt came to: adopted, published, unchanged, healed, failed; empty before it
	Trigger     string    `json:"trigger,omitempty"`    // why the last attempt was made
	TokenDigest Digest    `json:"tokenDigest,omitzero"` // of the token in force
	IssuedAt    time.Time `json:"issuedAt,omitzero"`    //
	ExpiresAt   time.Time `json:"expiresAt,omitzero"`   // left out if nobody said
	WindowStart time.Time `json:"windowStart,omitzero"` // the window in which it is refreshed
	WindowEnd   time.Time `json:"windowEnd,omitzero"`   //
	NextAttempt time.Time `json:"nextAttempt,omitzero"` //
	LastSuccess time.Time `json:"lastSuccess,omitzero"` //
	LastAttempt time.Time `json:"lastAttempt,omitzero"` //
	Guarantee   float64   `json:"guarantee,omitempty"`  // seconds of life that a reader finds left as long as the issuer works

	ConsecutiveFailures int         `json:"consecutiveFailures"`
	FailedAttempts      []time.Time `json:"failedAttempts,omitempty"` // of those failures the first one and the latest, at most twelve
	LastError           string      `json:"lastError,omitempty"`      // of the last attempt, if it failed
	LastErrorClass      string      `json:"lastErrorClass,omitempty"` // config, refused, throttled, unavailable, malformed, write
	Hint                string      `json:"hint,omitempty"`           // the remedy for LastError
}

// File is one published file or directory.
type File struct {
	Path   string `json:"path"`
	Mode   string `json:"mode"`   // octal, as configured: "0644"
	Format string `json:"format"` // empty for a directory
}

// Digest is the first 32 bits of the SHA-256 of a token, as eight hexadecimal digits: enough to see that two machines hold
// the same token, and too little room for a token. The zero value means that there is none.
type Digest [4]byte

// DigestOf returns the Digest for the whole SHA-256 in hexadecimal digits, and the zero Digest for any other text.
func DigestOf(sum string) Digest {
	whole, err := hex.DecodeString(sum)
	if err != nil || len(whole) != 32 {
		return Digest{}
	}
	return Digest(whole[:4])
}

// String returns eight lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns String.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText takes eight hexadecimal digits.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return hex.ErrLength
	}
	_, err := hex.Decode(d[:], text)
	return err
}
