// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package charts

import (
	"encoding/json"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/action"
	helm "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/getter"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/renewd/renewd/e2e/charts/chart"
	"github.com/renewd/renewd/e2e/charts/schema"
)

// folder returns a path in charts/.
func folder(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := chart.Folder(append([]string{"charts"}, parts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func render(t *testing.T, r chart.Request) *chart.Release {
	t.Helper()
	out, err := chart.Render(r)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	return out
}

// valueSets are the files of values of the chart renewd, and what else it needs to be rendered with each.
func valueSets(t *testing.T) (list []chart.Request) {
	t.Helper()
	files, err := filepath.Glob(folder(t, "renewd", "ci", "*-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 6 {
		t.Fatalf("only %d sets of values", len(files))
	}
	for _, f := range files {
		list = append(list, chart.Request{Chart: "renewd", Files: []string{f}})
	}
	return append(list, chart.Request{Chart: "renewd", Files: []string{folder(t, "renewd", "values-openshift.yaml")}, Set: []string{"token.audience=x"}})
}

func TestLint(t *testing.T) {
	log.SetOutput(io.Discard) // Helm tells of each symbolic link that it follows
	defer log.SetOutput(os.Stderr)
	version, err := chartutil.ParseKubeVersion(chart.Version)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range append(valueSets(t), chart.Request{Chart: "renewd-lib"}, chart.Request{Chart: "example-app"}) {
		given, err := (&values.Options{ValueFiles: set.Files, Values: set.Set}).MergeValues(getter.Providers{})
		if err != nil {
			t.Fatal(err)
		}
		lint := action.NewLint()
		lint.Strict, lint.WithSubcharts, lint.KubeVersion, lint.Namespace = true, true, version, "renewd-system"
		result := lint.Run([]string{folder(t, set.Chart)}, given)
		for _, err := range result.Errors {
			t.Errorf("%v: %v", set, err)
		}
		if result.TotalChartsLinted == 0 {
			t.Errorf("%v was not looked at", set)
		}
	}
}

// Every set of values gives objects that the newest Kubernetes knows, that say where they belong, and that are the same each
// time: a GitOps tool would see a change in each difference.
func TestEverySetOfValues(t *testing.T) {
	v, err := schema.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sets := append(valueSets(t), chart.Request{Chart: "example-app", Kubernetes: "v1.29.0"},
		chart.Request{Chart: "example-app", Set: []string{"renewd.token.configMap=orders", "renewd.sidecar.metrics.enabled=true"}})
	for _, set := range sets {
		r := render(t, set)
		if err := v.Check(set.Chart, r.Manifest, "monitoring.coreos.com"); err != nil {
			t.Errorf("%v: %v", set, err)
		}
		if again := render(t, set); again.Manifest != r.Manifest {
			t.Errorf("%v: rendered twice, it differs", set)
		}
		for _, o := range append(r.Objects, r.Hooks...) {
			cluster := strings.Contains(o.GetKind(), "AdmissionPolicy")
			if extra := o.GetName() == "test-text"; !cluster && !extra && o.GetNamespace() != "renewd-system" {
				t.Errorf("%v: %s %s is in namespace %q", set, o.GetKind(), o.GetName(), o.GetNamespace())
			}
		}
	}
}

func TestCommonLabelsAreOnEveryObject(t *testing.T) {
	r := render(t, chart.Request{Chart: "renewd", Files: []string{folder(t, "renewd", "ci", "monitoring-values.yaml")},
		Set: []string{"commonLabels.team=platform", `commonLabels.app\.kubernetes\.io/instance=mine`, "commonAnnotations.owner=platform"}})
	if len(r.Objects) != 8 || len(r.Hooks) != 1 {
		t.Errorf("%d objects and %d hooks", len(r.Objects), len(r.Hooks))
	}
	for _, o := range append(r.Objects, r.Hooks...) {
		if o.GetLabels()["team"] != "platform" || o.GetLabels()["app.kubernetes.io/instance"] != "mine" || o.GetAnnotations()["owner"] != "platform" {
			t.Errorf("%s %s: labels %v, annotations %v", o.GetKind(), o.GetName(), o.GetLabels(), o.GetAnnotations())
		}
	}
}

// A mapping that is set to null is an empty one.
func TestNullIsNothing(t *testing.T) {
	for _, key := range []string{"global", "commonLabels", "commonAnnotations", "podMonitor.labels", "prometheusRule.labels", "dashboard.labels", "extraObjects"} {
		r := render(t, chart.Request{Chart: "renewd", Files: []string{folder(t, "renewd", "ci", "monitoring-values.yaml")}, Set: []string{key + "=null"}})
		if len(r.Objects) != 8 || len(r.Hooks) != 1 {
			t.Errorf("%s: %d objects and %d hooks", key, len(r.Objects), len(r.Hooks))
		}
	}
}

// Users of an OpenShift namespace have ten digits. Helm's numbers are floats, and 1.0007e+09 is no user.
func TestLargeNumbersStayWhole(t *testing.T) {
	r := render(t, chart.Request{Chart: "example-app", Set: []string{"renewd.sidecar.runAsUser=1000700000", "renewd.sidecar.startupTimeoutSeconds=31536000"}})
	for _, want := range []string{"runAsUser: 1000700000\n", "runAsGroup: 1000700000\n", "failureThreshold: 31536000\n"} {
		if !strings.Contains(r.Manifest, want) {
			t.Errorf("no %q in\n%s", want, r.Manifest)
		}
	}
	r = render(t, chart.Request{Chart: "renewd", Set: []string{"token.audience=x", "sidecar.runAsUser=1000700000"}})
	if !strings.Contains(r.Manifest, "    runAsUser: 1000700000\n") {
		t.Errorf("the test pod has another user:\n%s", r.Manifest)
	}
}

// What is wrong is refused with the words that lead out.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		request chart.Request
		want    string
	}{
		{chart.Request{Set: []string{"token.refreshIntervall=1m"}}, "at '/token': additional properties 'refreshIntervall' not allowed"},
		{chart.Request{Set: []string{"tokens.audience=x"}}, "additional properties 'tokens' not allowed"},
		{chart.Request{Set: []string{"token.refreshInterval=ten"}}, "at '/token/refreshInterval': 'ten' does not match pattern"},
		{chart.Request{Set: []string{"token.refreshAt=120%"}}, "at '/token/refreshAt'"},
		{chart.Request{Set: []string{"token.mountPath=token"}}, "at '/token/mountPath'"},
		{chart.Request{Set: []string{"token.fileMode=0044"}}, "at '/token/fileMode'"},
		{chart.Request{Set: []string{"token.expirationSeconds=60"}}, "at '/token/expirationSeconds': minimum: got 60, want 600"},
		{chart.Request{Set: []string{"image.digest=sha256:12"}}, "at '/image/digest'"},
		{chart.Request{Set: []string{"sidecar.runAsUser=0"}}, "at '/sidecar/runAsUser'"},
		{chart.Request{Set: []string{"sidecar.resources.limits.memory=32MB"}}, "at '/sidecar/resources/limits/memory'"},
		{chart.Request{Set: []string{"sidecar.resources.requests.cpu="}}, "at '/sidecar/resources/requests/cpu'"},
		{chart.Request{Set: []string{"sidecar.extraEnv[0].name=A=B"}}, "at '/sidecar/extraEnv/0/name'"},
		{
			chart.Request{Set: []string{"sidecar.extraEnv[0].name=A", "sidecar.extraEnv[0].valueFrom.secretKeyRefs.name=s"}},
			"at '/sidecar/extraEnv/0/valueFrom': additional properties 'secretKeyRefs' not allowed",
		},
		{chart.Request{Set: []string{"sidecar.extraEnv[0].name=A", "sidecar.extraEnv[0].valueFrom=null"}}, "at '/sidecar/extraEnv/0/valueFrom'"},
		{
			chart.Request{Set: []string{"sidecar.extraEnv[0].name=A", "sidecar.extraEnv[0].value=b", "sidecar.extraEnv[0].valueFrom.fieldRef.fieldPath=spec.nodeName"}},
			"at '/sidecar/extraEnv/0'",
		},
		{chart.Request{Set: []string{"injection.allowAnnotations={image}"}}, "at '/injection/allowAnnotations/0'"},
		{chart.Request{Set: []string{"injection=null"}}, "missing property 'injection'"},
		{chart.Request{Set: []string{"sidecar.metrics=null"}}, "at '/sidecar': missing property 'metrics'"},
		{chart.Request{Set: []string{"token.audience="}}, "renewd: token.audience is empty. Set it to the audience"},
		{chart.Request{Set: []string{"podMonitor.enabled=true"}}, "renewd: podMonitor.enabled needs sidecar.metrics.enabled"},
		{
			chart.Request{Set: []string{"podMonitor.enabled=true", "podMonitor.renderMode=failIfMissing", "sidecar.metrics.enabled=true"}},
			"the cluster has no monitoring.coreos.com/v1. Install the Prometheus operator",
		},
		{chart.Request{Set: []string{"injection.mode=params", "injection.perNamespaceParams=true"}}, "belongs to the release with injection.mode=policy"},
		{
			chart.Request{Kubernetes: "v1.35.0"},
			"renewd: injection.mode=policy needs Kubernetes 1.36+ (got v1.35.0). Set injection.mode=none and use the renewd-lib chart or " +
				"manifests/components/sidecar.",
		},
		{chart.Request{Kubernetes: "v1.28.9"}, "chart requires kubeVersion: >=1.29.0-0"},
		{chart.Request{Chart: "example-app", Kubernetes: "v1.28.9"}, "chart requires kubeVersion: >=1.29.0-0"},
		{library("token.refreshIntervall=1m"), "renewd: unknown value renewd.token.refreshIntervall (known: audience, config, "},
		{library("sidecars.runAsUser=1"), "renewd: unknown value renewd.sidecars (known: image, sidecar, token)"},
		{library("sidecar.metrics.ports=1"), "renewd: unknown value renewd.sidecar.metrics.ports (known: enabled, port)"},
		{library("token.audience="), "renewd: token.audience is empty"},
		{library("token.keep=2"), "renewd: token.keep must be a text in quotes, not 2"},
		{library("token.keep=two"), `renewd: token.keep "two" must be a duration such as 2m`},
		{chart.Request{Set: []string{"token.mountPath=/renewd"}}, "renewd: token.mountPath must not be /renewd: /renewd is the program in the sidecar"},
		{library("token.mountPath=/renewd/tokens"), "renewd: token.mountPath must not be /renewd/tokens: "},
		{library("token.fileMode=644"), "renewd: token.fileMode must be a text in quotes, not 644"},
		{library("token.expirationSeconds=5"), "renewd: token.expirationSeconds 5 must be within 600 and 86400"},
		{library("sidecar.runAsUser=0"), "renewd: sidecar.runAsUser must be a number from 1 on, not 0"},
		{library("sidecar.runAsUser=app"), "renewd: sidecar.runAsUser must be a number from 1 on, not app"},
		{library("sidecar.startupTimeoutSeconds=1h"), "renewd: sidecar.startupTimeoutSeconds must be a number from 1 on, not 1h"},
		{library("sidecar.extraArgs=--log-level"), "renewd: sidecar.extraArgs must be a list"},
		{library("token=x"), "renewd: value renewd.token must be a mapping (known: audience, "},
		{library("sidecar.metrics=9736"), "renewd: value renewd.sidecar.metrics must be a mapping (known: enabled, port)"},
		{chart.Request{Set: []string{"token.config=" + strings.Repeat("é", 50001)}}, "renewd: token.config has 100002 bytes, and a variable of the environment"},
		{library("token.configMap=x,renewd.token.config=y"), "renewd: token.configMap excludes token.config and token.logPolicy"},
		{library("image.digest=sha256:1"), `renewd: image.digest "sha256:1" must be sha256: and 64 hexadecimal digits`},
	} {
		if c.request.Chart == "" {
			c.request.Chart = "renewd"
			c.request.Set = append([]string{"token.audience=x"}, c.request.Set...)
		}
		_, err := chart.Render(c.request)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v:\n got %v\nwant %s", c.request, err, c.want)
		}
	}
}

// library sets a value of the chart that uses the library.
func library(set string) chart.Request {
	return chart.Request{Chart: "example-app", Set: []string{"renewd." + set}}
}

// A cluster too old for the policy can still have the rest.
func TestOldCluster(t *testing.T) {
	r := render(t, chart.Request{Chart: "renewd", Kubernetes: "v1.29.0", Set: []string{"injection.mode=none", "dashboard.enabled=true"}})
	if len(r.Objects) != 1 || r.Objects[0].GetName() != "renewd-dashboard" || len(r.Hooks) != 0 {
		t.Errorf("%s", r.Manifest)
	}
	if !strings.Contains(r.Notes, "no pod is injected") {
		t.Errorf("notes: %s", r.Notes)
	}
}

func TestNotes(t *testing.T) {
	const command = `kubectl get pods -A -l renewd.github.io/inject=true -o custom-columns='NS:.metadata.namespace,POD:.metadata.name,` +
		`REV:.metadata.annotations.renewd\.github\.io/injected'`
	r := render(t, chart.Request{Chart: "renewd", Set: []string{"token.audience=x", "token.mountPath=/tokens"}})
	revision, _, _ := unstructured.NestedString(r.Find("ConfigMap").Object, "data", "revision")
	for _, want := range []string{command, "this release is " + revision, "Label the pod template", "/tokens/token before"} {
		if !strings.Contains(r.Notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, r.Notes)
		}
	}
	r = render(t, chart.Request{Chart: "renewd", Set: []string{"injection.perNamespaceParams=true", "injection.failurePolicy=Ignore"}})
	for _, want := range []string{"WARNING: injection.failurePolicy is Ignore", "--set injection.mode=params", "this release is 0.1.0:"} {
		if !strings.Contains(r.Notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, r.Notes)
		}
	}
}

// A number that the profile does not pass on would be obeyed by nobody, and nobody would know.
func TestNotesNameNumbersThatReachNoPod(t *testing.T) {
	const warning = "WARNING: token.outage is set, and token.config does not hand it on as ${RENEWD_OUTAGE}: it changes nothing."
	for _, c := range []struct {
		values []string
		want   bool
	}{
		{[]string{"token.outage=20m", "token.config=version: 1"}, true},
		{[]string{"token.outage=20m", "token.config=outage: ${RENEWD_OUTAGE}"}, false},
		{[]string{"token.outage=20m"}, false},
		{[]string{"token.config=version: 1"}, false},
	} {
		r := render(t, chart.Request{Chart: "renewd", Set: append([]string{"token.audience=x"}, c.values...)})
		if got := strings.Contains(r.Notes, warning); got != c.want || strings.Contains(r.Notes, "token.keep") {
			t.Errorf("%q: %t\n%s", c.values, got, r.Notes)
		}
	}
}

// The revision that pods carry changes with all that a pod gets, and with nothing else.
func TestRevision(t *testing.T) {
	revision := func(values ...string) string {
		r := render(t, chart.Request{Chart: "renewd", Set: append([]string{"token.audience=x"}, values...)})
		text, _, _ := unstructured.NestedString(r.Find("ConfigMap").Object, "data", "revision")
		return text
	}
	first := revision()
	for _, value := range []string{"token.keep=3m", "token.config=x", "token.expirationSeconds=601", "sidecar.resources.limits.memory=33Mi",
		"sidecar.runAsUser=null", "sidecar.metrics.enabled=true", "image.tag=x", "image.pullPolicy=Always"} {
		if revision(value) == first {
			t.Errorf("%s does not change the revision", value)
		}
	}
	for _, value := range []string{"podMonitor.interval=5s", "commonLabels.a=b", "injection.failurePolicy=Ignore", "token.keep=2m"} {
		if got := revision(value); got != first {
			t.Errorf("%s changes the revision from %s to %s", value, first, got)
		}
	}
}

// What the Prometheus operator and Grafana get is what their types know.
func TestMonitoring(t *testing.T) {
	r := render(t, chart.Request{Chart: "renewd", Files: []string{folder(t, "renewd", "ci", "monitoring-values.yaml")}})
	strictly := func(o *unstructured.Unstructured, into any) {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true); err != nil {
			t.Fatalf("%s: %v", o.GetKind(), err)
		}
		if o.GetLabels()["release"] != "prometheus" {
			t.Errorf("%s: labels %v", o.GetKind(), o.GetLabels())
		}
	}
	var monitor monitoring.PodMonitor
	strictly(r.Find("PodMonitor"), &monitor)
	if e := monitor.Spec.PodMetricsEndpoints; len(e) != 1 || *e[0].Port != "renewd-metrics" || !monitor.Spec.NamespaceSelector.Any {
		t.Errorf("pod monitor %+v", monitor.Spec)
	}
	var rule monitoring.PrometheusRule
	strictly(r.Find("PrometheusRule"), &rule)
	if len(rule.Spec.Groups) == 0 || len(rule.Spec.Groups[0].Rules) < 2 {
		t.Errorf("rules %+v", rule.Spec)
	}
	var dashboard struct {
		Title  string
		Panels []json.RawMessage
	}
	for _, o := range r.Objects {
		if text, ok, _ := unstructured.NestedString(o.Object, "data", "renewd.json"); ok {
			if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
				t.Error(err)
			}
			if o.GetLabels()["grafana_dashboard"] != "1" {
				t.Errorf("labels %v", o.GetLabels())
			}
		}
	}
	if dashboard.Title == "" || len(dashboard.Panels) == 0 {
		t.Errorf("dashboard %+v", dashboard)
	}
	if r := render(t, chart.Request{Chart: "renewd", Set: []string{"token.audience=x", "sidecar.metrics.enabled=true", "podMonitor.enabled=true"},
		APIVersions: []string{"monitoring.coreos.com/v1"}}); r.Find("PodMonitor") == nil {
		t.Error("no PodMonitor in a cluster that knows them")
	}
	if r := render(t, chart.Request{Chart: "renewd", Set: []string{"token.audience=x", "sidecar.metrics.enabled=true", "podMonitor.enabled=true"}}); r.Find("PodMonitor") != nil {
		t.Error("a PodMonitor in a cluster that does not know them")
	}
}

// Charts that depend on this one switch it by a condition, as Helm's documentation names it.
func TestConditionOfADependency(t *testing.T) {
	for set, objects := range map[string]bool{"renewd.enabled=true": true, "renewd.enabled=false": false} {
		dependency, err := chart.Load("renewd")
		if err != nil {
			t.Fatal(err)
		}
		umbrella := &helm.Chart{Metadata: &helm.Metadata{
			APIVersion: "v2", Name: "umbrella", Version: "1.0.0",
			Dependencies: []*helm.Dependency{{Name: "renewd", Version: dependency.Metadata.Version, Condition: "renewd.enabled"}},
		}}
		umbrella.AddDependency(dependency)
		release, err := chart.Request{Set: []string{set, "renewd.token.audience=x"}}.Render(umbrella)
		if err != nil {
			t.Fatalf("%s: %v", set, err)
		}
		if found := release.Find("MutatingAdmissionPolicy") != nil; found != objects {
			t.Errorf("%s: a policy: %t", set, found)
		}
	}
}
