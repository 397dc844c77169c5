// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/sink/internal/sample"
)

// TestMain makes the test binary its own child: killed in mid-publish, in mounts of its own, or as another user.
func TestMain(m *testing.M) {
	if name := os.Getenv(sample.Role); name != "" {
		os.Exit(child(name, os.Args[1]))
	}
	os.Exit(m.Run())
}

// child runs one of scenarios on dir, or publishes for ever.
func child(name, dir string) int {
	if name == "publish" {
		s := sink(filepath.Join(dir, "token"))
		for n := 0; ; n++ {
			tok, r := sample.Token(n)
			if err := s.Write(context.Background(), tok, r); err != nil {
				fmt.Println(err)
				return 1
			}
			if n == 1 {
				fmt.Print(sample.Publishing)
			}
		}
	}
	if err := scenarios[name].prepare(dir); err != nil {
		fmt.Println("prepare:", err)
		return 1
	}
	s := sink(filepath.Join(dir, "token"))
	if name == "owner" {
		s.Owner = os.Geteuid() + 1
	}
	tok, r := sample.Token(1)
	for label, err := range map[string]error{"check": s.Check(), "write": s.Write(context.Background(), tok, r)} {
		f, ok := errors.AsType[*daemon.Failure](err)
		if !ok {
			fmt.Printf("%s: %v is no failure\n", label, err)
			continue
		}
		fmt.Printf("%s: %s|%s|%s\n", label, f.Class, f, f.Hint)
	}
	if names, err := os.ReadDir(dir); err == nil {
		for _, e := range names {
			fmt.Println("left:", e.Name())
		}
	}
	return 0
}

type scenario struct {
	prepare     func(dir string) error
	check, says string // what Check and Write say; check empty: nothing
	hint        string
	left        []string
}

// scenarios need mounts or another user, and run in a child process that has them.
var scenarios = map[string]scenario{
	"full": {func(dir string) error {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
			return err
		}
		tok, r := sample.Token(0)
		if err := sink(filepath.Join(dir, "token")).Write(context.Background(), tok, r); err != nil {
			return err
		}
		return fill(filepath.Join(dir, "ballast"))
	}, "", "its file system is full (no space left on device)", "sizeLimit", []string{".token.renewd", "ballast", "token"}},
	"read-only": {func(dir string) error {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
		return syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	}, "its file system is mounted read-only", "its file system is mounted read-only (read-only file system)", "emptyDir", nil},
	"mount point": {func(dir string) error {
		path := filepath.Join(dir, "token")
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.WriteFile(path+".source", []byte("old"), 0o600)); err != nil {
			return err
		}
		return syscall.Mount(path+".source", path, "", syscall.MS_BIND, "")
	}, "it is a mount point", "it is a mount point, which cannot be replaced (device or resource busy)", "subPath",
		[]string{".token.renewd", "token", "token.source"}},
	"not permitted": {func(string) error { return nil }, "renewd lacks the permission",
		"renewd lacks the permission (permission denied)", "fsGroup", nil},
	"owner": {func(string) error { return nil }, "its owner may not be changed",
		"its owner may not be changed (operation not permitted)", "CAP_CHOWN", nil},
}

// fill leaves no room in the file system of path.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}

// command returns the test binary as a child: with mounts of its own for the scenarios that mount, for which an ordinary
// user needs a user namespace, and as another user for those about permissions, if this is root.
func command(t *testing.T, name, dir string) *exec.Cmd {
	t.Helper()
	cmd := sample.Child(t.Context(), name, dir)
	root := os.Geteuid() == 0
	switch name {
	case "publish":
	case "not permitted", "owner":
		if root {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
	default:
		sample.OwnMounts(cmd)
	}
	return cmd
}

func TestWhatTheSystemRefusesIsExplained(t *testing.T) {
	for name, c := range scenarios {
		t.Run(name, func(t *testing.T) {
			dir := sample.Dir(t)
			mode := map[string]fs.FileMode{"not permitted": 0o555, "owner": 0o777}[name]
			if err := os.Chmod(dir, cmp.Or(mode, 0o700)); err != nil {
				t.Fatal(err)
			}
			out, err := command(t, name, dir).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var left []string
			for line := range strings.Lines(string(out)) {
				label, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
				says := c.says
				switch {
				case label == "left":
					left = append(left, rest)
					continue
				case label == "check" && c.check == "":
					continue
				case label == "check":
					says = c.check
				}
				if !strings.HasPrefix(rest, `write|publish "`+filepath.Join(dir, "token")+`": `+says) || !strings.Contains(rest, c.hint) {
					t.Errorf("got %s", line)
				}
			}
			if !slices.Equal(left, c.left) && len(left)+len(c.left) > 0 {
				t.Errorf("left %q, want %q", left, c.left)
			}
		})
	}
}

func TestPathsThatCannotBePublishedTo(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(dir string) (path string, err error)
		says    string
	}{
		{"directory missing", func(dir string) (string, error) { return filepath.Join(dir, "no", "token"), nil }, "does not exist"},
		{"file as directory", func(dir string) (string, error) {
			return filepath.Join(dir, "f", "token"), os.WriteFile(filepath.Join(dir, "f"), nil, 0o600)
		}, "part of its path is not a directory"},
		{"symlink", func(dir string) (string, error) {
			path := filepath.Join(dir, "token")
			return path, errors.Join(os.WriteFile(path+".real", []byte("x"), 0o600), os.Symlink("token.real", path))
		}, "it is a symlink"},
		{"dangling symlink", func(dir string) (string, error) {
			path := filepath.Join(dir, "token")
			return path, os.Symlink("nowhere", path)
		}, "it is a symlink"},
		{"directory", func(dir string) (string, error) {
			path := filepath.Join(dir, "token")
			return path, os.Mkdir(path, 0o700)
		}, "it is a directory"},
		{"pipe", func(dir string) (string, error) {
			path := filepath.Join(dir, "token")
			return path, syscall.Mkfifo(path, 0o600)
		}, "it is not a regular file"},
		{"long name", func(dir string) (string, error) {
			return filepath.Join(dir, strings.Repeat("n", 227)), nil
		}, "its name is too long"},
		{"loop", func(dir string) (string, error) {
			path := filepath.Join(dir, "loop")
			return filepath.Join(path, "token"), os.Symlink("loop", path)
		}, "go round in a circle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := sample.Dir(t)
			path, err := c.prepare(dir)
			if err != nil {
				t.Fatal(err)
			}
			before := sample.List(t, dir)
			s := sink(path)
			tok, r := sample.Token(1)
			sample.WantFailure(t, s.Check(), c.says)
			sample.WantFailure(t, s.Write(t.Context(), tok, r), c.says)
			if _, _, err := s.Read(t.Context()); daemon.ClassOf(err) != daemon.ClassWrite {
				t.Errorf("read: %v", err)
			}
			if after := sample.List(t, dir); !slices.Equal(before, after) {
				t.Errorf("left %q", after)
			}
		})
	}
}

func TestLongestNameWorks(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), strings.Repeat("n", 226)))
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	sample.Publish(t, s, 1)
}

func TestParentSymlinkIsFollowedAtEveryWrite(t *testing.T) {
	dir := sample.Dir(t)
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "current")
	s := sink(filepath.Join(link, "token"))
	for n, name := range []string{"a", "b"} {
		_ = os.Remove(link)
		if err := os.Symlink(name, link); err != nil {
			t.Fatal(err)
		}
		sample.Publish(t, s, n)
		if data, err := os.ReadFile(filepath.Join(dir, name, "token")); err != nil || !sample.Whole(data) {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
}

func TestDirectoryMadeAnewIsFound(t *testing.T) {
	dir := filepath.Join(sample.Dir(t), "run")
	s := sink(filepath.Join(dir, "token"))
	for n := range 2 {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		sample.Publish(t, s, n)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read: %v", err)
		}
		if err := s.Remove(t.Context()); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
}

// Whenever the process is killed, the file is whole and its record describes it, and the next start clears up.
func TestKilledProcessLeavesWhatItsRecordDescribes(t *testing.T) {
	leftovers := 0
	for round := 0; round < 25 || leftovers == 0 && round < 1000; round++ {
		dir := sample.Dir(t)
		cmd := command(t, "publish", dir)
		sample.UntilKilled(t, cmd, rand.N(2*time.Millisecond))

		path := filepath.Join(dir, "token")
		data, err := os.ReadFile(path)
		if err != nil || !sample.Whole(data) {
			t.Fatalf("round %d: %d bytes, error %v", round, len(data), err)
		}
		if len(sample.List(t, dir)) > 2 {
			leftovers++
		}
		Sweep([]*Sink{sink(path)})
		tok, _, err := sink(path).Read(t.Context())
		if err != nil || tok.Value.Reveal() != string(data) {
			t.Fatalf("round %d: token %v, error %v", round, tok, err)
		}
		if names := sample.List(t, dir); !slices.Equal(names, []string{".token.renewd", "token"}) {
			t.Fatalf("round %d: directory holds %q", round, names)
		}
	}
	if leftovers == 0 {
		t.Error("no kill left a temporary file: this proves little")
	}
}
