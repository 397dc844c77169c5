// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package host tests the packages for hosts: what is in them, what dpkg does with the .deb in a root file system of its own,
// and what the units allow the service. systemd itself does not run here.
package host

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// built is the folder with the packages, which TestMain builds once: of the versions 1.0.0 and 1.0.1.
var built string

// insideRoot is set in the child of a test that has a mount namespace of its own. It holds the folder with the packages.
const insideRoot = "E2E_HOST"

// checkout is the folder that the program is built from.
const checkout = "../.."

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	if built = os.Getenv(insideRoot); built != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "renewd-host-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, version := range []string{"v1.0.0", "v1.0.1"} {
		dist := filepath.Join(dir, version)
		for _, cmd := range []*exec.Cmd{
			exec.Command("go", "run", "./image/rootfs", "-version", version, "-arch", "amd64", filepath.Join(dist, "rootfs-amd64")),
			exec.Command("../manifests/host/package", version, dist),
		} {
			cmd.Dir = ".."
			if out, err := cmd.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n%s", cmd, err, out)
				return 1
			}
		}
	}
	built = dir
	return m.Run()
}

// packaged returns the one package that matches.
func packaged(t *testing.T, version, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(built, version, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s of %s: %q, %v, want one", pattern, version, found, err)
	}
	return found[0]
}

// root is a root file system: that of this machine, seen through a layer that takes all changes and is thrown away.
type root string

// inRoot runs a test in a child process, in whose mount namespace the root is, and ends with it.
func inRoot(t *testing.T, test func(t *testing.T, r root)) {
	t.Helper()
	if os.Getenv(insideRoot) != "" {
		test(t, newRoot(t))
		return
	}
	if os.Getuid() != 0 {
		t.Fatal("this test mounts file systems: run it as root")
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), insideRoot+"="+built)
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("the child tested nothing:\n%s", out)
	}
}

func newRoot(t *testing.T) root {
	t.Helper()
	mount := func(source, target, kind string, flags uintptr, data string) {
		t.Helper()
		if err := syscall.Mount(source, target, kind, flags, data); err != nil {
			t.Fatalf("mount %s: %v", target, err)
		}
	}
	mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") // nothing of this is seen outside
	layers := t.TempDir()
	mount("tmpfs", layers, "tmpfs", 0, "mode=0755") // an overlay may not lie on another one
	r := root(filepath.Join(layers, "root"))
	for _, dir := range []string{"root", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(layers, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount("overlay", string(r), "overlay", 0, fmt.Sprintf("lowerdir=/,upperdir=%[1]s/upper,workdir=%[1]s/work", layers))
	mount("proc", r.path("proc"), "proc", 0, "")
	mount("/dev", r.path("dev"), "", syscall.MS_BIND, "")
	mount("tmpfs", r.path("run"), "tmpfs", 0, "mode=0755")
	mount("tmpfs", r.path("tmp"), "tmpfs", 0, "mode=1777")
	t.Cleanup(func() {
		if err := syscall.Unmount(layers, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return r
}

// path returns where a file of the root is.
func (r root) path(name string) string { return filepath.Join(string(r), name) }

// command is a command inside the root.
func (r root) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/bin/env", append([]string{name}, args...)...) // env looks for the program inside the root
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: string(r), Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a command inside the root, which must succeed, and returns what it said.
func (r root) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := r.command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// as returns a command line for another user, with nothing but the groups named, as the unit runs the service.
func as(user, group, groups string, args ...string) []string {
	line := []string{"--reuid", user, "--regid", group, "--no-new-privs", "--bounding-set", "-all", "--inh-caps", "-all"}
	if groups == "" {
		return append(append(line, "--clear-groups"), args...)
	}
	return append(append(line, "--groups", groups), args...)
}

// copyIn brings a file into the root's /tmp and returns its path there.
func (r root) copyIn(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inside := "/tmp/" + filepath.Base(file)
	if err := os.WriteFile(r.path(inside), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return inside
}

// read returns the text of a file of the root.
func (r root) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(r.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// write writes a file of the root, and makes its folder.
func (r root) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// edit replaces a text in a file of the root, and returns what the file then has.
func (r root) edit(t *testing.T, name, old, now string) string {
	t.Helper()
	before := r.read(t, name)
	after := strings.Replace(before, old, now, 1)
	if after == before {
		t.Fatalf("no %q in %s", old, name)
	}
	r.write(t, name, after)
	return after
}

// said runs a program outside any root and returns its lines.
func said(t *testing.T, name string, args ...string) []string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, stderr.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
