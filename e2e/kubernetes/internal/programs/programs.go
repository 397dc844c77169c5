// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package programs builds the programs of a cluster, in the versions that go.mod requires, and keeps them in the user's
// cache. It starts none of them.
package programs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	kubernetes = "k8s.io/kubernetes"
	containerd = "github.com/containerd/containerd/v2"
)

// Program is one that can be built: the package of its main function, and its build tags.
type Program struct{ Name, Package, Tags string }

// Control lists what a cluster without nodes needs, and what installs a chart there.
func Control() []Program {
	return []Program{
		{"control", "./cmd/control", ""},
		{"helm", "helm.sh/helm/v4/cmd/helm", ""},
	}
}

// Node lists what a node needs beside the control plane. Debian has the rest: runc, CNI plug-ins, nftables and iproute2.
func Node() []Program {
	const few = "no_btrfs,no_zfs,no_devmapper,no_aufs,urfave_cli_no_docs"
	return []Program{
		{"node", "./cmd/node", ""},
		{"containerd", containerd + "/cmd/containerd", few},
		{"containerd-shim-runc-v2", containerd + "/cmd/containerd-shim-runc-v2", few},
		{"ctr", containerd + "/cmd/ctr", few},
	}
}

// Build builds what is not in the cache yet, and returns the folder that holds the programs. The folder is named after the
// version of Kubernetes and a digest of everything else the programs are made from. One process builds at a time; others wait.
func Build(ctx context.Context, list []Program) (string, error) {
	module, err := Module()
	if err != nil {
		return "", err
	}
	return buildAll(ctx, module, list)
}

// Server builds the API server of another minor version, such as 1.36, in the version that versions/1.36/go.mod requires, and
// returns its path. It is kept as the programs of Build are.
func Server(ctx context.Context, minor string) (string, error) {
	module, err := Module()
	if err != nil {
		return "", err
	}
	const name = "kube-apiserver"
	module = filepath.Join(module, "versions", minor)
	dir, err := buildAll(ctx, module, []Program{{name, kubernetes + "/cmd/kube-apiserver", ""}})
	return filepath.Join(dir, name), err
}

func buildAll(ctx context.Context, module string, list []Program) (string, error) {
	dir, err := folder(ctx, module)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock the folder of programs: %w", err)
	}
	for _, p := range list {
		if err := build(ctx, module, dir, p); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// Module returns the folder of this module.
func Module() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Renewd builds the program as it is shipped into dir, and returns its path.
func Renewd(ctx context.Context, dir string) (string, error) {
	module, err := Module()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "renewd")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags=nethttpomithttp2", "-ldflags=-s -w", "-o", binary, ".")
	return binary, run(cmd, filepath.Dir(filepath.Dir(module)))
}

// Pod builds the program that the tests' pods run into dir, and returns its path.
func Pod(ctx context.Context, dir string) (string, error) {
	module, err := Module()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "pod")
	return binary, run(exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", binary, "./cmd/pod"), module)
}

func folder(ctx context.Context, module string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	version, err := versionOf(ctx, module)
	if err != nil {
		return "", err
	}
	toolchain, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("ask Go for its version: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(module, "cmd/*/*.go"))
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	digest.Write(toolchain)
	for _, name := range append(files, filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum")) {
		if err := add(digest, name); err != nil {
			return "", err
		}
	}
	return filepath.Join(cache, "renewd-e2e", "kubernetes-"+version+"-"+hex.EncodeToString(digest.Sum(nil))[:12]), nil
}

func add(digest io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(digest, f)
	return err
}

func versionOf(ctx context.Context, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", kubernetes)
	cmd.Dir = module
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the version of Kubernetes: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build compiles a program under another name first, so that what is in the folder is whole.
func build(ctx context.Context, module, dir string, p Program) error {
	path := filepath.Join(dir, p.Name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	version, err := versionOf(ctx, module)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "building %s for Kubernetes %s into %s\n", p.Name, version, dir)
	cmd := exec.CommandContext(ctx, "go", "build", "-tags="+p.Tags, "-ldflags=-s -w"+stamps(version), "-o", path+".new", p.Package)
	if err := run(cmd, module); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// stamps writes the version into the programs, which would otherwise call themselves v0.0.0.
func stamps(version string) string {
	_, after, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(after, ".")
	var text strings.Builder
	for _, place := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for name, value := range map[string]string{"gitVersion": version, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean"} {
			fmt.Fprintf(&text, " -X %s.%s=%s", place, name, value)
		}
	}
	return text.String()
}

func run(cmd *exec.Cmd, dir string) error {
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
