// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"bytes"
	"cmp"
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

// write writes no more at once than a pipe takes whole, so that the lines of others who write to it do not end up in ours.
func (s *stream) write(text []byte) (int, error) {
	w := s.out
	if f, ok := s.out.(*os.File); ok {
		if err := s.open(f); err != nil {
			return 0, err
		}
		w = s.own
	}
	return writeLines(w, text[:wholeLines(text, pipeBuf)], &s.torn)
}

const pipeBuf = 4096 // PIPE_BUF of pipe(7)

// wholeLines returns how many bytes of text are lines that fit in room, or the first line if that does not.
func wholeLines(text []byte, room int) int {
	if len(text) <= room {
		return len(text)
	}
	if n := bytes.LastIndexByte(text[:max(room, 0)], '\n'); n >= 0 {
		return n + 1
	}
	return bytes.IndexByte(text, '\n') + 1
}

// writeLines writes lines, and first ends one that was not written to its end. It never leaves a line half written without
// remembering that.
func writeLines(w io.Writer, text []byte, torn *bool) (int, error) {
	if *torn {
		if n, err := w.Write([]byte{'\n'}); n < 1 {
			return 0, cmp.Or(err, io.ErrShortWrite)
		}
	}
	n, err := w.Write(text)
	*torn = n > 0 && n < len(text) && text[n-1] != '\n'
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	return n, err
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
