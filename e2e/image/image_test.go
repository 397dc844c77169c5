// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/renewd/renewd/e2e/image"
)

// limit is what a node may have to fetch: 4.5 MB.
const limit = 4_500_000

const created = "2026-01-02T03:04:05Z"

var arguments = map[string]string{"VERSION": "v1.2.3", "REVISION": "0123abc", "CREATED": created}

// checkout is the folder that has the Dockerfile.
const checkout = "../.."

// command runs a program in a folder and returns what it printed.
func command(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// build builds the image from a checkout with the commands of a release and returns its digest.
func build(t *testing.T, from, dist string) (digest string) {
	t.Helper()
	e2e := filepath.Join(from, "e2e")
	args := []string{"run", "./image/assemble", "-version", arguments["VERSION"], "-revision", arguments["REVISION"], "-created", created,
		filepath.Join(dist, "image")}
	for _, arch := range []string{"amd64", "arm64"} {
		root := filepath.Join(dist, "rootfs-"+arch)
		command(t, e2e, "go", "run", "./image/rootfs", "-arch", arch, "-version", arguments["VERSION"], root)
		args = append(args, root)
	}
	return command(t, e2e, "go", args...)
}

func TestImageIsWhatTheDockerfileSays(t *testing.T) {
	config, err := image.ReadDockerfile(checkout+"/Dockerfile", arguments)
	if err != nil {
		t.Fatal(err)
	}
	dist := t.TempDir()
	digest := build(t, checkout, dist)
	index := push(t, filepath.Join(dist, "image"), digest)
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		t.Run(m.Platform.Architecture, func(t *testing.T) {
			img, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			file, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if file.Platform().String() != m.Platform.String() || !file.Created.Equal(parse(t)) {
				t.Errorf("made for %s at %s, want %s at %s", file.Platform(), file.Created, m.Platform, created)
			}
			same(t, "the configuration", file.Config, config)
			small(t, img)
			wantFiles(t, img)
		})
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(platforms, want) {
		t.Errorf("platforms %v, want %v", platforms, want)
	}
	t.Run("the Dockerfile, built", func(t *testing.T) { builtByAnEngine(t, dist, config) })
	t.Run("again, elsewhere", func(t *testing.T) {
		foreign := map[string]string{"amd64": "GOARM64=v9.0", "arm64": "GOAMD64=v3"}[runtime.GOARCH] // not that of the builder's own tools
		variable, level, _ := strings.Cut(foreign, "=")
		t.Setenv(variable, level)
		if again := build(t, builderFiles(t), t.TempDir()); again != digest {
			t.Errorf("built in another folder it is %s, want %s", again, digest)
		}
	})
}

// push brings the layout into a registry, under its version, and returns what the registry then has.
func push(t *testing.T, dir, digest string) v1.ImageIndex {
	t.Helper()
	all, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != digest {
		t.Fatalf("the layout has %v, want one entry with the printed digest %s", manifest.Manifests, digest)
	}
	index, err := all.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/renewd/renewd:" + arguments["VERSION"])
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	pushed, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	return pushed
}

// parse returns the time that the image is made with.
func parse(t *testing.T) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, created)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// small checks and tells what a node fetches.
func small(t *testing.T, img v1.Image) {
	t.Helper()
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	size := manifest.Config.Size
	for _, l := range manifest.Layers {
		size += l.Size
	}
	if t.Logf("%d bytes, compressed", size); size > limit || len(manifest.Layers) != 1 {
		t.Errorf("%d bytes in %d layers, want at most %d in one", size, len(manifest.Layers), limit)
	}
}

// wantFiles checks each file of an image, its owner, mode and time.
func wantFiles(t *testing.T, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	stream, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	modes := map[string]string{}
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(parse(t)) {
			t.Errorf("%s is of %d:%d at %s", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		modes[h.Name] = fmt.Sprintf("%o", h.Mode)
		if h.Name == "etc/ssl/certs/ca-certificates.crt" {
			trusted(t, r)
		}
	}
	want := map[string]string{
		"etc/": "755", "etc/ssl/": "755", "etc/ssl/certs/": "755", "etc/ssl/certs/ca-certificates.crt": "644",
		"etc/passwd": "644", "etc/group": "644", "renewd": "755",
	}
	if !maps.Equal(modes, want) {
		t.Errorf("files and modes %v, want %v", modes, want)
	}
}

// trusted checks that a file of certificates is one that Go reads as a whole.
func trusted(t *testing.T, r io.Reader) {
	t.Helper()
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for len(rest) > 0 {
		block, more := pem.Decode(rest)
		if block == nil {
			t.Fatalf("no certificate: %.40q", rest)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !cert.IsCA {
			t.Errorf("certificate %d: %v, CA %v", n, err, cert != nil && cert.IsCA)
		}
		rest = more
		n++
	}
	if n < 100 {
		t.Errorf("only %d certificates", n)
	}
}

// builtByAnEngine builds the stage `prebuilt` of the Dockerfile and compares its configuration with the recipe's.
func builtByAnEngine(t *testing.T, dist string, want v1.Config) {
	work := t.TempDir()
	args := []string{"--root", work + "/store", "--runroot", work + "/run", "--storage-driver", "vfs"}
	context := t.TempDir()
	command(t, context, "mkdir", "dist")
	command(t, context, "cp", "-r", dist+"/rootfs-amd64", "dist/")
	dockerfile, err := filepath.Abs(checkout + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	build := append(slices.Clone(args), "bud", "--quiet", "--isolation", "chroot", "--pull=never", "--target", "prebuilt", "--platform", "linux/amd64")
	for _, k := range slices.Sorted(maps.Keys(arguments)) {
		build = append(build, "--build-arg", k+"="+arguments[k])
	}
	id := command(t, context, "buildah", append(build, "-f", dockerfile, ".")...)
	var found struct {
		OCIv1 struct{ Config v1.Config }
	}
	out := command(t, context, "buildah", append(slices.Clone(args), "inspect", "--type", "image", id)...)
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	got := found.OCIv1.Config
	if len(got.Env) != 1 || !strings.HasPrefix(got.Env[0], "PATH=") {
		t.Errorf("the environment is %q, want the PATH that engines add", got.Env)
	}
	got.Env = nil
	delete(got.Labels, "io.buildah.version")
	same(t, "the engine's configuration", got, want)
}

// same compares by JSON, in which nil and empty are one.
func same(t *testing.T, what string, got, want v1.Config) {
	t.Helper()
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s is\n%s\nwant\n%s", what, a, b)
	}
}

// builderFiles returns a new folder with what the Dockerfile copies into its builder, and the Dockerfile. So a file
// that the Dockerfile forgets fails here.
func builderFiles(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(checkout + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copied := 0
	for _, line := range regexp.MustCompile(`(?m)^COPY ([a-z].*) (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(line[1], "dist/") {
			continue
		}
		into := filepath.Join(dir, line[2])
		parent := filepath.Dir(into)
		if strings.HasSuffix(line[2], "/") {
			parent = into
		}
		if err := os.MkdirAll(parent, 0o755); err != nil {
			t.Fatal(err)
		}
		command(t, checkout, "cp", append(append([]string{"-r"}, strings.Fields(line[1])...), into)...)
		copied++
	}
	if copied < 4 {
		t.Fatalf("only %d COPY lines understood", copied)
	}
	command(t, checkout, "cp", "Dockerfile", dir)
	return dir
}
