// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package place does what every sink does below one directory: it reads and replaces single files without ever showing
// half of one, keeps their mode and owner, clears up after a killed process, and says in a sentence why a system call was
// refused. It does not know what a token, a record or a generation is.
//
// Limit: on NFS a rename may be reported as failed although it was done, and another client may see the old file for a
// while.
package place

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
)

// MaxBytes is the size of the largest file that is written or read.
const MaxBytes = 1 << 20

// Attempts bounds how often a temporary file is or a generation is made anew after another process took it for a leftover.
const Attempts = 3

// Dir is a directory that was opened for one operation. Whatever happens to its path meanwhile, all steps work in the
// directory that was opened. It is used by one goroutine.
type Dir struct{ root *os.Root }

// Open opens the directory at path. Symlinks are followed. The caller closes it.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		if _, ok := errors.AsType[syscall.Errno](err); !ok {
			// The one error that os.OpenRoot reports without an errno.
			err = &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
		}
		return nil, err
	}
	return &Dir{root}, nil
}

// Open opens the directory called name in d. The caller closes it.
func (d *Dir) Open(name string) (*Dir, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Dir{root}, nil
}

// Close releases the directory.
func (d *Dir) Close() { _ = d.root.Close() }

// Root gives the steps that only one sink needs: links and generations.
func (d *Dir) Root() *os.Root { return d.root }

// File opens the directory itself, for Readdirnames, Sync, mode, owner and locks. The caller closes it.
func (d *Dir) File() (*os.File, error) {
	return d.root.OpenFile(".", os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
}

// Sync makes the names in the directory survive a power failure. File systems that cannot do that are left in peace.
func (d *Dir) Sync() error {
	f, err := d.File()
	if err != nil {
		return err
	}
	defer f.Close()
	return Sync(f)
}

// Sync is Dir.Sync for a directory that is open.
func Sync(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// Read returns the bytes of the regular file called name and the state of that very file. The state is nil if there is
// no regular file of that name; an error beside a state means that the file is too large or cannot be read.
//
// A link is refused, and no pipe or device is opened. Should a link be put there between the look and the open, it leads
// to another file of the same directory at most, whose bytes the caller's digest will not match.
func (d *Dir) Read(name string) ([]byte, fs.FileInfo, error) {
	info, err := d.root.Lstat(name)
	if err == nil {
		err = regular(info)
	}
	if err != nil {
		return nil, nil, err
	}
	// O_NONBLOCK: should it be a pipe by now, open must not wait for its other end.
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if err != nil {
		return nil, info, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	if err := regular(info); err != nil {
		return nil, nil, err
	}
	if info.Size() > MaxBytes {
		return nil, info, &Refusal{Text: "it is larger than 1 MiB", Hint: "this is not a file that renewd wrote"}
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // cut short since the look at its size
		err = nil
	}
	return data[:n], info, err
}

// regular returns a Refusal unless info is that of a regular file.
func regular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode&fs.ModeSymlink != 0:
		return &Refusal{Text: "it is a symlink, which renewd neither follows nor replaces",
			Hint: "configure the path that the symlink leads to, or remove the symlink"}
	case mode.IsDir():
		return &Refusal{Text: "it is a directory", Hint: "configure a file in it, or publish a directory"}
	default:
		return &Refusal{Text: "it is not a regular file", Hint: "configure another path, or remove what is there"}
	}
}

// Create writes a new file called name, which must not exist:
//
//  1. create it with its final mode, exclusively, so that nothing that was put there is followed or reused
//  2. fchmod, because the umask took bits from the mode
//  3. fchown, if an owner is asked for; before the first byte, so that nobody else could read it
//  4. write, fsync, close; each of them may be the one that says that the disk is full
//
// On any error the file is removed.
func (d *Dir) Create(name string, data []byte, look Look) error {
	// Regular files ignore O_NONBLOCK; it spares the runtime three system calls that would try it out.
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NONBLOCK, look.Mode)
	if err != nil {
		return err
	}
	err = look.Give(f)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = d.root.Remove(name)
	}
	return err
}

// Replace puts a file called name there, in place of an older one if there is one: Create under a temporary name that
// begins with temp, then rename. The caller calls Sync when all names are in place.
func (d *Dir) Replace(name, temp string, data []byte, look Look) error {
	return d.swap(name, temp, func(t string) error { return d.Create(t, data, look) })
}

// Link puts a symlink called name there, in place of what was there, by way of a temporary name that begins with temp.
func (d *Dir) Link(name, temp, target string) error {
	return d.swap(name, temp, func(t string) error { return d.root.Symlink(target, t) })
}

// swap makes something under a temporary name and renames it to name. A starting process may take a temporary file for a
// leftover and remove it: then it is made again.
func (d *Dir) swap(name, temp string, build func(temp string) error) error {
	var err error
	for range Attempts {
		t := temp + Random()
		if err = build(t); err == nil {
			if err = d.root.Rename(t, name); err != nil {
				_ = d.root.Remove(t)
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// Try makes an empty temporary file and removes it again, so that what would refuse a token shows itself before there is
// one.
func (d *Dir) Try(temp string, look Look) error {
	t := temp + Random()
	if err := d.Create(t, nil, look); err != nil {
		return err
	}
	return d.root.Remove(t)
}

// Sweep removes the temporary files whose names are a prefix that ours accepts and what Random returns. What cannot be
// removed is left to the next start: a leftover is no reason to refuse a token.
func (d *Dir) Sweep(ours func(prefix string) bool) {
	names, err := d.Names()
	if err != nil {
		return
	}
	for _, name := range names {
		cut := len(name) - randomDigits
		if cut < 0 || !IsRandom(name[cut:]) || !ours(name[:cut]) {
			continue
		}
		if info, err := d.root.Lstat(name); err == nil && !info.IsDir() {
			_ = d.root.Remove(name)
		}
	}
}

// Names lists the directory, in no order.
func (d *Dir) Names() ([]string, error) {
	f, err := d.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

const randomDigits = 16

// Random returns the part of a name that makes it unique: 16 lower-case hexadecimal digits.
func Random() string { return fmt.Sprintf("%0*x", randomDigits, rand.Uint64()) }

// IsRandom reports whether s has the form of what Random returns.
func IsRandom(s string) bool {
	return len(s) == randomDigits && strings.Trim(s, "0123456789abcdef") == ""
}

// Digest returns the SHA-256 of data in lower-case hexadecimal digits.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
