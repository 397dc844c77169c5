// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

const maxLinks = 40 // as the kernel

// hop is one name on the way to a file whose change can lead the way elsewhere: each symlink met, and last the file.
type hop struct {
	dir  string // resolved: no symlink in it
	name string
	text string // where the symlink leads; empty for the last hop
	at   *watch // on dir; nil if there is none
}

func (h hop) same(o hop) bool { return h.dir == o.dir && h.name == o.name && h.text == o.text }

// resolve follows an absolute path hop by hop. It appends the hops to hops and returns the path without symlinks. If the
// way ends early the last hop is the entry that is missing or cannot be read, in a directory that exists.
//
// The part of s before start is always resolved; a symlink replaces its own name in s. So a path without any costs no
// allocation but that of the system call.
func resolve(path string, hops []hop) ([]hop, string, error) {
	var target [unix.PathMax]byte
	s, start, links := path, 1, 0
	for start < len(s) {
		end := len(s)
		if i := strings.IndexByte(s[start:], '/'); i >= 0 {
			end = start + i
		}
		dir, name, rest := parent(s, start), s[start:end], strings.TrimLeft(s[end:], "/")
		switch name {
		case "", ".":
			s = join(dir, rest)
			continue
		case "..":
			up := dir[:strings.LastIndexByte(dir, '/')]
			s, start = join(up, rest), len(up)+1
			continue
		}
		n, err := unix.Readlink(s[:end], target[:])
		switch {
		case err == unix.EINVAL && end < len(s): // a directory, or something that is not one: the next step says so
			start = end + 1
		case err == unix.EINVAL:
			return append(hops, hop{dir: dir, name: name}), s, nil
		case err != nil:
			return append(hops, hop{dir: dir, name: name}), "", &fs.PathError{Op: "open", Path: path, Err: err}
		default:
			if links++; links > maxLinks {
				return hops, "", &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
			}
			text := string(target[:n])
			hops = append(hops, hop{dir: dir, name: name, text: text})
			if s = join(text, rest); strings.HasPrefix(text, "/") {
				start = 1
			} else {
				s = join(dir, s)
			}
		}
	}
	return hops, s, nil
}

// parent returns the directory whose entries begin at start.
func parent(s string, start int) string { return s[:max(start-1, 1)] }

func join(dir, rest string) string {
	if rest == "" && dir != "" {
		return dir
	}
	return strings.TrimSuffix(dir, "/") + "/" + rest
}

// fileID is what makes a file or directory the same one, as far as stat can tell.
type fileID struct{ dev, ino uint64 }

func idOf(st *unix.Stat_t) fileID { return fileID{st.Dev, st.Ino} }

func statID(path string) (fileID, error) {
	var st unix.Stat_t
	err := ignoringEINTR(func() error { return unix.Stat(path, &st) })
	return idOf(&st), err
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
