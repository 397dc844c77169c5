// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestResolve(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(top, "d/e"), 0o755))
	write(t, filepath.Join(top, "d/e/f"), "")
	for name, text := range map[string]string{
		"d/l": "e/f", "abs": top + "/d/e", "up": "d/../d//e/./f", "two": "abs/f", "dangling": "d/none", "deep": "d/none/x",
		"self": "self", "root": "/", "d/..data": "e", "d/key": "..data/f", "slash": "d/e/",
	} {
		must(t, os.Symlink(text, filepath.Join(top, name)))
	}
	tests := []struct {
		path string
		want string   // below top
		hops []string // "dir name", below top
		err  error
	}{
		{"d/e/f", "d/e/f", []string{"/d/e f"}, nil},
		{"d//e/./f", "d/e/f", []string{"/d/e f"}, nil},
		{"d/e/../e/f", "d/e/f", []string{"/d/e f"}, nil},
		{"d/l", "d/e/f", []string{"/d l", "/d/e f"}, nil},
		{"abs/f", "d/e/f", []string{" abs", "/d/e f"}, nil},
		{"abs/../e/f", "d/e/f", []string{" abs", "/d/e f"}, nil}, // ".." of where abs leads
		{"up", "d/e/f", []string{" up", "/d/e f"}, nil},
		{"two", "d/e/f", []string{" two", " abs", "/d/e f"}, nil},
		{"slash/f", "d/e/f", []string{" slash", "/d/e f"}, nil},
		{"d/key", "d/e/f", []string{"/d key", "/d ..data", "/d/e f"}, nil},
		{"root" + top + "/d/e/f", "d/e/f", []string{" root", "/d/e f"}, nil},
		{"dangling", "", []string{" dangling", "/d none"}, unix.ENOENT},
		{"deep", "", []string{" deep", "/d none"}, unix.ENOENT},
		{"x/y/z", "", []string{" x"}, unix.ENOENT},
		{"d/e/f/g", "", []string{"/d/e/f g"}, unix.ENOTDIR},
	}
	for _, tt := range tests {
		hops, file, err := resolve(top+"/"+tt.path, nil)
		var got []string
		for _, h := range hops {
			got = append(got, strings.TrimPrefix(h.dir, top)+" "+h.name)
		}
		want := tt.want
		if want != "" {
			want = top + "/" + want
		}
		if file != want || !slices.Equal(got, tt.hops) || (tt.err == nil) != (err == nil) {
			t.Errorf("resolve(%q) = %q, %q, %v; want %q, %q, %v", tt.path, got, file, err, want, tt.hops, tt.err)
		}
	}
	if _, _, err := resolve(top+"/self", nil); err == nil || !strings.Contains(err.Error(), "symbolic links") {
		t.Errorf("a loop of symlinks: %v", err)
	}
}

// FuzzResolve compares with the kernel: both find the same file, or neither does.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{"a", "a/b", "/", "..", "../..", "x/", "./a//b", "link", "a/../link", "...", "/proc/self/exe/x", "d"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		top := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(top, "a"), 0o755))
		write(t, filepath.Join(top, "a", "b"), "")
		if os.Symlink(text, filepath.Join(top, "link")) != nil || strings.ContainsRune(path, 0) {
			return
		}
		path = top + "/" + path
		if strings.Contains(path+text, "proc") || strings.Contains(path+text, "dev") {
			return // magic links are no paths
		}
		_, file, err := resolve(path, nil)
		want, wantErr := os.Stat(path)
		if wantErr != nil {
			if err == nil {
				if _, again := os.Stat(file); again == nil && !strings.HasSuffix(path, "/") && !strings.HasSuffix(text, "/") &&
					!strings.HasSuffix(path, ".") && !strings.HasSuffix(text, ".") {
					t.Errorf("resolve(%q) = %q, the kernel says %v", path, file, wantErr)
				}
			}
			return
		}
		got, gotErr := os.Stat(file)
		if err != nil || gotErr != nil || !os.SameFile(got, want) {
			t.Errorf("link to %q: resolve(%q) = %q, %v, %v", text, path, file, err, gotErr)
		}
	})
}

func TestSplit(t *testing.T) {
	for path, want := range map[string]string{"/a/b": "/a b", "/a/b/c": "/a/b c", "//a": "/ a", "/a": "/ a", "a": "a a", "": " "} {
		if dir, name := split(path); dir+" "+name != want {
			t.Errorf("split(%q) = %q, %q", path, dir, name)
		}
	}
}

const mountinfo = `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
37 36 0:5 / /with\040blank\134and\011tab rw - tmpfs none rw
38 36 0:5 / /end\04 rw - tmpfs none rw
short line
`

func TestMountPoints(t *testing.T) {
	got := mountPoints([]byte(mountinfo))
	for _, want := range []string{"/mnt2", "/with blank\\and\ttab", `/end\04`} {
		if _, ok := got[want]; !ok {
			t.Errorf("%q is not among %v", want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d mount points, want 3: %v", len(got), got)
	}
}

func FuzzMountPoints(f *testing.F) {
	f.Add([]byte(mountinfo))
	f.Add([]byte("1 2 3 4 \\777\\ 6"))
	f.Fuzz(func(t *testing.T, info []byte) {
		for p := range mountPoints(info) {
			if len(p) > len(info) || strings.Contains(p, " ") && !strings.Contains(string(info), `\040`) {
				t.Errorf("%q", p)
			}
		}
	})
}

func TestHints(t *testing.T) {
	for _, err := range []error{unix.EMFILE, unix.ENOSPC, unix.EACCES} {
		if hint(fmt.Errorf("wrapped: %w", err)) == "" {
			t.Errorf("%v has no remedy", err)
		}
	}
}
