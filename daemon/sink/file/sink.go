// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package file publishes a token as one file, which is replaced in one step: a reader finds the old token or the new one,
// whole, at any moment. It does not decide when, does not wait and does not try again later.
//
// Beside the file BASENAME lies its record .BASENAME.renewd, and while a token is being written a temporary file
// .BASENAME.renewd-tmp- with 16 hexadecimal digits. Two processes that publish to one path disturb each other, but every
// file stays whole.
package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/sink/internal/place"
)

// Sink publishes to one file. Set the fields before the first call. Write and Read may be
// called at the same time; Write, Check and Remove by one goroutine at a time.
type Sink struct {
	Path   string        // the file; its directory must exist, symlinks among its parents are followed at every call
	Format daemon.Format // what the file holds; Read returns the token's Value only if it is a daemon.Decoder
	Mode   fs.FileMode   // permission bits of the file and its record, whatever the umask; 0: 0600
	Owner  int           // user id of both; -1: unchanged
	Group  int           // group id of both; -1: unchanged
}

var _ daemon.Sink = (*Sink)(nil)

// Paths returns the path that readers use.
func (s *Sink) Paths() []string { return []string{s.Path} }

// Write publishes t, as daemon.Sink says. It does not look at ctx: the steps take no longer than the disk, and a token
// that was obtained is not thrown away because a deadline passed.
func (s *Sink) Write(_ context.Context, t daemon.Token, r daemon.Record) error {
	return place.Failure("publish", s.Path, s.write(t, r))
}

// write keeps this order, so that a process killed between any two steps leaves a whole file that its record describes:
//
//  1. make the bytes
//  2. open the directory; all further steps work in what was opened
//  3. look at the file and at the record: what is right stays as it is
//  4. replace the record; it describes the new bytes and those that are there still
//  5. replace the file
//  6. fsync the directory
//
// Each replacement is place.Dir.Replace. It is also how a wrong mode or owner is put right: fchmod in place is refused for
// a file of another user, and would reach through a hard link. Both files are synced, so a power failure leaves what a
// kill would.
func (s *Sink) write(t daemon.Token, r daemon.Record) error {
	data, err := place.Encode(s.Format, t)
	if err != nil {
		return err
	}
	d, err := s.open()
	if err != nil {
		return err
	}
	defer d.Close()

	old, info, err := d.Read(s.base())
	if info == nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	look := s.look()
	fileRight := err == nil && bytes.Equal(old, data) && look.Fault("it", info) == nil
	entries, fault := s.entries(d)
	r.Token, r.File = t.Digest(), place.Digest(data)
	recordRight := fault == nil && place.Same(entries.Current, r)
	if fileRight && recordRight {
		return nil
	}

	if !recordRight {
		next := document{Version: version, Current: r}
		if err == nil && !bytes.Equal(old, data) {
			next.Previous = entries.find(place.Digest(old))
		}
		text, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if err := d.Replace(s.record(), s.temp(), text, look); err != nil {
			return err
		}
	}
	if !fileRight {
		if err := d.Replace(s.base(), s.temp(), data, look); err != nil {
			return err
		}
	}
	return d.Sync()
}

// Read returns what is published, as daemon.Sink says; the times come from the record. Errors are a *daemon.Failure of
// ClassWrite. Only a missing file or directory is fs.ErrNotExist; a file without a record is not.
func (s *Sink) Read(context.Context) (daemon.Token, daemon.Record, error) {
	t, r, err := s.read()
	return t, r, place.Failure("read", s.Path, err)
}

func (s *Sink) read() (t daemon.Token, r daemon.Record, err error) {
	d, err := s.open()
	if err != nil {
		return t, r, err
	}
	defer d.Close()

	data, info, entry, err := s.match(d)
	if err != nil {
		// A publish between the two looks: what is there now belongs together.
		if data, info, entry, err = s.match(d); err != nil {
			return t, r, err
		}
	}
	t, r = place.Published(*entry), *entry
	if decoder, ok := s.Format.(daemon.Decoder); ok {
		found, err := decoder.Decode(data)
		if err != nil || found.Digest() != r.Token {
			// The file is as it was written, so another format wrote it.
			return daemon.Token{}, daemon.Record{}, place.Altered("the token in the file")
		}
		t.Value = found.Value
	}
	if err := s.look().Fault("it", info); err != nil {
		return t, r, err
	}
	_, err = s.entries(d)
	return t, r, err
}

// match reads the file, then the record, and returns the entry that describes the file. In this order one publish in
// between does no harm: the new record still describes the old file.
func (s *Sink) match(d *place.Dir) ([]byte, fs.FileInfo, *daemon.Record, error) {
	data, info, err := d.Read(s.base())
	if err != nil {
		return nil, nil, nil, err
	}
	entries, _ := s.entries(d)
	if entries.Version != version {
		return nil, nil, nil, place.NoRecord()
	}
	entry := entries.find(place.Digest(data))
	if entry == nil {
		return nil, nil, nil, place.Altered("the file")
	}
	return data, info, entry, nil
}

// Check reports, without a token, what would make Write fail: a missing or unwritable directory, a full or read-only file
// system, an owner that cannot be set, a path that is a mount point or no regular file. The error is a *daemon.Failure of
// ClassWrite with a Hint. It makes an empty temporary file and removes it.
func (s *Sink) Check() error { return place.Failure("publish", s.Path, s.check()) }

func (s *Sink) check() error {
	d, err := s.open()
	if err != nil {
		return err
	}
	defer d.Close()
	if _, info, err := d.Read(s.base()); info == nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := place.CheckMount(s.Path); err != nil {
		return err
	}
	return d.Try(s.temp(), s.look())
}

// Remove deletes the file, its record and leftovers. A file that its record does not describe is not ours: it stays, and
// the error says so. Nothing there is no error. Errors are a *daemon.Failure of ClassWrite.
func (s *Sink) Remove(context.Context) error { return place.Failure("remove", s.Path, s.remove()) }

func (s *Sink) remove() error {
	d, err := s.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	_, _, _, err = s.match(d)
	switch {
	case err == nil:
		if err := d.Root().Remove(s.base()); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.Root().Remove(s.record()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.Sync()
}

// Sweep removes what killed processes left behind beside the files of these sinks; each directory is listed once. It is
// for the process that publishes there, at its start: a probe that swept would take away what is being written.
func Sweep(sinks []*Sink) {
	prefixes := map[string]map[string]bool{} // by directory
	for _, s := range sinks {
		dir := filepath.Dir(s.Path)
		if prefixes[dir] == nil {
			prefixes[dir] = map[string]bool{}
		}
		prefixes[dir][s.temp()] = true
	}
	for dir, ours := range prefixes {
		d, err := place.Open(dir)
		if err != nil {
			continue // the first publish will say what is wrong
		}
		d.Sweep(func(prefix string) bool { return ours[prefix] })
		d.Close()
	}
}

func (s *Sink) open() (*place.Dir, error) { return place.Open(filepath.Dir(s.Path)) }

func (s *Sink) base() string     { return filepath.Base(s.Path) }
func (s *Sink) record() string   { return "." + s.base() + ".renewd" }
func (s *Sink) temp() string     { return "." + s.base() + ".renewd-tmp-" }
func (s *Sink) look() place.Look { return place.NewLook(s.Mode, s.Owner, s.Group) }
