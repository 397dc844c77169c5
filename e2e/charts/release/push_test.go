// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package release

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/registry"
)

// crane is the program by which a release's image is pushed.
const crane = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"

// wantPushed pushes the image with the command that .ci/release shows, to a registry here. The tag must then be the image that
// install.yaml names: an index around it is one that some engines do not read.
func wantPushed(t *testing.T, address, dist, digest string) {
	t.Helper()
	version := of(t, path(t, "charts", "renewd")).Metadata.Version
	script, err := os.ReadFile(path(t, ".ci", "release"))
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^#   (crane push .*)$`).FindSubmatch(script)
	if shown == nil {
		t.Fatal(".ci/release does not show how the image is pushed")
	}
	command := strings.NewReplacer("ghcr.io", address, "1.2.3", version).Replace(string(shown[1]))
	say(t, filepath.Dir(dist), "bash", "-euc", command)
	if got := strings.TrimSpace(say(t, ".", "crane", "digest", address+"/renewd/renewd:"+version)); got != digest {
		t.Errorf("%s: the tag has the digest %s, install.yaml %s", command, got, digest)
	}
}

// published pushes a packed chart as Helm does, and returns what Helm then gets from there.
func published(t *testing.T, address, archive string) string {
	t.Helper()
	client, err := registry.NewClient(registry.ClientOptPlainHTTP(), registry.ClientOptWriter(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	config, remote := &action.Configuration{RegistryClient: client}, "oci://"+address+"/renewd/charts"
	push := action.NewPushWithOpts(action.WithPushConfig(config), action.WithPlainHTTP(true), action.WithPushOptWriter(io.Discard))
	push.Settings = cli.New()
	if _, err := push.Run(archive, remote); err != nil {
		t.Fatal(err)
	}
	metadata := of(t, archive).Metadata
	pull := action.NewPullWithOpts(action.WithConfig(config))
	pull.Settings, pull.PlainHTTP, pull.Version, pull.DestDir = cli.New(), true, metadata.Version, t.TempDir()
	if _, err := pull.Run(remote + "/" + metadata.Name); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(pull.DestDir, filepath.Base(archive))
}

// serveRegistry starts a registry that ends with the test, and returns its address. crane is then a command.
func serveRegistry(t *testing.T) string {
	t.Helper()
	t.Setenv("GOBIN", t.TempDir())
	t.Setenv("PATH", os.Getenv("GOBIN")+":"+os.Getenv("PATH"))
	say(t, ".", "go", "install", crane)
	cmd := exec.Command("crane", "registry", "serve", "--address", "127.0.0.1:0")
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it serves until then
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if _, port, found := strings.Cut(lines.Text(), "serving on port "); found {
			go func() { // it tells of each request
				for lines.Scan() {
				}
			}()
			return "127.0.0.1:" + port
		}
	}
	t.Fatalf("the registry does not serve: %v", lines.Err())
	return ""
}
