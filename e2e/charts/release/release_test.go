// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package release runs .ci/release and looks at what it built. e2e/image and e2e/host look into the image and the packages.
package release

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	helm "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/renewd/renewd/e2e/charts/chart"
)

// say runs a program in a folder and returns what it printed.
func say(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, stderr.String())
	}
	return string(out)
}

func path(t *testing.T, parts ...string) string {
	t.Helper()
	p, err := chart.Folder(parts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// committed returns a repository of its own whose only commit is the tree as it is now.
func committed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	say(t, path(t), "bash", "-euo", "pipefail", "-c", `git ls-files -z --cached --others --exclude-standard --deduplicate |
		while IFS= read -rd "" file; do if [ -e "$file" ] || [ -L "$file" ]; then printf "%s\0" "$file"; fi; done |
		tar --null -T - -cf - | tar -xf - -C "$1"`, "copy", dir)
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=renewd", "-c", "user.email=renewd@example.com", "commit", "-qm", "release: all of it"}} {
		say(t, dir, "git", args...)
	}
	return dir
}

func TestReleaseOfAnotherTreeThanTheCommitIsRefused(t *testing.T) {
	top := committed(t)
	for name, change := range map[string]func() error{
		"a new file": func() error {
			return os.WriteFile(filepath.Join(top, "daemon", "new.go"), []byte("package daemon\n"), 0o600)
		},
		"a dependency that git ignores, and a chart would hold": func() error {
			return os.WriteFile(filepath.Join(top, "charts", "renewd", "charts", "other-1.0.0.tgz"), nil, 0o600)
		},
		"a new file, and git is told not to look": func() error {
			say(t, top, "git", "config", "status.showUntrackedFiles", "no")
			return os.WriteFile(filepath.Join(top, "daemon", "new.go"), []byte("package daemon\n"), 0o600)
		},
		"a file less":   func() error { return os.Remove(filepath.Join(top, "LICENSE")) },
		"another text":  func() error { return os.WriteFile(filepath.Join(top, "go.mod"), nil, 0o600) },
		"what is added": func() error { say(t, top, "git", "rm", "-q", "--cached", "LICENSE"); return nil },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		dist := filepath.Join(t.TempDir(), "dist")
		cmd := exec.Command(".ci/release", "v1.0.0", dist)
		cmd.Dir = top
		out, err := cmd.CombinedOutput()
		if _, there := os.Stat(dist); err == nil || there == nil || !strings.Contains(string(out), "the tree is not that of its commit") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		say(t, top, "git", "reset", "-q", "--hard")
		say(t, top, "git", "clean", "-fdxq")
		say(t, top, "git", "config", "status.showUntrackedFiles", "normal")
	}
}

func TestRelease(t *testing.T) {
	version := of(t, path(t, "charts", "renewd")).Metadata.Version
	dist := filepath.Join(t.TempDir(), "dist")
	say(t, committed(t), ".ci/release", "v"+version, dist)

	sums := say(t, dist, "sha256sum", "--check", "--strict", "SHA256SUMS")
	for _, file := range []string{
		"install.yaml", "renewd-image.tar", "renewd-linux-amd64", "renewd-linux-arm64", "renewd-linux-amd64.spdx.json", "renewd-linux-arm64.spdx.json", "renewd-" + version + ".tgz", "renewd-lib-" + version + ".tgz",
		"renewd_" + version + "_amd64.deb", "renewd_" + version + "_arm64.deb", "renewd-" + version + "-1.x86_64.rpm", "renewd-" + version + "-1.aarch64.rpm",
	} {
		if !strings.Contains(sums, file+": OK\n") {
			t.Errorf("no sum of %s in\n%s", file, sums)
		}
	}
	if got := strings.Count(sums, "\n"); got != 12 {
		t.Errorf("%d sums, want 12:\n%s", got, sums)
	}
	for arch, machine := range map[string]string{"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"} {
		if header := say(t, dist, "readelf", "-h", "-l", "renewd-linux-"+arch); !strings.Contains(header, machine) || strings.Contains(header, "INTERP") {
			t.Errorf("renewd-linux-%s is not a static program for it:\n%s", arch, header)
		}
	}
	for _, arch := range []string{"amd64", "arm64"} {
		wantParts(t, filepath.Join(dist, "renewd-linux-"+arch), "v"+version)
	}
	address := serveRegistry(t)
	wantPushed(t, address, dist, wantInstall(t, dist))
	for _, name := range []string{"renewd", "renewd-lib"} {
		archive := filepath.Join(dist, name+"-"+version+".tgz")
		sameChart(t, archive, path(t, "charts", name))
		sameChart(t, published(t, address, archive), archive)
	}
}

// wantParts compares what is said of a program's parts with what the Go command reads in it.
func wantParts(t *testing.T, program, version string) {
	t.Helper()
	var list struct {
		SPDXVersion  string `json:"spdxVersion"`
		CreationInfo struct{ Created string }
		Packages     []struct {
			Name, VersionInfo string
			Checksums         []struct{ ChecksumValue string }
			ExternalRefs      []struct{ ReferenceLocator string }
		}
		Relationships []struct{ RelationshipType string }
	}
	text, err := os.ReadFile(program + ".spdx.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(say(t, ".", "go", "version", "-m", program), "\n")
	want := []string{"pkg:golang/github.com/renewd/renewd@" + version, "pkg:golang/stdlib@" + strings.TrimPrefix(strings.Fields(lines[0])[1], "go")}
	for _, line := range lines {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
			want = append(want, "pkg:golang/"+f[1]+"@"+f[2])
		}
	}
	var got []string
	for _, p := range list.Packages {
		got = append(got, p.ExternalRefs[0].ReferenceLocator)
	}
	if !slices.Equal(got, want) || len(want) < 5 || len(list.Relationships) != len(want) {
		t.Errorf("%s has the parts\n%q\nwant\n%q", program, got, want)
	}
	sum := strings.Fields(say(t, ".", "sha256sum", program))[0]
	if list.SPDXVersion != "SPDX-2.3" || list.CreationInfo.Created == "" || list.Packages[0].Checksums[0].ChecksumValue != sum {
		t.Errorf("%s", text)
	}
}

// wantInstall checks that the published file has the objects of the overlay, and the image that was built with it. It returns the
// image's digest.
func wantInstall(t *testing.T, dist string) (digest string) {
	t.Helper()
	var layout struct {
		Manifests []struct{ Digest string }
	}
	text, err := os.ReadFile(filepath.Join(dist, "image", "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &layout); err != nil || len(layout.Manifests) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	if text, err = os.ReadFile(filepath.Join(dist, "install.yaml")); err != nil {
		t.Fatal(err)
	}
	objects, err := chart.Decode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range objects {
		kinds = append(kinds, o.GetKind())
		if o.GetKind() == "ConfigMap" {
			data := o.Object["data"].(map[string]any)
			if want := "ghcr.io/renewd/renewd@" + layout.Manifests[0].Digest; data["image"] != want {
				t.Errorf("the image is %v, want %s", data["image"], want)
			}
		}
	}
	slices.Sort(kinds)
	want := []string{"ConfigMap", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
	if !slices.Equal(kinds, want) {
		t.Errorf("install.yaml has %q, want %q", kinds, want)
	}
	return layout.Manifests[0].Digest
}

// sameChart compares a packed chart with its folder, as Helm reads them.
func sameChart(t *testing.T, archive, folder string) {
	t.Helper()
	got, want := files(t, archive), files(t, folder)
	if len(got) < 5 || !maps.Equal(got, want) {
		t.Errorf("%s has\n%q\nits folder\n%q", filepath.Base(archive), slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// of loads a chart, packed or not.
func of(t *testing.T, name string) *helm.Chart {
	t.Helper()
	c, err := loader.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// files returns the files of a chart and of the charts in it, by name, as Helm reads them.
func files(t *testing.T, name string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, f := range of(t, name).Raw {
		found[f.Name] = string(f.Data)
	}
	return found
}
