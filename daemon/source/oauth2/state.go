// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
	"github.com/renewd/renewd/daemon/source/internal/input"
)

// store is the state file. Beside it lie its lock, .NAME.lock, and while it is written .NAME.new.
type store struct{ path string }

// document is the state as it is written. It holds the refresh token, so it is never printed.
type document struct {
	Version  int       `json:"version"`
	Seed     string    `json:"seed"`
	Token    string    `json:"refreshToken"`
	Sent     string    `json:"sent,omitempty"`
	Again    bool      `json:"again,omitempty"`
	Refused  string    `json:"refused,omitempty"`
	Expires  time.Time `json:"accessExpiresAt,omitzero"`
	LifeSecs int64     `json:"accessLifeSeconds,omitempty"`
}

const version = 1

func (s store) beside(suffix string) string {
	return filepath.Join(filepath.Dir(s.path), "."+filepath.Base(s.path)+suffix)
}

func (s store) failure(class daemon.Class, err error, hint string) error {
	// The paths of temporary files help nobody.
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	} else if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	return &daemon.Failure{Class: class, Err: fmt.Errorf("state file %q: %w", s.path, err), Hint: hint}
}

// writeHint is for a directory that does not take the state.
const writeHint = "mount a durable volume there that renewd may write to; until then the refresh token is not used"

// lock makes this process the only one that uses the state. The lock ends with the process at the latest.
func (s store) lock() (unlock func(), err error) {
	f, err := os.OpenFile(s.beside(".lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, s.failure(daemon.ClassConfig, err, writeHint)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, s.failure(daemon.ClassUnavailable, errors.New("another process uses it"), "let only one process use a refresh token: two would revoke each other's")
		}
		return nil, s.failure(daemon.ClassConfig, err, writeHint)
	}
	return func() { _ = f.Close() }, nil // closing gives the lock back
}

// load reads the state. The zero state stands for a file that is not there.
func (s store) load() (state, error) {
	data, err := input.Read("state file", s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	o, err := endpoint.ParseObject(data)
	var d document
	if err != nil || json.Unmarshal(data, &d) != nil || o.Text("refreshToken") == "" || d.Seed == "" {
		return state{}, s.failure(daemon.ClassConfig, errors.New("is not a state of renewd's"), "remove it to begin anew with refreshTokenFile")
	}
	if d.Version != version {
		return state{}, s.failure(daemon.ClassConfig, fmt.Errorf("has version %d, not %d", d.Version, version), "it is by another version of renewd")
	}
	return state{
		seed: d.Seed, token: daemon.NewSecret(d.Token), sent: d.Sent, again: d.Again, refused: d.Refused,
		expires: d.Expires, life: time.Duration(min(max(0, d.LifeSecs), maxLife)) * time.Second,
	}, nil
}

// maxLife bounds what a file can say, so that it fits a duration.
const maxLife = 10 * 365 * 24 * 60 * 60

// save writes the state so that a power failure leaves the old one or the new one, whole: temporary file, fsync, rename,
// fsync of the directory. The lock is held.
func (s store) save(st state) error {
	data, err := json.Marshal(document{
		Version: version, Seed: st.seed, Token: st.token.Reveal(), Sent: st.sent, Again: st.again, Refused: st.refused,
		Expires: st.expires, LifeSecs: int64(st.life / time.Second),
	})
	if err == nil {
		err = s.replace(data)
	}
	if err != nil {
		return s.failure(daemon.ClassConfig, err, writeHint)
	}
	return nil
}

func (s store) replace(data []byte) error {
	temporary := s.beside(".new")
	// A killed process may have left one; the lock says that nobody is writing it now.
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary, s.path)
	}
	if err != nil {
		_ = os.Remove(temporary) // the first error says what is wrong
		return err
	}
	return syncDirectory(filepath.Dir(s.path))
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing was written through it
	return d.Sync()
}
