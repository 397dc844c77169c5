// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/renewd/renewd/e2e/image"
	"github.com/renewd/renewd/e2e/internal/program"
)

// insideImage is set in the child of TestImage, which has a mount namespace of its own. It holds the folder of the unpacked image.
const insideImage = "E2E_IMAGE"

// nobody is the user of the image: no name, no home, no capabilities.
const nobody = 65532

const imageConfig = `version: 1
tokens:
  - name: orders
    source: {sign: {algorithm: ES256, keyFile: /etc/renewd/signing.pem, claims: {iss: e2e, aud: [anybody]}, ttl: 2s}}
    refresh: {floor: 100ms, spread: false}
    publish:
      - {file: /run/token, mode: "0644"}
      - {directory: /run/set, mode: "0644"}
status: {listen: "127.0.0.1:0", socket: /run/renewd.sock}
`

// TestImage runs the container image as a runtime does: unpacked, mounted read-only, with a tmpfs on /run and the
// configuration on /etc/renewd, as the user and with the command that the image names. There is no /proc, /tmp, /dev, no
// shell and no time zone. The mounts are made in a child process, in whose mount namespace they end with it.
func TestImage(t *testing.T) {
	if root := os.Getenv(insideImage); root != "" {
		testInsideImage(t, root)
		return
	}
	if os.Getuid() != 0 {
		t.Fatal("this test mounts a file system and changes the user: run it as root")
	}
	root := filepath.Join(t.TempDir(), "root")
	unpack(t, root)
	child := exec.Command(os.Args[0], "-test.run=^TestImage$", "-test.v")
	child.Env = append(os.Environ(), insideImage+"="+root)
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: TestImage") {
		t.Errorf("the child tested nothing:\n%s", out)
	}
}

// dockerfile returns the configuration of the image.
func dockerfile(t *testing.T) v1.Config {
	t.Helper()
	config, err := image.ReadDockerfile("../Dockerfile", map[string]string{"VERSION": "v0.0.0", "REVISION": "e2e", "CREATED": "2026-01-02T03:04:05Z"})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// unpack assembles the image for this machine and unpacks it into a new folder.
func unpack(t *testing.T, root string) {
	t.Helper()
	files := filepath.Join(t.TempDir(), "rootfs")
	if out, err := exec.Command("go", "run", "./image/rootfs", "-version", "v0.0.0", files).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	recipe := image.Recipe{Config: dockerfile(t), Roots: map[string]string{runtime.GOARCH: files}}
	index, err := recipe.Index()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	archive := mutate.Extract(img)
	defer archive.Close()
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tar", "-x", "--same-permissions", "--numeric-owner", "-C", root)
	cmd.Stdin = archive
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("unpack: %v\n%s", err, out)
	}
}

func testInsideImage(t *testing.T, root string) {
	mountImage(t, root)
	config := dockerfile(t)
	user := &syscall.Credential{}
	if _, err := fmt.Sscanf(config.User, "%d:%d", &user.Uid, &user.Gid); err != nil || user.Uid != nobody || user.Gid != nobody {
		t.Fatalf("the image's user is %q, %v, want %d:%d", config.User, err, nobody, nobody)
	}
	in := func(args ...string) *exec.Cmd {
		return &exec.Cmd{
			Path: config.Entrypoint[0], Args: append(slices.Clone(config.Entrypoint), args...), Dir: "/", Env: []string{},
			SysProcAttr: &syscall.SysProcAttr{Chroot: root, Credential: user},
		}
	}
	succeed := func(t *testing.T, want string, args ...string) {
		t.Helper()
		out, err := output(in(args...))
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("renewd %s: %q, %v, want %q in it", strings.Join(args, " "), out, err, want)
		}
	}
	token := filepath.Join(root, "run/token")

	t.Run("version", func(t *testing.T) { succeed(t, "renewd v0.0.0 ", "version") })
	t.Run("healthcheck says no before the first token", func(t *testing.T) {
		if out, err := output(in("healthcheck")); err == nil {
			t.Errorf("it succeeded: %q", out)
		}
	})
	t.Run("once", func(t *testing.T) {
		succeed(t, "", "once")
		ownedByNobody(t, token, 0o644)
		ownedByNobody(t, filepath.Join(root, "run/set/token"), 0o644)
		succeed(t, "", "healthcheck")
		succeed(t, "orders", "status")
	})
	t.Run("run", func(t *testing.T) {
		first := read(t, token)
		p, err := program.Start(in(append(slices.Clone(config.Cmd), "--log-level", "INFO")...), filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Kill()
		eventually(t, func() error {
			if now := read(t, token); now == first {
				return fmt.Errorf("the token was not refreshed; renewd said:\n%s", p.Log())
			}
			return nil
		})
		ownedByNobody(t, token, 0o644)
		for _, probe := range []string{"--ready", "--startup", "--live"} {
			succeed(t, "", "healthcheck", probe)
		}
		succeed(t, `"state": "published"`, "status", "-o", "json")
		succeed(t, "", "refresh")
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

// mountImage mounts the image read-only, a tmpfs on /run, and a key and a configuration on /etc/renewd.
func mountImage(t *testing.T, root string) {
	t.Helper()
	etc := t.TempDir()
	newKey(t, etc)
	write(t, etc, "config.yaml", imageConfig)
	for _, dir := range []string{"run", "etc/renewd"} { // a runtime makes the points that it mounts on
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount := func(source, target, kind string, flags uintptr, data string) {
		t.Helper()
		if err := syscall.Mount(source, target, kind, flags, data); err != nil {
			t.Fatalf("mount %s: %v", target, err)
		}
	}
	mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") // nothing of this is seen outside
	mount(root, root, "", syscall.MS_BIND, "")
	run, config := filepath.Join(root, "run"), filepath.Join(root, "etc/renewd")
	mount("tmpfs", run, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, fmt.Sprintf("mode=0755,uid=%d,gid=%d", nobody, nobody))
	mount(etc, config, "", syscall.MS_BIND, "")
	mount("", root, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
	t.Cleanup(func() {
		for _, target := range []string{run, config, root} {
			if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", target, err)
			}
		}
	})
	if err := os.WriteFile(filepath.Join(root, "probe"), nil, 0o600); err == nil {
		t.Fatal("the root is not read-only")
	}
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
