// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Release is a build of renewd as it is shipped: stripped, static, and the same bytes wherever it is built.
type Release struct {
	Source  string // the folder of the program's module
	Arch    string // a GOARCH; empty: that of this machine
	Version string // what `renewd version` prints; empty: devel
}

// Module returns the folder of the program's module: the parent of the module in whose folder the caller runs.
func Module() (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Build compiles the release for this machine into dir and returns the path of the program.
func Build(ctx context.Context, dir string) (string, error) {
	source, err := Module()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "renewd")
	return binary, Release{Source: source}.Build(ctx, binary)
}

// Build compiles the release into the file binary. No commit is stamped in, so that a build from an archive of the source
// is the same; the version is. What the builder's environment says of newer processors is not obeyed: nodes may be older.
func (r Release) Build(ctx context.Context, binary string) error {
	link := "-s -w -buildid="
	if r.Version != "" {
		link += " -X github.com/renewd/renewd/daemon/command.release=" + r.Version
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags=nethttpomithttp2", "-ldflags="+link, "-o", binary, ".")
	cmd.Dir = r.Source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS=linux", "GOARCH="+r.Arch, "GOAMD64=v1", "GOARM64=v8.0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build renewd: %w\n%s", err, out)
	}
	return nil
}
