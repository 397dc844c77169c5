// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What a file handler may be refused for, besides what the kernel says.
var (
	errNotRegular = errors.New("not a regular file")
	errTaken      = errors.New("another process writes this file")
)

// makeDir makes a directory and its missing parents, each with exactly the mode, and returns it without symlinks.
func makeDir(dir string, perm mode) (string, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if _, err := makeDir(filepath.Dir(dir), perm); err != nil {
			return "", err
		}
		if err := os.Mkdir(dir, 0o700); err == nil {
			if err := os.Chmod(dir, fs.FileMode(perm)); err != nil { // Mkdir obeys the umask
				return "", err
			}
		} else if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return filepath.EvalSymlinks(dir)
}

// realPath returns the file below a directory without symlinks, after a look at what is there.
func realPath(dir, name string) (string, error) {
	file := filepath.Join(dir, name)
	info, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err == nil && info.Mode().Type() == fs.ModeSymlink {
		if file, err = filepath.EvalSymlinks(file); err == nil {
			info, err = os.Lstat(file)
		}
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	return file, err
}

// openLog opens a log file to append, and makes it, for its owner alone, if there is none. Its mode is set by whoever
// writes. O_NOFOLLOW and O_NONBLOCK are for what someone may put in its place after realPath looked.
func openLog(path string) (*os.File, fs.FileInfo, error) {
	const flags = os.O_WRONLY | os.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, flags, 0)
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a symlink, a FIFO
		return nil, nil, errNotRegular
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// lockOf returns the path of the lock of a log file.
func lockOf(path string) string { return path + ".lock" }

// lockLog claims a log file for this process. The lock file stays: removing it would let two processes lock two files.
func lockLog(path string, perm mode) (*os.File, error) {
	f, err := os.OpenFile(lockOf(path), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, fs.FileMode(perm)&0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errTaken
		}
		return nil, err
	}
	return f, nil
}

// probe says which file openLog and makeDir would lead to, without symlinks, and what they would find. It changes nothing.
func probe(dir, name string) (file string, err error) {
	there, below := dir, ""
	for {
		info, err := os.Stat(there)
		if err == nil && !info.IsDir() {
			return "", &fs.PathError{Op: "open", Path: there, Err: unix.ENOTDIR}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		there, below = filepath.Dir(there), filepath.Join(filepath.Base(there), below)
	}
	if err := unix.Access(there, unix.W_OK|unix.X_OK); err != nil {
		return "", fmt.Errorf("directory %.200q: %w", there, err)
	}
	if there, err = filepath.EvalSymlinks(there); err != nil {
		return "", err
	}
	if file, err = realPath(filepath.Join(there, below), name); err == nil {
		if err = unix.Access(file, unix.W_OK); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return file, err
}

// sameFile reports whether two paths lead to one file that exists.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
