// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package policy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/renewd/renewd/e2e/charts/chart"
)

func equal(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

// The sidecar that the policy makes and the one that the library makes are one: container, volumes and the application's
// mount.
func TestPolicyAndLibraryMakeTheSame(t *testing.T) {
	profile := []string{`token.config=a: ${POD_NAME}\, "$(X)" $$`, "token.logPolicy=version: 1"}
	for name, values := range map[string][]string{
		"built in": nil,
		"profile":  profile,
		"schedule": {"token.refreshInterval=5m", "token.refreshAt=80%", "token.keep=3m", "token.outage=1h"},
		"place":    {"token.mountPath=/tokens", "token.fileName=orders", "token.fileMode=0400", "token.expirationSeconds=600"},
		"image":    {"image.registry=r.example.com", "image.tag=v9", "image.pullPolicy=Never"},
		"sidecar": {"sidecar.resources.requests.cpu=1m", "sidecar.resources.requests.memory=8Mi", "sidecar.resources.limits.memory=64Mi", "sidecar.runAsUser=1000", "sidecar.startupTimeoutSeconds=5", "sidecar.extraArgs={a,b}",
			"sidecar.extraEnv[0].name=A", "sidecar.extraEnv[0].value=b", "sidecar.metrics.enabled=true", "sidecar.metrics.port=1234"},
		"numbers":           {"sidecar.resources.requests.cpu=1", "sidecar.resources.requests.memory=16Mi", "sidecar.resources.limits.memory=33554432", "sidecar.resources.limits.cpu=1.5"},
		"own configuration": {"own"},
	} {
		t.Run(name, func(t *testing.T) {
			var annotations map[string]string
			library := []string{}
			if name == "own configuration" {
				values, annotations = nil, map[string]string{"config": "mine"}
				library = append(library, "renewd.token.configMap=mine")
			}
			for _, v := range values {
				library = append(library, "renewd."+v)
			}
			injected, sidecar := create(t, installed(t, values...), pod(annotations, nil))
			made := exampleApp(t, library...)
			same(t, "container", sidecar, &made.InitContainers[0])
			same(t, "volumes", injected.Spec.Volumes, made.Volumes)
			same(t, "mount", injected.Spec.Containers[0].VolumeMounts, made.Containers[0].VolumeMounts)
		})
	}
}

// exampleApp returns the pod of the chart that uses the library.
func exampleApp(t *testing.T, values ...string) *corev1.PodSpec {
	t.Helper()
	r, err := chart.Render(chart.Request{Chart: "example-app", Set: values, Kubernetes: "v1.29.0"})
	if err != nil {
		t.Fatal(err)
	}
	spec, _, err := unstructured.NestedMap(r.Find("Deployment").Object, "spec", "template", "spec")
	if err != nil {
		t.Fatal(err)
	}
	out := &corev1.PodSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(spec, out, true); err != nil {
		t.Fatal(err)
	}
	return out
}

func same(t *testing.T, what string, policy, library any) {
	t.Helper()
	if equal(policy, library) {
		return
	}
	a, _ := yaml.Marshal(policy)
	b, _ := yaml.Marshal(library)
	t.Errorf("%s: the policy's\n%s\nthe library's\n%s", what, a, b)
}
