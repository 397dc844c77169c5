// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// inChild reports true in a child process that runs this test alone, with attr. In the parent it runs that child.
func inChild(t *testing.T, attr *syscall.SysProcAttr) bool {
	t.Helper()
	const key = "WATCHER_TEST_CHILD"
	if os.Getenv(key) == t.Name() {
		return true
	}
	t.Parallel()
	// By this name the file need not be reachable for another user.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	temp, err := os.MkdirTemp("", "renewd-watcher-") // that of this user may be closed to another
	must(t, err, os.Chmod(temp, 0o777))
	defer func() { _ = os.RemoveAll(temp) }()
	cmd.Env = append(os.Environ(), key+"="+t.Name(), "TMPDIR="+temp)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in the child: %v\n%s", err, out)
	}
	return false
}

// asNobody runs the child without root's power to read everything.
func asNobody() *syscall.SysProcAttr {
	if os.Getuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

func asRootIn(flags uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  flags | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// mountNamespace is a mount namespace of the child's own, in which it may mount.
func mountNamespace() *syscall.SysProcAttr {
	if os.Getuid() == 0 {
		return &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	return asRootIn(syscall.CLONE_NEWNS)
}

func TestPermissions(t *testing.T) {
	if !inChild(t, asNobody()) {
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "one")
	_, r, s := polling(t, path, "one", 300*time.Millisecond)
	must(t, os.Chmod(path, 0))
	r.wants(t, soon, "one", "unreadable")
	if !errors.Is(r.lastErr(), fs.ErrPermission) {
		t.Errorf("error %v, want permission", r.lastErr())
	}
	must(t, os.Chmod(path, 0o600))
	r.wants(t, soon, "one", "unreadable", "one")
	s.reaches(t, path, Inotify, soon)

	closed := filepath.Join(dir, "closed")
	must(t, os.Mkdir(closed, 0o755))
	path = filepath.Join(closed, "file")
	write(t, path, "one")
	must(t, os.Chmod(closed, 0o111))
	w, r, s := polling(t, path, "one", 300*time.Millisecond)
	if st := s.reaches(t, path, Degraded, soon); !errors.Is(st.Cause, unix.EACCES) {
		t.Errorf("cause %v, want EACCES", st.Cause)
	}
	write(t, path, "polled")
	r.wants(t, soon, "one", "polled")
	must(t, os.Chmod(closed, 0o755))
	s.reaches(t, path, Inotify, soon)
	if n := w.Errors()[kindAdd]; n == 0 {
		t.Error("no failure to add was counted")
	}
}

func TestInstanceLimit(t *testing.T) {
	if !inChild(t, asRootIn(0)) {
		return
	}
	const limit = "/proc/sys/user/max_inotify_instances"
	must(t, os.WriteFile(limit, []byte("0"), 0))
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	_, r, s := polling(t, path, "one", 300*time.Millisecond)
	if st := s.reaches(t, path, Degraded, soon); !errors.Is(st.Cause, unix.EMFILE) {
		t.Errorf("cause %v, want EMFILE", st.Cause)
	}
	replace(t, path, "polled")
	r.wants(t, soon, "one", "polled")
	must(t, os.WriteFile(limit, []byte("100"), 0))
	s.reaches(t, path, Inotify, soon)
}

func TestMounts(t *testing.T) { // and what comes and goes over a watched directory
	if !inChild(t, mountNamespace()) {
		return
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	t.Run("subPath", func(t *testing.T) {
		t.Parallel()
		host, path := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "file")
		write(t, host, "one")
		write(t, path, "")
		must(t, unix.Mount(host, path, "", unix.MS_BIND, ""))
		defer func() { _ = unix.Unmount(path, unix.MNT_DETACH) }()
		core, logs := observer.New(zap.WarnLevel)
		r, s := newRecord(), new(states)
		w := &Watcher{Log: zap.New(core), Observe: s.observe}
		w.Set([]File{{Path: path, Poll: 200 * time.Millisecond, Changed: r.changed}})
		start(t, w)
		s.reaches(t, path, StaticMount, soon)
		write(t, host, "in place")
		r.wants(t, soon, "one", "in place")
		replace(t, host, "never seen")
		time.Sleep(600 * time.Millisecond)
		r.wants(t, 0, "one", "in place")
		if n := logs.FilterField(zap.String("path", path)).Len(); n != 1 {
			t.Errorf("%d warnings, want one: %v", n, logs.All())
		}
		must(t, unix.Unmount(path, 0))
		s.reaches(t, path, Inotify, soon)
	})
	t.Run("mounted over, unmounted, mounted again", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		mount := func(text string) {
			must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
			write(t, path, text)
		}
		write(t, path, "under")
		w, r, _ := polling(t, path, "under", 1100*time.Millisecond)
		mount("over")
		w.Recheck()
		r.wants(t, soon, "under", "over")
		replace(t, path, "over2")
		r.wants(t, soon, "under", "over", "over2")
		// The new file system has the device and inode numbers of the old one.
		before, err := statID(dir)
		must(t, err, unix.Unmount(dir, 0))
		mount("again")
		if after, err := statID(dir); err != nil || after != before {
			t.Logf("the mount is told apart by its numbers: %v, %v, %v", before, after, err)
		}
		r.wants(t, soon, "under", "over", "over2", "again")
		replace(t, path, "again2")
		r.wants(t, soon, "under", "over", "over2", "again", "again2")
		must(t, unix.Unmount(dir, unix.MNT_DETACH))
		w.Recheck()
		r.wants(t, soon, "under", "over", "over2", "again", "again2", "under")
	})
	t.Run("one directory by two paths", func(t *testing.T) {
		t.Parallel()
		a, b := t.TempDir(), t.TempDir()
		must(t, unix.Mount(a, b, "", unix.MS_BIND, ""))
		defer func() { _ = unix.Unmount(b, unix.MNT_DETACH) }()
		write(t, filepath.Join(a, "file"), "one")
		ra, rb := newRecord(), newRecord()
		w := new(Watcher)
		w.Set([]File{{Path: filepath.Join(a, "file"), Changed: ra.changed}, {Path: filepath.Join(b, "file"), Changed: rb.changed}})
		start(t, w)
		ra.wants(t, soon, "one")
		rb.wants(t, soon, "one")
		replace(t, filepath.Join(b, "file"), "two")
		ra.wants(t, soon, "one", "two")
		rb.wants(t, soon, "one", "two")
		w.Set([]File{{Path: filepath.Join(b, "file"), Changed: rb.changed}})
		replace(t, filepath.Join(b, "file"), "three")
		rb.wants(t, soon, "one", "two", "three")
	})
}
