// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stream writes to stderr or stdout. A file is written through a descriptor of its own, because Go ends a process that
// gets EPIPE on descriptor 1 or 2.
type stream struct {
	out  io.Writer
	own  *os.File // of out, if that is a file; opened by the first write
	torn bool     // the last write ended within a line
}

func (s *stream) write(l line) error {
	w := s.out
	if f, ok := s.out.(*os.File); ok {
		if err := s.open(f); err != nil {
			return err
		}
		w = s.own
	}
	return writeLine(w, l.text, &s.torn)
}

// writeLine writes one line, and first ends one that was not written to its end. It never leaves a line half written
// without remembering that.
func writeLine(w io.Writer, text []byte, torn *bool) error {
	if *torn {
		text = append([]byte{'\n'}, text...)
	}
	n, err := w.Write(text)
	if n > 0 || !*torn {
		*torn = n > 0 && n < len(text) && text[n-1] != '\n'
	}
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	return err
}

// open duplicates the descriptor of f.
func (s *stream) open(f *os.File) error {
	if s.own != nil {
		return nil
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var fd int
	controlErr := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	if err = errors.Join(controlErr, err); err == nil {
		s.own = os.NewFile(uintptr(fd), f.Name())
	}
	return err
}

func (s *stream) due() time.Duration { return 0 }
func (s *stream) tick()              {}
func (s *stream) sync()              {} // a terminal or a pipe has nothing to sync: EINVAL
func (s *stream) close() {
	if s.own != nil {
		_ = s.own.Close()
		s.own = nil
	}
}

// errnoName returns ENOSPC for its number.
func errnoName(e unix.Errno) string { return unix.ErrnoName(e) }
