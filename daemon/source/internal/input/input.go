// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package input reads the small files that sources depend on: keys, certificates, tokens. It reads each one whole and
// anew, keeps nothing, and does not look at what the bytes mean.
//
// Limit: a writer that changes the bytes in place, without changing their number, within one tick of the file system's
// clock is not noticed. What the bytes are for (a signature, a key's proof) has to catch that.
package input

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/renewd/renewd/daemon"
)

// Limit is the largest file read, in bytes.
const Limit = 1 << 20

// ErrEmpty says that a file is there and has no bytes.
var ErrEmpty = errors.New("is empty")

// Read returns the bytes of the regular file at path; symbolic links are followed. What names the file's duty in errors,
// such as "key file".
//
// Errors are a *daemon.Failure: ClassUnavailable for a file that changed while it was read, else ClassConfig. They wrap
// fs.ErrNotExist, fs.ErrPermission or ErrEmpty where that is the cause.
func Read(what, path string) ([]byte, error) {
	fail := func(class daemon.Class, err error, hint string) ([]byte, error) {
		return nil, &daemon.Failure{Class: class, Err: fmt.Errorf("%s %q: %w", what, path, err), Hint: hint}
	}
	// Opening a named pipe would otherwise wait for a writer, beyond any deadline.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fail(daemon.ClassConfig, cause(err), remedy(err))
	}
	defer func() { _ = f.Close() }() // nothing was written that could be lost

	before, err := f.Stat()
	if err != nil {
		return fail(daemon.ClassConfig, cause(err), other)
	}
	if !before.Mode().IsRegular() {
		return fail(daemon.ClassConfig, errors.New("is not a regular file"), "give the path of the file itself")
	}
	data, err := io.ReadAll(io.LimitReader(f, Limit+1))
	if err != nil {
		return fail(daemon.ClassConfig, cause(err), other)
	}
	after, err := f.Stat()
	switch {
	case err != nil:
		return fail(daemon.ClassConfig, cause(err), other)
	case torn(before, after):
		return fail(daemon.ClassUnavailable, errors.New("is being written"), "replace such a file by renaming a finished one over it")
	case len(data) == 0:
		return fail(daemon.ClassConfig, ErrEmpty, "look at whoever writes the file")
	case len(data) > Limit:
		return fail(daemon.ClassConfig, fmt.Errorf("is larger than %d bytes", Limit), other)
	}
	return data, nil
}

func torn(before, after fs.FileInfo) bool {
	return before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime())
}

// cause takes operation and path off an error, because both are named already.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "mount the file there or correct the path"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("let uid %d read it; in a pod set securityContext.fsGroup or the volume's defaultMode", os.Geteuid())
	}
	return other
}

const other = "see what the path names"
