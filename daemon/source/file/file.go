// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package file obtains a token from a file that another program keeps fresh, such as the kubelet, so that it can be
// published again in another place, format or mode. It does not watch the file, which is the daemon's business, and it
// never writes to it.
package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/claims"
	"github.com/renewd/renewd/daemon/source/internal/input"
)

// Config is the mapping below file. Start from Default.
type Config struct {
	Path  string `yaml:"path" required:"true" doc:"The file with the token; symbolic links are followed, white space around the token is dropped."`
	Field string `yaml:"field" doc:"The member of a JSON object that holds the token. Empty: the whole file is the token."`
}

// Default returns the configuration that applies where the file is silent. It has no path.
func Default() Config { return Config{} }

// Source reads the file anew in each attempt. It implements daemon.Source and daemon.Inputs.
type Source struct{ path, field string }

// New checks the text of c and does not touch the file. Errors are joined *daemon.FieldError.
func New(c Config) (*Source, error) {
	switch {
	case c.Path == "":
		return nil, &daemon.FieldError{Field: "path", Problem: "is missing", Help: "the path of the file with the token"}
	case strings.ContainsRune(c.Path, 0):
		return nil, &daemon.FieldError{Field: "path", Problem: "holds a NUL character", Help: "no path has one"}
	}
	return &Source{c.Path, c.Field}, nil
}

// Inputs returns the path of the file, as it was configured.
func (s *Source) Inputs() []string { return []string{s.path} }

// Check reads what an attempt would read, and looks at nothing in it: a file that is empty still waits for its writer. Errors are
// those of Token.
func (s *Source) Check() error {
	if _, err := s.read(); !errors.Is(err, input.ErrEmpty) {
		return err
	}
	return nil
}

// Token reads the file. The life of a JWT is that of its claims; of anything else only the start is known, which is now.
// Errors are a *daemon.Failure: ClassUnavailable while the file is absent, empty, being written, torn or expired, which
// its writer mends; ClassMalformed for text that holds no token; ClassConfig for what cannot be read at all.
func (s *Source) Token(ctx context.Context) (daemon.Token, error) {
	if err := context.Cause(ctx); err != nil {
		return daemon.Token{}, s.failure(daemon.ClassUnavailable, err, "")
	}
	now := time.Now().Round(0)
	data, err := s.read()
	if err != nil {
		return daemon.Token{}, err
	}
	data = bytes.Trim(data, " \t\r\n\v\f")
	if len(data) == 0 {
		return daemon.Token{}, s.failure(daemon.ClassUnavailable, errors.New("holds nothing but white space"), writerHint)
	}
	value := string(data)
	if s.field != "" {
		if value, err = s.member(data); err != nil {
			return daemon.Token{}, err
		}
	}
	return s.token(value, now)
}

// read returns the file as it is. That it is absent or empty is for its writer to mend.
func (s *Source) read() ([]byte, error) {
	data, err := input.Read("token file", s.path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, input.ErrEmpty) {
		err = &daemon.Failure{Class: daemon.ClassUnavailable, Hint: writerHint, Err: err}
	}
	return data, err
}

const writerHint = "the program that writes the file has to write a token first; look at that program"

// member returns the text of the configured member. Its errors hold nothing of the file.
func (s *Source) member(data []byte) (string, error) {
	var whole json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&whole); errors.Is(err, io.ErrUnexpectedEOF) {
		return "", s.failure(daemon.ClassUnavailable, errors.New("ends within a JSON text"),
			"the program that writes the file should rename a finished one over it")
	}
	members, err := claims.Members(data)
	if err != nil {
		return "", s.failure(daemon.ClassMalformed, err, "leave field empty if the whole file is the token")
	}
	for _, m := range members {
		var value string
		if m.Name == s.field && json.Unmarshal(m.Value, &value) == nil && value != "" {
			return value, nil
		}
	}
	return "", s.failure(daemon.ClassMalformed, fmt.Errorf("has no text in the member %.200q", s.field),
		"member names are compared exactly")
}

// token adds what a JWT says of its own life. A file may have been there for long, so an earlier iat is the start of it.
func (s *Source) token(value string, now time.Time) (daemon.Token, error) {
	t := daemon.Token{Value: daemon.NewSecret(value), Type: "Bearer", IssuedAt: now}
	c, err := claims.Parse(value)
	if errors.Is(err, claims.ErrOpaque) {
		return t, nil
	}
	if err != nil {
		return daemon.Token{}, s.failure(daemon.ClassMalformed, err, "")
	}
	t.Notices = c.Notices
	expires, notice := c.Expiry(now)
	if notice != "" {
		t.Notices = append(t.Notices, notice)
	}
	if !expires.IsZero() && !expires.After(now) {
		return daemon.Token{}, s.failure(daemon.ClassUnavailable, fmt.Errorf("the token expired at %s, %s ago by this machine's clock",
			expires.Format(time.RFC3339), now.Sub(expires).Round(time.Second)),
			"the program that writes the file has stopped renewing it, or the clocks differ")
	}
	t.ExpiresAt = expires
	if !c.IssuedAt.IsZero() && c.IssuedAt.Before(now) {
		t.IssuedAt = c.IssuedAt
	}
	return t, nil
}

func (s *Source) failure(class daemon.Class, err error, hint string) *daemon.Failure {
	return &daemon.Failure{Class: class, Hint: hint, Err: fmt.Errorf("token file %q: %w", s.path, err)}
}
