// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package directory

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/renewd/renewd/daemon/sink/internal/place"
)

// build makes a generation and returns its name and the lock that keeps other processes from taking it for a leftover.
// A process that starts in the instant between making and locking may do so: then another one is made.
func (s *Sink) build(d *place.Dir, files map[string][]byte, doc document) (name string, lock *os.File, err error) {
	record, err := json.Marshal(doc)
	if err != nil {
		return "", nil, err
	}
	for range place.Attempts {
		name = time.Now().UTC().Format(nameLayout) + place.Random()
		if lock, err = s.fill(d, name, files, record); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return name, lock, err
}

// fill makes one generation: directory, lock, files, record, then fsync, mode and owner of the directory. On any error
// it is removed.
func (s *Sink) fill(d *place.Dir, name string, files map[string][]byte, record []byte) (lock *os.File, err error) {
	if err := d.Root().Mkdir(name, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = d.Root().RemoveAll(name)
			if lock != nil {
				_ = lock.Close()
			}
		}
	}()
	sub, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	if lock, err = sub.File(); err != nil {
		return nil, err
	}
	if locked(lock) {
		return lock, place.Taken()
	}
	if _, err := d.Root().Lstat(name); err != nil { // removed before it was locked
		return lock, place.Taken()
	}
	for name, data := range files {
		if err := sub.Create(name, data, s.look()); err != nil {
			return lock, err
		}
	}
	if err := sub.Create(recordName, record, s.look()); err != nil {
		return lock, err
	}
	if err := place.Sync(lock); err != nil {
		return lock, err
	}
	// Last, because a directory that was given away may no longer be written to.
	return lock, s.dirLook().Give(lock)
}

// locked tries to lock an open generation and reports whether another process holds it. The kernel drops the lock when f
// is closed or its process ends. A file system without locks counts as free.
func locked(f *os.File) bool {
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// replaceRecord replaces the record of a generation. Its temporary file lies beside the generation, where leftovers are
// looked for.
func (s *Sink) replaceRecord(d *place.Dir, name string, doc document) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if err := d.Replace(name+"/"+recordName, tempPrefix, data, s.look()); err != nil {
		return err
	}
	sub, err := d.Open(name)
	if err != nil {
		return err
	}
	defer sub.Close()
	return sub.Sync()
}
