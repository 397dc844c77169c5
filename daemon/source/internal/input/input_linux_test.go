// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package input

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renewd/renewd/daemon"
)

func TestReadReturnsTheBytes(t *testing.T) {
	dir := t.TempDir()
	want := strings.Repeat("k\r\n\x00", Limit/4)
	write(t, filepath.Join(dir, "..data"), want)
	link := filepath.Join(dir, "key")
	if err := os.Symlink("..data", link); err != nil {
		t.Fatal(err)
	}
	if got, err := Read("key file", link); err != nil || string(got) != want {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("empty"), "")
	write(t, path("large"), strings.Repeat("x", Limit+1))
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", path("loop")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, problem string
		is            error
	}{
		{path("absent"), "no such file or directory", fs.ErrNotExist},
		{path("empty"), "is empty", ErrEmpty},
		{path("large"), "is larger than 1048576 bytes", nil},
		{path("pipe"), "is not a regular file", nil},
		{path("loop"), "too many levels of symbolic links", syscall.ELOOP},
		{dir, "is not a regular file", nil},
	} {
		data, err := Read("token file", c.path)
		if want := `token file "` + c.path + `": ` + c.problem; data != nil || err == nil || err.Error() != want {
			t.Errorf("%d bytes, error %v; want %s", len(data), err, want)
		}
		if daemon.ClassOf(err) != daemon.ClassConfig {
			t.Errorf("%v: class %s", err, daemon.ClassOf(err))
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%v does not wrap %v", err, c.is)
		}
	}
}

// The permission of a thread is enough for this, and unlike that of the process it can be given back.
func TestFileOfAnotherUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "secret")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Geteuid() == 0 {
		if err := unix.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := unix.Setfsuid(0); err != nil {
				t.Error(err)
			}
		}()
	}
	_, err := Read("key file", path)
	if !errors.Is(err, fs.ErrPermission) || daemon.ClassOf(err) != daemon.ClassConfig || !strings.Contains(daemon.HintOf(err), "fsGroup") {
		t.Errorf("got %v, class %s, hint %q", err, daemon.ClassOf(err), daemon.HintOf(err))
	}
}

func TestFileBeingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "short")
	before := stat(t, path)
	if torn(before, stat(t, path)) {
		t.Error("an untouched file counts as torn")
	}
	if err := os.Chtimes(path, time.Time{}, before.ModTime().Add(time.Nanosecond)); err != nil {
		t.Fatal(err)
	}
	if !torn(before, stat(t, path)) {
		t.Error("a new mtime is not noticed")
	}
	before = stat(t, path)
	write(t, path, "longer")
	if err := os.Chtimes(path, time.Time{}, before.ModTime()); err != nil {
		t.Fatal(err)
	}
	if !torn(before, stat(t, path)) {
		t.Error("a new size is not noticed")
	}
}

// A writer that never rests is seen in the act; when it rests, the file is whole again.
func TestReadDuringWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, strings.Repeat("a", Limit))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for size := int64(Limit); ; size = 2*Limit - 1 - size { // in turn Limit and one less
			select {
			case <-stop:
				return
			default:
				_ = f.Truncate(size)
			}
		}
	}()
	var seen error
	for deadline := time.Now().Add(2 * time.Minute); seen == nil && time.Now().Before(deadline); {
		_, seen = Read("key file", path)
	}
	close(stop)
	<-done
	if seen == nil || daemon.ClassOf(seen) != daemon.ClassUnavailable || !strings.HasSuffix(seen.Error(), "is being written") {
		t.Errorf("during writes: %v, class %s", seen, daemon.ClassOf(seen))
	}
	if _, err := Read("key file", path); err != nil {
		t.Errorf("after them: %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
