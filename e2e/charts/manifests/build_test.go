// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package manifests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/renewd/renewd/e2e/charts/chart"
	"github.com/renewd/renewd/e2e/charts/schema"
)

// kustomize is the newest one that Go 1.26 builds.
const kustomize = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"

// schemas checks what is built against the schemas of the newest Kubernetes. TestMain makes them once.
var schemas *schema.Validator

func TestMain(m *testing.M) { os.Exit(makeSchemasAndRun(m)) }

func makeSchemasAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "renewd-schemas-")
	if err == nil {
		defer os.RemoveAll(dir)
		schemas, err = schema.New(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build builds a kustomization. Each object must be one that Kubernetes or the Prometheus operator knows, with no field that they
// do not, and with those that they require.
func build(t *testing.T, dir string) map[string]*unstructured.Unstructured {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "run", kustomize, "build", dir)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, stderr.String())
	}
	if err := schemas.Check(dir, string(out), monitoring.SchemeGroupVersion.Group); err != nil {
		t.Errorf("%s: %v", dir, err)
	}
	objects, err := chart.Decode(string(out))
	if err != nil {
		t.Fatal(err)
	}
	decode := strict(t)
	found := map[string]*unstructured.Unstructured{}
	for _, o := range objects {
		text, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := decode.Decode(text, nil, nil); err != nil {
			t.Errorf("%s: %s %s: %v", dir, o.GetKind(), o.GetName(), err)
		}
		found[o.GetKind()+"/"+o.GetName()] = o
	}
	if len(found) == 0 || len(found) != len(objects) {
		t.Fatalf("%s has %d objects with %d names", dir, len(objects), len(found))
	}
	return found
}

// strict decodes the kinds of Kubernetes and the Prometheus operator, and refuses fields that they do not have.
func strict(t *testing.T) runtime.Decoder {
	t.Helper()
	kinds := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, monitoring.AddToScheme} {
		if err := add(kinds); err != nil {
			t.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(kinds, serializer.EnableStrict).UniversalDeserializer()
}

// overlays says which values of the chart each overlay stands for.
var overlays = map[string][]string{
	"default":              nil,
	"openshift":            {"../../../charts/renewd/values-openshift.yaml"},
	"per-namespace-params": {"testdata/per-namespace-params.yaml"},
}

func TestOverlaysAreTheChart(t *testing.T) {
	for _, dir := range folders(t, "overlays") {
		t.Run(dir, func(t *testing.T) {
			values, known := overlays[dir]
			if !known {
				t.Fatal("not in the table: say which values of the chart it stands for")
			}
			got := build(t, folder("overlays", dir))
			namespace := got["Namespace/renewd-system"]
			if namespace == nil {
				t.Fatal("no namespace")
			}
			if restricted := namespace.GetLabels()["pod-security.kubernetes.io/enforce"] == "restricted"; restricted != (dir == "default") {
				t.Errorf("the namespace has the labels %v", namespace.GetLabels())
			}
			delete(got, "Namespace/renewd-system")
			for _, want := range policy(t, values...) {
				name := want.GetKind() + "/" + want.GetName()
				if got[name] == nil || !reflect.DeepEqual(got[name].Object, want.Object) {
					t.Errorf("%s is\n%s\nthe chart has\n%s", name, text(t, got[name]), text(t, want))
				}
				delete(got, name)
			}
			if len(got) > 0 {
				t.Errorf("the chart does not have %v", got)
			}
		})
	}
}

func text(t *testing.T, o any) string {
	t.Helper()
	data, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// folders lists the folders of manifests/NAME.
func folders(t *testing.T, name string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder(name))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// podSpec returns the pod of a workload, which is not copied, and its labels.
func podSpec(t *testing.T, o *unstructured.Unstructured) (spec map[string]any, labels map[string]string) {
	t.Helper()
	path := []string{"spec", "template"}
	if o.GetKind() == "CronJob" {
		path = []string{"spec", "jobTemplate", "spec", "template"}
	}
	field, found, err := unstructured.NestedFieldNoCopy(o.Object, path...)
	if !found || err != nil {
		t.Fatalf("%s has no pod: %v", o.GetKind(), err)
	}
	template := field.(map[string]any)
	labels, _, err = unstructured.NestedStringMap(template, "metadata", "labels")
	if err != nil {
		t.Fatal(err)
	}
	return template["spec"].(map[string]any), labels
}

// fiveKinds builds the kinds of workload with some components.
func fiveKinds(t *testing.T, components ...string) map[string]*unstructured.Unstructured {
	t.Helper()
	dir, err := os.MkdirTemp("testdata", "built-") // kustomize reads no absolute paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var lines strings.Builder
	lines.WriteString("resources: [../five-kinds]\ncomponents:\n")
	for _, c := range components {
		lines.WriteString(fmt.Sprintf("  - ../../%s\n", filepath.ToSlash(folder("components", c))))
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return build(t, dir)
}

func TestSidecarComponentOnEveryKind(t *testing.T) {
	want := pod(t)
	got := fiveKinds(t, "sidecar")
	for kind := range strings.FieldsSeq("Deployment StatefulSet DaemonSet Job CronJob") {
		spec, _ := podSpec(t, got[kind+"/labelled"])
		inits := spec["initContainers"].([]any)
		if !reflect.DeepEqual(inits[:1], want["initContainers"]) {
			t.Errorf("%s: the sidecar is\n%s\nthe library's\n%s", kind, text(t, inits[0]), text(t, want["initContainers"]))
		}
		if len(inits) != 2 || inits[1].(map[string]any)["name"] != "first" {
			t.Errorf("%s: its own init container is lost, or starts before the sidecar:\n%s", kind, text(t, inits))
		}
		volumes := spec["volumes"].([]any)
		if last := len(volumes) - 1; last != len(want["volumes"].([]any)) || !reflect.DeepEqual(volumes[:last], want["volumes"]) || volumes[last].(map[string]any)["name"] != "data" {
			t.Errorf("%s: volumes\n%s\nwant the library's and its own", kind, text(t, volumes))
		}
	}
	spec, _ := podSpec(t, got["Deployment/plain"])
	if inits := spec["initContainers"].([]any); len(inits) != 1 {
		t.Errorf("a workload without the label has\n%s", text(t, inits))
	}
}

func TestPodMonitorComponentInAnyOrder(t *testing.T) {
	got, other := fiveKinds(t, "sidecar", "podmonitor"), fiveKinds(t, "podmonitor", "sidecar")
	for _, built := range []map[string]*unstructured.Unstructured{got, other} {
		for _, name := range []string{"Deployment/labelled", "StatefulSet/labelled", "DaemonSet/labelled", "Job/labelled", "CronJob/labelled"} {
			spec, _ := podSpec(t, built[name])
			sortByName(spec["initContainers"].([]any)[0].(map[string]any)["env"].([]any))
		}
	}
	if !reflect.DeepEqual(other, got) {
		t.Errorf("the order of the components matters:\n%s\n%s", text(t, got), text(t, other))
	}
	monitor := got["PodMonitor/renewd"]
	selector, _, err := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
	if err != nil || len(selector) != 1 {
		t.Fatal(selector, err)
	}
	release, err := chart.Render(chart.Request{Chart: "example-app", Set: []string{
		"renewd.token.configMap=renewd", "renewd.token.audience=renewd.github.io", "renewd.sidecar.metrics.enabled=true",
	}})
	if err != nil {
		t.Fatal(err)
	}
	library, _ := podSpec(t, release.Find("Deployment"))
	want := library["initContainers"].([]any)[0].(map[string]any)
	for kind := range strings.FieldsSeq("Deployment StatefulSet DaemonSet Job CronJob") {
		spec, labels := podSpec(t, got[kind+"/labelled"])
		for k, v := range selector {
			if labels[k] != v {
				t.Errorf("%s: the PodMonitor wants %s=%s, the pod has %v", kind, k, v, labels)
			}
		}
		sidecar := spec["initContainers"].([]any)[0].(map[string]any)
		sortByName(sidecar["env"].([]any))
		sortByName(want["env"].([]any))
		if !reflect.DeepEqual(sidecar, want) {
			t.Errorf("%s: the sidecar is\n%s\nthe library's\n%s", kind, text(t, sidecar), text(t, want))
		}
	}
}
