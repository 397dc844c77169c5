// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package manifests tests manifests/: what is rendered from the charts is rendered again and compared, and everything is built
// by kustomize and looked at. To render the files anew:
//
//	go test ./manifests -update
package manifests

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/renewd/renewd/e2e/charts/chart"
)

var update = flag.Bool("update", false, "render the files anew")

const header = "# SPDX-License-Identifier: Apache-2.0\n# SPDX-FileCopyrightText: The renewd authors\n\n"

// folder is the path of manifests/ or of something in it.
func folder(parts ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", "manifests"}, parts...)...)
}

// policy renders the chart renewd with the values of manifests/base and more. Labels that only Helm may set are left out.
func policy(t *testing.T, values ...string) []*unstructured.Unstructured {
	t.Helper()
	release, err := chart.Render(chart.Request{Chart: "renewd", Files: append([]string{folder("base/values.yaml")}, values...)})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range release.Objects {
		labels := o.GetLabels()
		for _, l := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance"} {
			delete(labels, l)
		}
		o.SetLabels(labels)
	}
	return release.Objects
}

// pod returns the parts of a pod that charts/renewd-lib brings.
func pod(t *testing.T) map[string]any {
	t.Helper()
	release, err := chart.Render(chart.Request{Chart: "example-app", Set: []string{"renewd.token.configMap=renewd", "renewd.token.audience=renewd.github.io"}})
	if err != nil {
		t.Fatal(err)
	}
	spec, found, err := unstructured.NestedMap(release.Find("Deployment").Object, "spec", "template", "spec")
	if !found || err != nil {
		t.Fatal(found, err)
	}
	return map[string]any{"initContainers": spec["initContainers"], "volumes": spec["volumes"]}
}

// rendered checks that a file is what the charts give, or writes it.
func rendered(t *testing.T, file string, objects ...any) {
	t.Helper()
	var want bytes.Buffer
	want.WriteString(header + "# Rendered from charts/ by `go test ./manifests -update` in e2e/charts.\n")
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		want.WriteString("---\n")
		want.Write(text)
	}
	if *update {
		if err := os.WriteFile(folder(file), want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(folder(file))
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the charts give: %v; run `go test ./manifests -update` in e2e/charts", file, err)
	}
}

func TestRenderedFiles(t *testing.T) {
	base := policy(t)
	var all, differing []any
	for _, o := range base {
		all = append(all, o.Object)
	}
	for _, o := range policy(t, "../../../charts/renewd/values-openshift.yaml") {
		same := func(b *unstructured.Unstructured) bool { return reflect.DeepEqual(b.Object, o.Object) }
		if !slices.ContainsFunc(base, same) {
			differing = append(differing, o.Object)
		}
	}
	rendered(t, "base/renewd.yaml", all...)
	rendered(t, "overlays/openshift/patch.yaml", differing...)

	template := map[string]any{"spec": map[string]any{"template": map[string]any{"spec": pod(t)}}}
	named := func(apiVersion, kind string, spec any) map[string]any {
		return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "any"}, "spec": spec}
	}
	rendered(t, "components/sidecar/patch.yaml", named("apps/v1", "Deployment", template["spec"]))
	rendered(t, "components/sidecar/patch-cronjob.yaml", named("batch/v1", "CronJob", map[string]any{"jobTemplate": template}))

	monitoring := []string{"podMonitor.enabled=true", "podMonitor.renderMode=alwaysRender", "sidecar.metrics.enabled=true", "token.audience=any"}
	release, err := chart.Render(chart.Request{Chart: "renewd", Set: monitoring})
	if err != nil {
		t.Fatal(err)
	}
	monitor := release.Find("PodMonitor")
	monitor.SetLabels(nil)
	monitor.SetNamespace("")
	if err := unstructured.SetNestedStringMap(monitor.Object, map[string]string{"renewd.github.io/metrics": "true"}, "spec", "selector", "matchLabels"); err != nil {
		t.Fatal(err)
	}
	unstructured.RemoveNestedField(monitor.Object, "spec", "namespaceSelector")
	rendered(t, "components/podmonitor/podmonitor.yaml", monitor.Object)
}
