// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renewd/renewd/e2e/internal/program"
)

// insideImage is set in the child of TestImage, which has a mount namespace of its own. It holds the path of the binary.
const insideImage = "E2E_IMAGE"

// nobody is the user of the image: no name, no home, no capabilities.
const nobody = 65532

const imageConfig = `version: 1
tokens:
  - name: orders
    source: {sign: {algorithm: ES256, keyFile: /signing.pem, claims: {iss: e2e, aud: [anybody]}, ttl: 2s}}
    refresh: {floor: 100ms, spread: false}
    publish:
      - {file: /run/token, mode: "0644"}
      - {directory: /run/set, mode: "0644"}
status: {listen: "127.0.0.1:0", socket: /run/renewd.sock}
`

// TestImage runs the binary as the container image does: alone in a root file system that is mounted read-only, with one
// tmpfs, as an arbitrary user. There is no /proc, /tmp, /etc, /dev, no shell and no time zone. The mounts are made in a
// child process, in whose mount namespace they end with it.
func TestImage(t *testing.T) {
	if os.Getenv(insideImage) != "" {
		testInsideImage(t)
		return
	}
	if os.Getuid() != 0 {
		t.Fatal("this test mounts a file system and changes the user: run it as root")
	}
	child := exec.Command(os.Args[0], "-test.run=^TestImage$", "-test.v")
	child.Env = append(os.Environ(), insideImage+"="+renewd)
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: TestImage") {
		t.Errorf("the child tested nothing:\n%s", out)
	}
}

func testInsideImage(t *testing.T) {
	image := emptyRoot(t)
	in := func(args ...string) *exec.Cmd {
		return &exec.Cmd{
			Path: "/renewd", Args: append([]string{"renewd"}, args...), Dir: "/", Env: []string{},
			SysProcAttr: &syscall.SysProcAttr{Chroot: image, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}},
		}
	}
	succeed := func(t *testing.T, want string, args ...string) {
		t.Helper()
		out, err := output(in(args...))
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("renewd %s: %q, %v, want %q in it", strings.Join(args, " "), out, err, want)
		}
	}
	token := filepath.Join(image, "run/token")

	t.Run("version", func(t *testing.T) { succeed(t, "renewd ", "version") })
	t.Run("healthcheck says no before the first token", func(t *testing.T) {
		if out, err := output(in("healthcheck", "-c", "/config.yaml")); err == nil {
			t.Errorf("it succeeded: %q", out)
		}
	})
	t.Run("once", func(t *testing.T) {
		succeed(t, "", "once", "-c", "/config.yaml")
		ownedByNobody(t, token, 0o644)
		ownedByNobody(t, filepath.Join(image, "run/set/token"), 0o644)
		succeed(t, "", "healthcheck", "-c", "/config.yaml")
		succeed(t, "orders", "status", "-c", "/config.yaml")
	})
	t.Run("run", func(t *testing.T) {
		first := read(t, token)
		p, err := program.Start(in("run", "--log-level", "INFO", "-c", "/config.yaml"), filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Kill()
		eventually(t, 10*time.Second, func() error {
			if now := read(t, token); now == first {
				return fmt.Errorf("the token was not refreshed; renewd said:\n%s", p.Log())
			}
			return nil
		})
		ownedByNobody(t, token, 0o644)
		for _, probe := range []string{"--ready", "--startup", "--live"} {
			succeed(t, "", "healthcheck", probe, "-c", "/config.yaml")
		}
		succeed(t, `"state": "published"`, "status", "-o", "json", "-c", "/config.yaml")
		succeed(t, "", "refresh", "-c", "/config.yaml")
		for _, path := range []string{"/metrics", "/readyz", "/livez", "/startupz"} {
			if _, err := p.Get(path); err != nil {
				t.Error(err)
			}
		}
		stop(t, p)
		if strings.Contains(p.Log(), "token refresh failed") || strings.Contains(p.Log(), "ERROR") {
			t.Errorf("renewd complained:\n%s", p.Log())
		}
	})
}

// emptyRoot makes a root file system with the binary, a key and a configuration, mounted read-only, and a tmpfs on /run.
func emptyRoot(t *testing.T) string {
	t.Helper()
	image := t.TempDir()
	binary := read(t, renewd)
	if err := os.WriteFile(filepath.Join(image, "renewd"), []byte(binary), 0o755); err != nil {
		t.Fatal(err)
	}
	newKey(t, image)
	write(t, image, "config.yaml", imageConfig)
	run := filepath.Join(image, "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	mount := func(source, target, kind string, flags uintptr, data string) {
		t.Helper()
		if err := syscall.Mount(source, target, kind, flags, data); err != nil {
			t.Fatalf("mount %s: %v", target, err)
		}
	}
	mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") // nothing of this is seen outside
	mount(image, image, "", syscall.MS_BIND, "")
	mount("tmpfs", run, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, fmt.Sprintf("mode=0755,uid=%d,gid=%d", nobody, nobody))
	mount("", image, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
	t.Cleanup(func() {
		for _, target := range []string{run, image} {
			if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", target, err)
			}
		}
	})
	if err := os.WriteFile(filepath.Join(image, "probe"), nil, 0o600); err == nil {
		t.Fatal("the root is not read-only")
	}
	return image
}

func ownedByNobody(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
		return
	}
	if got := info.Mode(); got != mode {
		t.Errorf("%s has mode %v, want %v", filepath.Base(path), got, mode)
	}
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != nobody || owner.Gid != nobody {
		t.Errorf("%s belongs to %d:%d, want %d", filepath.Base(path), owner.Uid, owner.Gid, nobody)
	}
}
