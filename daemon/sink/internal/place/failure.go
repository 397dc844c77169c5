// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/renewd/renewd/daemon"
)

// Refusal is an error of ours, not of the operating system: something is there that must not be touched, or is not as it
// should be.
type Refusal struct {
	Text string // a sentence about the path
	Hint string // the remedy
	Err  error  // what it is an instance of, for errors.Is; may be nil
}

// Error returns the sentence.
func (r *Refusal) Error() string { return r.Text }

// Unwrap returns Err.
func (r *Refusal) Unwrap() error { return r.Err }

// Failure makes a *daemon.Failure of an error that the functions of this package or of os.Root returned. The text is
// what we were doing with which path, a sentence of ours and the system's own words in parentheses; names of temporary
// files are left out. It wraps the errno. It returns nil for nil.
func Failure(doing, path string, err error) error {
	if err == nil {
		return nil
	}
	f := &daemon.Failure{Class: daemon.ClassWrite}
	if r, ok := errors.AsType[*Refusal](err); ok {
		f.Hint = r.Hint
		f.Err = fmt.Errorf("%s %q: %w", doing, path, r)
		return f
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		f.Err = fmt.Errorf("%s %q: %w", doing, path, err)
		return f
	}
	var sentence string
	sentence, f.Hint = explain(step(err), errno)
	f.Err = fmt.Errorf("%s %q: %s (%w)", doing, path, sentence, errno)
	return f
}

const (
	taken     = "its temporary file was taken away"
	takenHint = "let only one process publish to this path, and none delete files beside it"
)

// Taken is the Refusal of something temporary that another process removed. It is fs.ErrNotExist, as it would be if a
// system call had found out.
func Taken() error { return &Refusal{Text: taken, Hint: takenHint, Err: fs.ErrNotExist} }

// step names the system call that failed, as package os does.
func step(err error) string {
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Op
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Op
	}
	return "system call"
}

// longestName is how many bytes the name of a published file may have where names have 255: its temporary file has more.
const longestName = 255 - len("."+".renewd-tmp-") - randomDigits

// explain returns the sentence and the remedy for a system call that failed.
func explain(step string, errno syscall.Errno) (sentence, hint string) {
	switch {
	case step == "chown" && (errno == syscall.EPERM || errno == syscall.EINVAL):
		return "its owner may not be changed", "run renewd as root or with CAP_CHOWN and with ids that exist there, or remove owner and group"
	case step == "renameat" && errno == syscall.EBUSY:
		return "it is a mount point, which cannot be replaced", mountHint
	case step == "renameat" && errno == syscall.ENOENT:
		return taken, takenHint
	case errno == syscall.ENOENT && (step == "open" || step == "openat" || step == "mkdirat"):
		return "its directory does not exist", "create the directory, or mount a volume there: renewd does not make it"
	}
	switch errno {
	case syscall.ENOENT:
		return "it does not exist", "nothing was published yet, or something else deletes it"
	case syscall.ENOTDIR:
		return "part of its path is not a directory", "correct the path"
	case syscall.EACCES, syscall.EPERM:
		return "renewd lacks the permission", fmt.Sprintf("user %d must be able to read, search and write the directory:"+
			" change its owner or mode, or set fsGroup in the pod", os.Geteuid())
	case syscall.EROFS:
		return "its file system is mounted read-only", "remove readOnly from renewd's volume mount;" +
			" a ConfigMap, Secret or projected volume is always read-only: use an emptyDir"
	case syscall.ENOSPC:
		return "its file system is full", "free space or inodes, or raise the sizeLimit of the volume"
	case syscall.EDQUOT:
		return "the disk quota is used up", "free space, or raise the quota"
	case syscall.ENAMETOOLONG:
		return "its name is too long", fmt.Sprintf("use a file name of at most %d bytes", longestName)
	case syscall.ELOOP:
		return "the symlinks in its path go round in a circle", "correct the symlinks"
	case syscall.EISDIR, syscall.EEXIST, syscall.ENOTEMPTY:
		return "something that is not renewd's stands where its files belong", "remove it, or configure another path"
	}
	return step + " did not succeed", ""
}
