// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package reissue is a source that verifies an existing JWT and issues it again with a later exp, signed by the same
// key. It changes nothing else: header and claims keep their bytes. It does not extend what it could not verify, because
// that would sign whatever somebody puts into the file.
package reissue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/input"
	"github.com/renewd/renewd/daemon/source/internal/keyfile"
)

var (
	_ daemon.Source   = (*Source)(nil)
	_ daemon.Inputs   = (*Source)(nil)
	_ daemon.Rereader = (*Source)(nil)
)

// Source issues a token again. Get one from New. It is safe for concurrent use.
type Source struct {
	config Config
	key    keyfile.File
}

// Check finds what would make an attempt fail, without making one: a key that cannot be used, or no token to begin with.
func (s *Source) Check() error {
	if _, err := s.key.Load(); err != nil {
		return err
	}
	_, err := os.Stat(s.config.TokenFile)
	if err == nil || s.config.SeedFile == "" {
		return s.unavailable(s.config.TokenFile, err)
	}
	_, err = os.Stat(s.config.SeedFile)
	return s.unavailable(s.config.SeedFile, err)
}

func (s *Source) unavailable(path string, err error) error {
	if err == nil {
		return nil
	}
	return &daemon.Failure{Class: daemon.ClassUnavailable, Err: fmt.Errorf("%q cannot be read: there is no token to issue again", path),
		Hint: "name the first token in seedFile"}
}

// Rereads returns the file of the token that is issued again.
func (s *Source) Rereads() string { return s.config.TokenFile }

// Doubts says what is probably not meant, given the absolute paths that the token is published to: re-issuing over and
// over a token that renewd does not replace itself.
func (s *Source) Doubts(published []string) []string {
	if path, err := filepath.Abs(s.config.TokenFile); err != nil || slices.Contains(published, path) {
		return nil
	}
	return []string{fmt.Sprintf("tokenFile %q is not published by renewd: unless another program writes it, nothing can be re-issued from its exp and grace (%v) on",
		s.config.TokenFile, s.config.Grace)}
}

// New checks the text of c and opens nothing. The error joins a *daemon.FieldError for each mistake.
func New(c Config) (*Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Source{config: c, key: keyfile.File{Path: c.KeyFile, Algorithm: c.Algorithm, KeyID: keyfile.None}}, nil
}

// Inputs returns the key file, the seed file if there is one, and the token file, which may be the published one.
func (s *Source) Inputs() []string {
	if s.config.SeedFile == "" {
		return []string{s.config.KeyFile, s.config.TokenFile}
	}
	return []string{s.config.KeyFile, s.config.SeedFile, s.config.TokenFile}
}

// Token reads key and token anew, in this order: the token's algorithm is ours and nothing in it is critical, its
// signature is right, it may be used now, there is room for a later exp; then exp is replaced and the result signed.
//
// Errors are a *daemon.Failure: ClassConfig for the key and for a token file that cannot be opened, ClassRefused for
// what the token is, ClassUnavailable for a token file that is absent, empty or being written, and if ctx is over.
func (s *Source) Token(ctx context.Context) (daemon.Token, error) {
	now := time.Now().Round(0)
	if ctx.Err() != nil {
		return daemon.Token{}, &daemon.Failure{Class: daemon.ClassUnavailable, Err: fmt.Errorf("reissue: %w", ctx.Err())}
	}
	key, err := s.key.Load()
	if err != nil {
		return daemon.Token{}, fmt.Errorf("reissue: %w", err)
	}
	where, text, err := s.read()
	if err != nil {
		return daemon.Token{}, fmt.Errorf("reissue: %w", err)
	}
	old, err := s.verify(key, text)
	if err != nil {
		return daemon.Token{}, refused(where, err)
	}
	expires, err := s.extend(old, now)
	if err != nil {
		return daemon.Token{}, refused(where, err)
	}
	renewed, err := key.Sign(old.header, old.withExpiry(expires))
	if err != nil {
		return daemon.Token{}, fmt.Errorf("reissue: %w", err)
	}
	return daemon.Token{
		Value:     daemon.NewSecret(renewed),
		Type:      "Bearer",
		IssuedAt:  now,
		ExpiresAt: expires,
		Notices:   key.Notices(),
	}, nil
}

// read returns the token of the token file, or of the seed file while there is no token file, and where it was.
func (s *Source) read() (where, text string, err error) {
	what, path := "token file", s.config.TokenFile
	data, err := input.Read(what, path)
	if errors.Is(err, fs.ErrNotExist) && s.config.SeedFile != "" {
		what, path = "seed file", s.config.SeedFile
		data, err = input.Read(what, path)
	}
	where, text = fmt.Sprintf("%s %q", what, path), trim(string(data))
	if err == nil && text == "" {
		err = fmt.Errorf("%s: %w", where, input.ErrEmpty)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, input.ErrEmpty) {
		err = &daemon.Failure{Class: daemon.ClassUnavailable, Err: err, Hint: "put a token there, or name one as seedFile"}
	}
	return where, text, err
}

// refusal is an error with the remedy that its Failure shows.
type refusal struct {
	error
	hint string
}

func refused(where string, err error) error {
	f := &daemon.Failure{Class: daemon.ClassRefused, Err: fmt.Errorf("reissue: %s: %w", where, err)}
	if r, ok := errors.AsType[*refusal](err); ok {
		f.Hint = r.hint
	}
	return f
}

// verify takes the token apart and proves that its header and payload were signed with our key.
func (s *Source) verify(key *keyfile.Key, text string) (token, error) {
	t, err := parse(text, s.config.Algorithm)
	if err != nil {
		return token{}, err
	}
	if err := key.Verify(t.signingString, t.signature); err != nil {
		return token{}, &refusal{err, fmt.Sprintf("the token must be signed as %s with the key in keyFile", s.config.Algorithm)}
	}
	return t, nil
}
