// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what sockaddr_un holds less the final NUL, unix(7).
const maxSocketPath = 107

// Socket binds the admin socket at path. Its mode is 0600, less the umask, from its first moment, and a client must
// have the same uid or be root. What a dead process left behind is replaced; a socket that answers, and anything that is no
// socket, is an error and stays.
func (s *Server) Socket(path string) (*Listener, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: ownerOnly}
	inner, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	// The file is removed by us, and only if it is still ours.
	inner.(*net.UnixListener).SetUnlinkOnClose(false)
	ours, err := os.Lstat(path)
	if err != nil {
		_ = inner.Close()
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	uid := os.Geteuid()
	return &Listener{
		handler: s.admin(),
		accept:  &acceptor{Listener: inner, log: s.Log, admit: func(conn net.Conn) error { return admit(conn, uid) }},
		address: path,
		log:     s.Log,
		close: sync.OnceValue(func() error {
			// In this order: as long as the socket is open its inode number cannot be given to another file.
			return errors.Join(removeIf(path, ours), inner.Close())
		}),
	}, nil
}

func checkSocketPath(path string) error {
	switch {
	case len(path) > maxSocketPath:
		return fmt.Errorf("admin socket %q: the path has %d bytes, and the kernel takes at most %d", quotable(path), len(path), maxSocketPath)
	case path == "" || path[0] == '@' || strings.ContainsRune(path, 0):
		// Go takes a leading @ or NUL for Linux's abstract name space, where a socket has no mode.
		return fmt.Errorf("admin socket %q: not a path of a file", quotable(path))
	}
	return nil
}

// removeStale removes a socket that nobody listens on any more.
func removeStale(path string) error {
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("admin socket: %w", err)
	case found.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("admin socket %q: there is something else (%s), which renewd does not replace", quotable(path), found.Mode())
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(context.Background(), "unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("another renewd listens on %q", quotable(path))
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("another renewd listens on %q, and is busy", quotable(path))
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("admin socket: %w", err)
	}
	if err := removeIf(path, found); err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	return nil
}

// removeIf removes path if it still names the file that was seen.
func removeIf(path string, seen fs.FileInfo) error {
	now, err := os.Lstat(path)
	if err == nil && os.SameFile(now, seen) {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ownerOnly runs between socket and bind. Linux gives the file that bind makes the mode of the socket's own inode less the
// umask (unix_bind_bsd in net/unix/af_unix.c), so there is no moment in which anybody else could connect, and the umask,
// which belongs to all goroutines, is left alone.
func ownerOnly(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) })
	return cmp.Or(err, failed)
}

// admit is nil if the client at the other end of conn had the uid given, or root's, when it connected. It stands behind the
// mode of the file, which an administrator may have changed.
func admit(conn net.Conn, uid int) error {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := cmp.Or(err, failed); err != nil {
		return fmt.Errorf("ask who connects: %w", err)
	}
	if peer.Uid != 0 && int(peer.Uid) != uid {
		return fmt.Errorf("uid %d (pid %d) is neither %d nor root", peer.Uid, peer.Pid, uid)
	}
	return nil
}
