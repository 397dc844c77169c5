// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package place

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
)

func TestFailureSaysWhatAndTheRemedy(t *testing.T) {
	open := func(errno syscall.Errno) error { return &fs.PathError{Op: "openat", Path: ".tmp", Err: errno} }
	rename := func(errno syscall.Errno) error {
		return &os.LinkError{Op: "renameat", Old: ".tmp", New: "token", Err: errno}
	}
	for _, c := range []struct {
		err        error
		says, hint string
	}{
		{open(syscall.ENOENT), "its directory does not exist (no such file or directory)", "create the directory"},
		{&fs.PathError{Op: "statat", Err: syscall.ENOENT}, "it does not exist (no such file or directory)", "nothing was published"},
		{open(syscall.ENOTDIR), "part of its path is not a directory", "correct the path"},
		{open(syscall.EACCES), "renewd lacks the permission (permission denied)", "fsGroup"},
		{rename(syscall.EPERM), "renewd lacks the permission (operation not permitted)", "fsGroup"},
		{open(syscall.EROFS), "its file system is mounted read-only", "emptyDir"},
		{&fs.PathError{Op: "sync", Err: syscall.ENOSPC}, "its file system is full", "sizeLimit"},
		{&fs.PathError{Op: "close", Err: syscall.EDQUOT}, "the disk quota is used up", "quota"},
		{rename(syscall.EBUSY), "it is a mount point", "subPath"},
		{rename(syscall.ENOENT), "its temporary file was taken away", "only one process"},
		{rename(syscall.EISDIR), "something that is not renewd's", "remove it"},
		{&fs.PathError{Op: "chown", Err: syscall.EPERM}, "its owner may not be changed", "CAP_CHOWN"},
		{&fs.PathError{Op: "chown", Err: syscall.EINVAL}, "its owner may not be changed", "CAP_CHOWN"},
		{open(syscall.ENAMETOOLONG), "its name is too long", "at most 226 bytes"},
		{open(syscall.ELOOP), "go round in a circle", "symlinks"},
		{&fs.PathError{Op: "sync", Err: syscall.EIO}, "sync did not succeed (input/output error)", ""},
		{Taken(), "its temporary file was taken away", "only one process"},
	} {
		f, ok := errors.AsType[*daemon.Failure](Failure("publish", "/run/t", c.err))
		if !ok || f.Class != daemon.ClassWrite || !strings.HasPrefix(f.Error(), `publish "/run/t": `) ||
			!strings.Contains(f.Error(), c.says) || strings.Contains(f.Error(), ".tmp") || !strings.Contains(f.Hint, c.hint) {
			t.Errorf("%v: got %v, hint %q", c.err, f, f.Hint)
		}
		if errno, ok := errors.AsType[syscall.Errno](c.err); ok && !errors.Is(f, errno) {
			t.Errorf("%v is not wrapped", errno)
		}
	}
	if Failure("publish", "/run/t", nil) != nil {
		t.Error("a failure without an error")
	}
}

func TestMounted(t *testing.T) {
	table := "22 1 8:1 / / rw - ext4 /dev/sda rw\n" +
		"36 22 0:31 /x /run/renewd/token rw,relatime shared:1 - tmpfs tmpfs rw\n" +
		"37 22 0:31 /x /run/a\\040b\\134c rw - tmpfs tmpfs rw\nshort line\n"
	for path, want := range map[string]bool{
		"/run/renewd/token": true, `/run/a b\c`: true, "/run/renewd": false, "/run/renewd/token2": false, "/": true,
	} {
		if got := mounted(table, path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestRandomIsRecognized(t *testing.T) {
	if a, b := Random(), Random(); a == b || !IsRandom(a) || !IsRandom(b) {
		t.Errorf("%q, %q", a, b)
	}
	for _, s := range []string{"", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcde/"} {
		if IsRandom(s) {
			t.Errorf("%q counts as ours", s)
		}
	}
}

func TestSameComparesInstants(t *testing.T) {
	now := time.Now()
	a := daemon.Record{Token: "t", IssuedAt: now, Draw: 0.5}
	b := a
	b.IssuedAt = now.Round(0).UTC()
	if !Same(a, b) {
		t.Error("another zone is another record")
	}
	for _, change := range []func(r *daemon.Record){
		func(r *daemon.Record) { r.Token = "u" }, func(r *daemon.Record) { r.Draw = 0.25 }, func(r *daemon.Record) { r.First = true },
		func(r *daemon.Record) { r.IssuedAt = now.Add(1) }, func(r *daemon.Record) { r.ExpiresAt = now },
	} {
		c := b
		change(&c)
		if Same(a, c) {
			t.Errorf("%+v equals %+v", a, c)
		}
	}
}

func TestLookForDirLetsReadersIn(t *testing.T) {
	for mode, want := range map[fs.FileMode]fs.FileMode{0: 0o700, 0o600: 0o700, 0o640: 0o750, 0o644: 0o755, 0o666: 0o755, 0o444: 0o755} {
		if got := NewLook(mode, -1, -1).ForDir().Mode; got != want {
			t.Errorf("%v: %v", mode, got)
		}
	}
}

// What was opened stays the place of all steps, and names do not lead out of it.
func TestDirIsNotDiverted(t *testing.T) {
	base := t.TempDir()
	inside, outside := filepath.Join(base, "inside"), filepath.Join(base, "outside")
	if err := errors.Join(os.Mkdir(inside, 0o700), os.Mkdir(outside, 0o700)); err != nil {
		t.Fatal(err)
	}
	d, err := Open(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := errors.Join(os.Rename(inside, inside+".moved"), os.Symlink("outside", inside)); err != nil {
		t.Fatal(err)
	}
	look := NewLook(0, -1, -1)
	if err := d.Replace("token", ".tmp-", []byte("x"), look); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(inside+".moved", "token")); err != nil {
		t.Error(err)
	}
	if err := d.Create("../escaped", []byte("x"), look); err == nil {
		t.Error("a name led out of the directory")
	}
	if names, err := os.ReadDir(outside); err != nil || len(names) != 0 {
		t.Errorf("outside holds %v, error %v", names, err)
	}
}

func TestCreateDoesNotFollowOrReuse(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "theirs"), []byte("old"), 0o600), os.Symlink("theirs", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"theirs", "link"} {
		if err := d.Create(name, []byte("new"), NewLook(0, -1, -1)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "link")); err != nil || string(data) != "old" {
		t.Errorf("%q, %v", data, err)
	}
}
