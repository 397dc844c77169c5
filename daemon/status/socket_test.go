// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// socket serves s on a new socket in a short directory, and returns the path and the way to stop.
func socket(t *testing.T, s *Server) (path string, stop func() error) {
	t.Helper()
	path = filepath.Join(shortDir(t), "admin.sock")
	l, err := s.Socket(path)
	return path, serve(t, l, err)
}

// shortDir is t.TempDir with a path that leaves room for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "renewd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestSocketIsOwnerOnlyFromItsFirstMoment(t *testing.T) {
	s, _ := healthy()
	for umask, want := range map[int]fs.FileMode{0o000: 0o600, 0o022: 0o600, 0o077: 0o600} {
		path := filepath.Join(shortDir(t), "admin.sock")
		// The mode that bind itself gives: nothing of ours has run since.
		old := syscall.Umask(umask)
		config := net.ListenConfig{Control: ownerOnly}
		inner, err := config.Listen(t.Context(), "unix", path)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != fs.ModeSocket|want {
			t.Errorf("umask %03o: %v, %v", umask, info.Mode(), err)
		}
		_ = inner.Close()
	}
	path, _ := socket(t, s)
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestSocketIsRemovedAtTheEnd(t *testing.T) {
	s, _ := healthy()
	path, stop := socket(t, s)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestSocketOfAnotherIsNotRemoved(t *testing.T) {
	s, _ := healthy()
	path, stop := socket(t, s)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l, err := s.Socket(path)
	serve(t, l, err)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := (&Client{Socket: path}).Live(t.Context()); err != nil {
		t.Errorf("the second daemon: %v", err)
	}
}

func TestSocketGoneBeforeTheEndIsNoError(t *testing.T) {
	s, _ := healthy()
	path, stop := socket(t, s)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	s, _ := healthy()
	path := filepath.Join(shortDir(t), "admin.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	l, err := s.Socket(path)
	serve(t, l, err)
	if err := (&Client{Socket: path}).Live(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSocketRefuses(t *testing.T) {
	s, _ := healthy()
	dir := shortDir(t)
	live, _ := socket(t, s)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("keep me"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(live, link); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("x", maxSocketPath-len(dir)))
	for _, c := range []struct{ name, path, want string }{
		{"live", live, "another renewd listens on"},
		{"a file", file, "something else (-rw-------)"},
		{"a directory", dir, "something else (drwx------)"},
		{"a symlink", link, "something else (Lrwxrwxrwx)"},
		{"too long", long, "the path has 108 bytes, and the kernel takes at most 107"},
		{"very long", strings.Repeat("/x", 5000), "the path has 10000 bytes"},
		{"abstract", "@renewd", "not a path"},
		{"abstract by NUL", "\x00renewd", "not a path"},
		{"empty", "", "not a path"},
		{"no directory", filepath.Join(dir, "none", "s"), "no such file or directory"},
		{"below a file", filepath.Join(file, "s"), "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := s.Socket(c.path)
			if err == nil {
				_ = l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 400 {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "keep me" {
		t.Errorf("the file: %q, %v", data, err)
	}
	if err := (&Client{Socket: live}).Live(t.Context()); err != nil {
		t.Errorf("the live daemon: %v", err)
	}
	longest := long[:len(long)-1]
	l, err := s.Socket(longest)
	serve(t, l, err)
	if err := (&Client{Socket: longest}).Live(t.Context()); err != nil {
		t.Errorf("a path of 107 bytes: %v", err)
	}
}

// admit is asked about a real connection of this process, as if it served another uid.
func TestPeerMustHaveTheSameUID(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := admit(conn, os.Geteuid()); err != nil {
		t.Errorf("same uid: %v", err)
	}
	err = admit(conn, os.Geteuid()+1)
	if root := os.Geteuid() == 0; root != (err == nil) {
		t.Errorf("a client of uid %d at a daemon of another: %v", os.Geteuid(), err)
	}
	_ = conn.Close()
	if err := admit(conn, os.Geteuid()); err == nil {
		t.Error("a client about whom the kernel says nothing was admitted")
	}
}

// A client of another uid stays outside, by the mode of the socket and, where somebody has opened that, by its uid. Only
// root can start one; other developers are left with TestPeerMustHaveTheSameUID.
func TestForeignClientGetsNothing(t *testing.T) {
	t.Parallel()
	s, logs := healthy()
	path, _ := socket(t, s)
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	binary := openBinary(t)
	if answer := runAs(t, 65534, binary, path); !strings.Contains(answer, "permission denied") {
		t.Errorf("mode 0600: %s", answer)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if answer := runAs(t, 65534, binary, path); !strings.Contains(answer, "get status: no answer from "+path) {
		t.Errorf("mode 0666: %s", answer)
	}
	if logs.FilterMessage("admin client refused").Len() != 1 {
		t.Error("nothing was logged")
	}
	if answer := runAs(t, 0, binary, path); answer != "<nil>" {
		t.Errorf("root: %s", answer)
	}
}

// openBinary copies this test binary to where every user may run it: the directory that go test builds in is closed.
func openBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "client"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(file, self); err != nil {
		t.Fatal(err)
	}
	if err := file.Chmod(0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

// runAs runs the test binary as another user, as a client of path, and returns the error that the client printed.
func runAs(t *testing.T, uid uint32, binary, path string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary)
	command.Dir = "/"
	command.Env = []string{childSocket + "=" + path, "GORACE=atexit_sleep_ms=0"}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestRemoveIfLeavesWhatChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	other := filepath.Join(t.TempDir(), "o")
	for _, name := range []string{path, other} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen, err := os.Lstat(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := removeIf(path, seen); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("removed although it is another file: %v", err)
	}
}

func TestSocketTakesOrdersAndReads(t *testing.T) {
	s, _ := healthy()
	path, _ := socket(t, s)
	var dialer net.Dialer
	conn, err := dialer.DialContext(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Any Host will do: no browser speaks to a unix socket.
	if _, err := io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(answer), "\r\n\r\nok\n") {
		t.Errorf("%q, %v", answer, err)
	}
}
