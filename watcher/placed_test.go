// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPlacedAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "link", "file") // as /var/run is one
	must(t, os.Mkdir(filepath.Join(dir, "real"), 0o755), os.Symlink("real", filepath.Join(dir, "link")))
	placed := func() time.Time {
		t.Helper()
		at, inVolume, err := PlacedAt(path)
		if err != nil || inVolume {
			t.Fatal(inVolume, err)
		}
		return at
	}
	if _, _, err := PlacedAt(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	last := time.Now().Add(-time.Second)
	for name, step := range map[string]func(){
		"written":      func() { write(t, path, "same") },
		"written anew": func() { write(t, path, "same") },
		"renamed over, with an old time": func() {
			write(t, path+".tmp", "same")
			old := time.Now().Add(-time.Hour)
			must(t, os.Chtimes(path+".tmp", old, old))
			time.Sleep(20 * time.Millisecond)
			must(t, os.Rename(path+".tmp", path))
		},
	} {
		time.Sleep(20 * time.Millisecond) // the kernel's clock of inodes ticks more slowly
		step()
		at := placed()
		if !at.After(last) || time.Since(at) > 5*time.Second {
			t.Errorf("%s: %v, before that %v", name, at, last)
		}
		if again := placed(); !again.Equal(at) {
			t.Errorf("%s: it was not touched, and is %v", name, again)
		}
		last = at
	}
}

// A volume counts from its switch, also to the same bytes, and a kubelet that sets owners again changes nothing.
func TestPlacedAtOfAVolume(t *testing.T) {
	v := &volume{dir: t.TempDir()}
	path := filepath.Join(v.dir, "file")
	v.swap(t, "file", "same")
	first, inVolume, err := PlacedAt(path)
	must(t, err)
	if !inVolume {
		t.Error("it is a volume")
	}
	time.Sleep(20 * time.Millisecond)
	must(t, os.Chmod(path, 0o600))
	must(t, os.Lchown(filepath.Join(v.dir, "..data"), os.Getuid(), os.Getgid()))
	if at, _, err := PlacedAt(path); err != nil || !at.Equal(first) {
		t.Errorf("%v %v, want %v", at, err, first)
	}
	v.swap(t, "file", "same")
	if at, _, err := PlacedAt(path); err != nil || !at.After(first) {
		t.Errorf("%v %v, want later than %v", at, err, first)
	}
}
