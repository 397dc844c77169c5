// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"crypto/sha256"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Buffers beyond keepBuffer are not kept for the next file.
const (
	firstBuffer = 4 << 10
	keepBuffer  = 64 << 10
)

// errTorn says that the file changed while it was being read, or that its path led elsewhere afterwards.
var errTorn = errors.New("changed while it was read")

// kind is what was found behind a path.
type kind uint8

const (
	unknown kind = iota // nothing was looked at yet
	content
	missing
	unreadable
)

// outcome is what a check found, in a form to compare: the hash of the bytes, or that of the reason why there are none.
type outcome struct {
	kind kind
	sum  [sha256.Size]byte
}

func outcomeOf(data []byte, err error) outcome {
	switch {
	case err == nil:
		return outcome{content, sha256.Sum256(data)}
	case errors.Is(err, fs.ErrNotExist):
		return outcome{kind: missing}
	}
	return outcome{unreadable, sha256.Sum256([]byte(err.Error()))}
}

// finding is one look at a file. The bytes are not part of it.
type finding struct {
	hops    []hop
	id      fileID
	size    int64
	outcome outcome
}

// reader reads whole files into a buffer that it uses again. Not for concurrent use.
type reader struct{ buf []byte }

// baseline looks at a file once. A torn read does no harm: the next look differs from it.
func (r *reader) baseline(path string, limit int64) *finding {
	hops, file, err := resolve(path, nil)
	f := &finding{hops: hops}
	var data []byte
	if err == nil {
		data, f.id, err = r.read(path, file, limit)
	}
	f.size, f.outcome = int64(len(data)), outcomeOf(data, err)
	return f
}

// read returns the bytes of file, to which path resolved. They are valid until the next read.
//
//  1. open without waiting for the other end of a FIFO; only a regular file is read
//  2. read at most limit bytes and one more
//  3. fstat again, and stat the path: nothing moved meanwhile, else errTorn
func (r *reader) read(path, file string, limit int64) ([]byte, fileID, error) {
	failed := func(op string, err error) ([]byte, fileID, error) {
		return nil, fileID{}, &fs.PathError{Op: op, Path: path, Err: err}
	}
	var fd int
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Open(file, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return failed("open", err)
	}
	defer func() { _ = unix.Close(fd) }()

	var before, after, there unix.Stat_t
	if err := unix.Fstat(fd, &before); err != nil {
		return failed("stat", err)
	}
	if before.Mode&unix.S_IFMT != unix.S_IFREG {
		return failed("read", ErrNotRegular)
	}
	if before.Size > limit {
		return failed("read", ErrTooLarge)
	}
	data, err := r.fill(fd, before.Size, limit)
	if err != nil {
		return failed("read", err)
	}
	if err := unix.Fstat(fd, &after); err != nil {
		return failed("stat", err)
	}
	moved := unix.Stat(path, &there) != nil || idOf(&there) != idOf(&before)
	if moved || before.Size != after.Size || before.Mtim != after.Mtim || before.Ctim != after.Ctim {
		return failed("read", errTorn)
	}
	return data, idOf(&before), nil
}

// fill reads to the end. The size is only a first guess: files of /proc say 0.
func (r *reader) fill(fd int, size, limit int64) ([]byte, error) {
	if want := max(int(size)+1, firstBuffer); cap(r.buf) < want {
		r.buf = make([]byte, want)
	}
	buf := r.buf[:cap(r.buf)]
	for n := 0; ; {
		var m int
		err := ignoringEINTR(func() (err error) {
			m, err = unix.Read(fd, buf[n:])
			return err
		})
		n += max(m, 0)
		switch {
		case err != nil:
			return nil, err
		case int64(n) > limit:
			return nil, ErrTooLarge
		case m == 0:
			return buf[:n], nil
		case n == len(buf):
			buf = append(buf, make([]byte, len(buf))...)
			r.buf = buf
		}
	}
}

// shrink lets go of a buffer that one large file needed.
func (r *reader) shrink() {
	if cap(r.buf) > keepBuffer {
		r.buf = nil
	}
}
