// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package control

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// render renders the chart as a delivery tool does, without a cluster.
func render(t *testing.T, more ...string) string {
	t.Helper()
	args := append([]string{"template", "renewd", chart, "-n", system, "--kube-version", version}, more...)
	return must(t)(helm(t, args...))
}

// objects reads a stream of YAML documents.
func objects(t *testing.T, text string) (list []*unstructured.Unstructured) {
	t.Helper()
	for document := range strings.SplitSeq(text, "\n---") {
		data, err := yaml.ToJSON([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		o := &unstructured.Unstructured{}
		if err := json.Unmarshal(data, &o.Object); err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			list = append(list, o)
		}
	}
	return list
}

// TestLiveObjectsAreTheRenderedOnes compares what the server stored with what the chart says, so that delivery tools, which compare
// the two all the time, show no difference.
func TestLiveObjectsAreTheRenderedOnes(t *testing.T) {
	installed(t)
	rendered := render(t, set(nil)...)
	text := must(t)(kubectl(t, withoutHooks(t, rendered), "get", "-f", "-", "-o", "json"))
	var live unstructured.UnstructuredList
	if err := json.Unmarshal([]byte(text), &live); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, want := range objects(t, rendered) {
		if want.GetAnnotations()["helm.sh/hook"] != "" {
			continue
		}
		for _, got := range live.Items {
			if got.GetKind() != want.GetKind() || got.GetName() != want.GetName() {
				continue
			}
			compared++
			for _, key := range slices.Sorted(maps.Keys(got.Object)) {
				if key == "metadata" || key == "status" {
					continue
				}
				if !equality.Semantic.DeepEqual(got.Object[key], want.Object[key]) {
					t.Errorf("%s %s: %s differs:\nrendered %v\nlive     %v", want.GetKind(), want.GetName(), key, want.Object[key], got.Object[key])
				}
			}
			for key, value := range want.GetLabels() {
				if got.GetLabels()[key] != value {
					t.Errorf("%s %s: label %s is %q, want %q", want.GetKind(), want.GetName(), key, got.GetLabels()[key], value)
				}
			}
		}
	}
	if compared < 5 {
		t.Errorf("only %d objects compared", compared)
	}
	if out, err := kubectl(t, withoutHooks(t, rendered), "diff", "--server-side", "--field-manager=gitops", "-f", "-"); err != nil {
		t.Errorf("kubectl diff: %v\n%s", err, out)
	}
}

func withoutHooks(t *testing.T, rendered string) string {
	t.Helper()
	var list unstructured.UnstructuredList
	list.SetAPIVersion("v1")
	list.SetKind("List")
	for _, o := range objects(t, rendered) {
		if o.GetAnnotations()["helm.sh/hook"] == "" {
			list.Items = append(list.Items, *o)
		}
	}
	text, err := list.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPoliciesAreChecked waits for the server's own type checker, and reads what it thinks of the expressions. A policy with a mistake
// shows that it thinks at all.
func TestPoliciesAreChecked(t *testing.T) {
	installed(t)
	must(t)(kubectl(t, mistaken, "apply", "--server-side", "-f", "-"))
	t.Cleanup(func() {
		err := lab.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(context.Background(), "mistaken", metav1.DeleteOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	trial.Eventually(t, 30*time.Second, func() error {
		list, err := lab.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		warned := map[string]string{}
		for _, p := range list.Items {
			if p.Status.TypeChecking == nil || p.Status.ObservedGeneration != p.Generation {
				return fmt.Errorf("%s was not checked yet: %+v", p.Name, p.Status)
			}
			for _, w := range p.Status.TypeChecking.ExpressionWarnings {
				warned[p.Name] += w.FieldRef + ": " + w.Warning
			}
		}
		if len(list.Items) != 2 || len(warned) != 1 || !strings.Contains(warned["mistaken"], "replica") {
			t.Errorf("of %d policies these have warnings: %v", len(list.Items), warned)
		}
		return nil
	})
}

const mistaken = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: mistaken}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]
  validations: [{expression: object.spec.replica > 1}]
`

// TestEveryValueSetIsAccepted sends what the chart renders with each set of values to the server, which checks it and stores nothing.
func TestEveryValueSetIsAccepted(t *testing.T) {
	monitoring(t)
	namespaced(t, system)
	sets, err := filepath.Glob(filepath.Join(project, "charts/renewd/ci/*-values.yaml"))
	if err != nil || len(sets) < 3 {
		t.Fatalf("%d sets of values, %v", len(sets), err)
	}
	sets = append(sets, filepath.Join(project, "charts/renewd/values-openshift.yaml"))
	for _, values := range sets {
		t.Run(filepath.Base(values), func(t *testing.T) {
			rendered := render(t, "-f", values, "--set-string", "token.audience="+audience)
			out := must(t)(kubectl(t, rendered, "apply", "--dry-run=server", "--server-side", "--force-conflicts", "-f", "-"))
			if n := strings.Count(out, "(server dry run)"); n < len(objects(t, rendered)) {
				t.Errorf("%d objects accepted of %d:\n%s", n, len(objects(t, rendered)), out)
			}
		})
	}
}

// TestEveryManifestIsAccepted does the same with the manifests.
func TestEveryManifestIsAccepted(t *testing.T) {
	monitoring(t)
	namespaced(t, system)
	ns := namespace(t, nil)
	found := 0
	for _, folder := range []string{"base", "overlays/*", "examples/*"} {
		folders, err := filepath.Glob(filepath.Join(project, "manifests", folder, "kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range folders {
			found++
			dir := filepath.Dir(file)
			t.Run(strings.TrimPrefix(dir, project+"/manifests/"), func(t *testing.T) {
				rendered := must(t)(kubectl(t, "", "kustomize", dir))
				args := []string{"apply", "--dry-run=server", "--server-side", "--force-conflicts", "-f", "-"}
				placed := func(o *unstructured.Unstructured) bool { return o.GetNamespace() != "" }
				if !slices.ContainsFunc(objects(t, rendered), placed) { // an example leaves the namespace to its user
					args = append(args, "-n", ns)
				}
				out := must(t)(kubectl(t, rendered, args...))
				if n := strings.Count(out, "(server dry run)"); n == 0 || n < len(objects(t, rendered)) {
					t.Errorf("%d objects accepted of %d:\n%s", n, len(objects(t, rendered)), out)
				}
			})
		}
	}
	if found < 8 {
		t.Errorf("only %d manifests found", found)
	}
}

// namespaced makes a namespace if it is not there.
func namespaced(t *testing.T, name string) {
	t.Helper()
	must(t)(kubectl(t, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "`+name+`"}}`, "apply", "--server-side", "-f", "-"))
}

// operator is the release of the Prometheus operator whose custom resources the chart and the manifests use.
const operator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"

// monitoring installs the definitions of the Prometheus operator's resources: the server then checks these as strictly as its own.
func monitoring(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", operator)
	cmd.Dir = t.TempDir()
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(must(t)(trial.Output(cmd, ""))), &module); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"podmonitors", "prometheusrules"} {
		file := filepath.Join(module.Dir, "example/prometheus-operator-crd/monitoring.coreos.com_"+name+".yaml")
		must(t)(kubectl(t, "", "apply", "--server-side", "-f", file))
		must(t)(kubectl(t, "", "wait", "--for=condition=Established", "--timeout=30s", "crd/"+name+".monitoring.coreos.com"))
	}
}
