// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package directory publishes a token as a directory of files that switch together, in the layout that the kubelet uses
// for ConfigMaps and Secrets:
//
//	token      -> ..data/token                        what readers open
//	token.json -> ..data/token.json
//	..data     -> ..2026_11_23_04_05_06.0123456789abcdef
//	..2026_11_23_04_05_06.0123456789abcdef/           one generation: token, token.json, further files, .renewd
//
// A rename of ..data switches all files at once. The generation before stays until the next switch, for readers that had
// followed ..data already. The package does not decide when, does not wait and does not try again later.
//
// Limit: a reader that opens two files by their visible names may get one of each generation. It must resolve ..data
// once, or read a single file.
package directory

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/sink/internal/place"
)

// The names in the directory that are always there, and the beginning of temporary ones.
const (
	tokenName  = "token"      // the token itself, no line end
	metaName   = "token.json" // what there is to know about it
	dataLink   = "..data"
	tempPrefix = "..data_tmp-"
)

// Sink publishes to one directory. Set the fields before the first call, and do not copy it afterwards. Write and Read
// may be called at the same time; Write, Check and Remove by one goroutine at a time.
type Sink struct {
	Path  string                   // the directory; made if its parent exists, with the search bits that Mode's readers need
	Name  string                   // the token's name, for token.json
	Files map[string]daemon.Format // further files by name; not token, token.json or .renewd, no slash, no leading ".."
	Mode  fs.FileMode              // permission bits of the files, whatever the umask; 0: 0600
	Owner int                      // user id of all that is made; -1: unchanged
	Group int                      // group id of all that is made; -1: unchanged

	swept atomic.Bool // leftovers of a killed process were looked for
}

var _ daemon.Sink = (*Sink)(nil)

// Paths returns the paths that readers use, that of the token first.
func (s *Sink) Paths() []string {
	names := s.names()
	for i, name := range names {
		names[i] = filepath.Join(s.Path, name)
	}
	return names
}

// Write publishes t, as daemon.Sink says. Where only the record is another one, it is replaced within the generation, and
// where only a visible name is missing, it alone is made: readers notice nothing. It does not look at ctx: the steps take
// no longer than the disk, and a token that was obtained is not thrown away because a deadline passed.
func (s *Sink) Write(_ context.Context, t daemon.Token, r daemon.Record) error {
	return place.Failure("publish", s.Path, s.write(t, r))
}

// write keeps this order, so that a process killed between any two steps leaves one whole generation in force:
//
//  1. make the bytes of all files
//  2. open the directory, or make it; all further steps work in what was opened
//  3. remove leftovers, once
//  4. refuse what is not ours under a name that we need
//  5. look at the generation in force: if it is right, renew its record and its links at most, and stop
//  6. build a new generation beside it, locked
//  7. make the visible links that are missing
//  8. switch: rename a new ..data over the old one
//  9. remove visible links to files that are no longer configured
//  10. fsync the directory
//  11. unlock, and remove generations older than the one before
func (s *Sink) write(t daemon.Token, r daemon.Record) error {
	files, err := s.encode(t)
	if err != nil {
		return err
	}
	d, err := s.openOrMake()
	if err != nil {
		return err
	}
	defer d.Close()
	if err := s.foreign(d); err != nil {
		return err
	}
	old, err := s.current(d)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if files[metaName], err = s.meta(t, old.number); err != nil {
		return err
	}
	r.Token, r.File = t.Digest(), manifest(digests(files))
	if s.holds(old, files) {
		return s.refresh(d, old, r)
	}

	if files[metaName], err = s.meta(t, old.number+1); err != nil {
		return err
	}
	sums := digests(files)
	r.File = manifest(sums)
	doc := document{Version: version, Current: r, Files: sums, Replaced: old.name}
	if err := s.publish(d, files, doc); err != nil {
		return err
	}
	_ = sweep(d)
	return nil
}

// refresh brings the record and the links of a generation up to date that holds the right files already.
func (s *Sink) refresh(d *place.Dir, old generation, r daemon.Record) error {
	changed := false
	if !place.Same(old.doc.Current, r) || !s.recordRight(old) {
		doc := old.doc
		doc.Current = r
		if err := s.replaceRecord(d, old.name, doc); err != nil {
			return err
		}
		changed = true
	}
	linked, err := s.link(d)
	if err != nil {
		return err
	}
	unlinked, err := unlink(d, s.names())
	if err != nil {
		return err
	}
	if changed || linked || unlinked {
		return d.Sync()
	}
	return nil
}

// publish builds a generation and switches to it: steps 6 to 10 of write.
func (s *Sink) publish(d *place.Dir, files map[string][]byte, doc document) error {
	name, lock, err := s.build(d, files, doc)
	if err != nil {
		return err
	}
	defer lock.Close()
	_, err = s.link(d)
	if err == nil {
		err = d.Link(dataLink, tempPrefix, name)
	}
	if err != nil {
		_ = d.Root().RemoveAll(name)
		return err
	}
	if _, err := unlink(d, s.names()); err != nil {
		return err
	}
	return d.Sync()
}

// Read returns what is published, as daemon.Sink says; the times come from the record. The token can be trusted if the
// record knows it, even if another file of the set was altered, which the error then names. Errors are a *daemon.Failure
// of ClassWrite; those about a missing file, link or directory are fs.ErrNotExist.
func (s *Sink) Read(context.Context) (daemon.Token, daemon.Record, error) {
	t, r, err := s.read()
	if err != nil {
		// A switch between two looks: what is there now belongs together.
		t, r, err = s.read()
	}
	return t, r, place.Failure("read", s.Path, err)
}

func (s *Sink) read() (t daemon.Token, r daemon.Record, err error) {
	d, err := place.Open(s.Path)
	if err != nil {
		return t, r, err
	}
	defer d.Close()
	if !s.swept.Swap(true) {
		_ = sweep(d)
	}
	g, err := s.current(d)
	if err != nil {
		return t, r, err
	}
	if g.doc.Version != version {
		return t, r, place.NoRecord()
	}
	if raw, found := g.files[tokenName]; found && place.Digest(raw.data) == g.doc.Current.Token {
		r = g.doc.Current
		t = place.Published(r)
		t.Value = daemon.NewSecret(string(raw.data))
	}
	if err := s.fault(d, g); err != nil {
		return t, r, err
	}
	return t, r, nil
}

// Check reports, without a token, what would make Write fail: a missing parent, an unwritable directory, a full or
// read-only file system, an owner that cannot be set, something foreign under a name that is needed. The error is a
// *daemon.Failure of ClassWrite with a Hint. It makes an empty temporary file, in the parent if the directory is not there
// yet, and removes it.
func (s *Sink) Check() error { return place.Failure("publish", s.Path, s.check()) }

func (s *Sink) check() error {
	if err := s.usable(); err != nil {
		return err
	}
	d, err := place.Open(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if d, err = place.Open(filepath.Dir(s.Path)); err != nil {
			return err
		}
		defer d.Close()
		return d.Try(tempPrefix, s.look())
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if err := s.foreign(d); err != nil {
		return err
	}
	return d.Try(tempPrefix, s.look())
}

// Remove deletes ..data, the visible links into it, all generations and leftovers. The directory stays, and so does
// everything in it that does not have exactly our form. Nothing there is no error. Errors are a *daemon.Failure of
// ClassWrite.
func (s *Sink) Remove(context.Context) error { return place.Failure("remove", s.Path, s.remove()) }

func (s *Sink) remove() error {
	d, err := place.Open(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	// ..data first: all files are gone in the same instant.
	if _, err = dataTarget(d); err == nil {
		err = d.Root().Remove(dataLink)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := unlink(d, nil); err != nil {
		return err
	}
	if err := sweep(d); err != nil {
		return err
	}
	return d.Sync()
}
