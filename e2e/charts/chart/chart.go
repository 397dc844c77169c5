// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package chart renders the project's charts as `helm template` does, by Helm's own library. It talks to no cluster.
package chart

import (
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/getter"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Version is the version of Kubernetes that charts are rendered for unless a test says otherwise.
const Version = "v1.37.2"

// Request says what to render. The zero value of a field is that of `helm template`, but for the version and the namespace.
type Request struct {
	Chart       string   // its folder in charts/
	Files       []string // of values
	Set         []string // as in --set
	Kubernetes  string   // the cluster's version; empty: Version
	APIVersions []string // that the cluster has besides its own
	Namespace   string   // empty: renewd-system
}

// Release is what Helm would install.
type Release struct {
	Objects  []*unstructured.Unstructured // in the order of installation
	Hooks    []*unstructured.Unstructured // the test pod
	Manifest string                       // the objects and then the hooks, as text
	Notes    string
}

// Folder returns the path of a folder or file of the module that this one belongs to.
func Folder(parts ...string) (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Join(append([]string{strings.TrimSpace(string(out)), "..", ".."}, parts...)...), nil
}

// Load reads a chart.
func Load(name string) (*chart.Chart, error) {
	path, err := Folder("charts", name)
	if err != nil {
		return nil, err
	}
	log.SetOutput(io.Discard) // Helm says so for each symbolic link that it follows
	defer log.SetOutput(os.Stderr)
	return loader.Load(path)
}

// Render renders a chart. Its error is Helm's, unchanged.
func Render(r Request) (*Release, error) {
	loaded, err := Load(r.Chart)
	if err != nil {
		return nil, err
	}
	return r.Render(loaded)
}

// Render renders the chart that was loaded instead of r.Chart.
func (r Request) Render(loaded *chart.Chart) (*Release, error) {
	given, err := (&values.Options{ValueFiles: r.Files, Values: r.Set}).MergeValues(getter.Providers{})
	if err != nil {
		return nil, err
	}
	version, err := chartutil.ParseKubeVersion(or(r.Kubernetes, Version))
	if err != nil {
		return nil, err
	}
	config := &action.Configuration{}
	config.SetHookOutputFunc(func(_, _, _ string) io.Writer { return io.Discard })
	install := action.NewInstall(config)
	install.DryRun, install.ClientOnly, install.IncludeCRDs = true, true, true
	install.ReleaseName, install.Namespace = "test", or(r.Namespace, "renewd-system")
	install.KubeVersion, install.APIVersions = version, r.APIVersions
	release, err := install.Run(loaded, given)
	if err != nil {
		return nil, err
	}
	out := &Release{Notes: release.Info.Notes, Manifest: release.Manifest}
	if out.Objects, err = Decode(release.Manifest); err != nil {
		return nil, err
	}
	for _, h := range release.Hooks {
		out.Manifest += "\n---\n" + h.Manifest
		objects, err := Decode(h.Manifest)
		if err != nil {
			return nil, err
		}
		out.Hooks = append(out.Hooks, objects...)
	}
	return out, nil
}

// Decode reads the objects of a manifest.
func Decode(manifest string) (objects []*unstructured.Unstructured, err error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096)
	for {
		o := &unstructured.Unstructured{}
		switch err := decoder.Decode(&o.Object); {
		case err == io.EOF:
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("decode a manifest: %w", err)
		case len(o.Object) > 0:
			objects = append(objects, o)
		}
	}
}

// Find returns the object of a kind, or nil.
func (r *Release) Find(kind string) *unstructured.Unstructured {
	for _, o := range append(r.Objects, r.Hooks...) {
		if o.GetKind() == kind {
			return o
		}
	}
	return nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
