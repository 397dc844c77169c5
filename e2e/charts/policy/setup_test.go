// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package policy

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/renewd/renewd/e2e/charts/chart"
)

const (
	prefix = "renewd.github.io/"
	label  = prefix + "inject"
)

// namespaces are those of every test.
const namespaces = `
apiVersion: v1
kind: Namespace
metadata: {name: apps, labels: {team: orders, kubernetes.io/metadata.name: apps}}
---
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {kubernetes.io/metadata.name: other}}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system, labels: {kubernetes.io/metadata.name: kube-system}}
---
apiVersion: v1
kind: Namespace
metadata: {name: renewd-system, labels: {kubernetes.io/metadata.name: renewd-system}}
`

// rendered returns the chart's objects and the namespaces.
func rendered(t *testing.T, values ...string) []*unstructured.Unstructured {
	t.Helper()
	r, err := chart.Render(chart.Request{Chart: "renewd", Set: append([]string{"token.audience=https://sts.example.com"}, values...)})
	if err != nil {
		t.Fatal(err)
	}
	more, err := chart.Decode(namespaces)
	if err != nil {
		t.Fatal(err)
	}
	return append(r.Objects, more...)
}

// params returns the data of the parameters among objects.
func params(t *testing.T, objects []*unstructured.Unstructured) map[string]any {
	t.Helper()
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "ConfigMap" && o.GetName() == "renewd" })
	if i < 0 {
		t.Fatal("the chart has no parameters")
	}
	return objects[i].Object["data"].(map[string]any)
}

func cluster(t *testing.T, objects []*unstructured.Unstructured) *Cluster {
	t.Helper()
	c, err := New(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// installed is a cluster with the chart.
func installed(t *testing.T, values ...string) *Cluster {
	t.Helper()
	return cluster(t, rendered(t, values...))
}

// pod is a labelled pod that the restricted Pod Security Standard allows. change may be nil.
func pod(annotations map[string]string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "orders-1", Namespace: "apps", Labels: map[string]string{label: "true"}},
		Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{container("app")},
		},
	}
	for name, value := range annotations {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, prefix+name, value)
	}
	if change != nil {
		change(p)
	}
	return p
}

func container(name string) corev1.Container {
	return corev1.Container{Name: name, Image: "registry.example.com/" + name, SecurityContext: &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}}
}

// create returns the pod as it is stored, with the sidecar.
func create(t *testing.T, c *Cluster, p *corev1.Pod) (*corev1.Pod, *corev1.Container) {
	t.Helper()
	out, err := c.Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Spec.InitContainers) == 0 || out.Spec.InitContainers[0].Name != "renewd" {
		t.Fatalf("the sidecar is not the first init container: %v", names(out.Spec.InitContainers))
	}
	return out, &out.Spec.InitContainers[0]
}

func names(list []corev1.Container) (out []string) {
	for _, c := range list {
		out = append(out, c.Name)
	}
	return out
}

func volumeNames(p *corev1.Pod) (out []string) {
	for _, v := range p.Spec.Volumes {
		out = append(out, v.Name)
	}
	return out
}

// variables returns the environment as the kubelet makes it for that pod.
func variables(c *corev1.Container) map[string]string {
	field := map[string]string{
		"metadata.name": "orders-1", "metadata.namespace": "apps", "metadata.uid": "0b7c2d0e-5c1f-4a53-9a0b-8d4b5f6a7c8d",
		"spec.serviceAccountName": "orders", "spec.nodeName": "node-1",
	}
	out := map[string]string{}
	for _, e := range c.Env {
		value := expand(e.Value, out)
		if e.ValueFrom != nil {
			value = field[e.ValueFrom.FieldRef.FieldPath]
		}
		out[e.Name] = value
	}
	return out
}

// expand replaces $(NAME) as the kubelet does: $$ is a dollar sign, and an unknown name stays.
func expand(text string, known map[string]string) string {
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		i++
		end := i
		for end < len(text) && text[end] != ')' {
			end++
		}
		switch {
		case text[i] == '$':
			out = append(out, '$')
		case text[i] == '(' && end < len(text):
			value, ok := known[text[i+1:end]]
			if !ok {
				value = "$" + text[i:end+1]
			}
			out = append(out, value...)
			i = end
		default:
			out = append(out, '$', text[i])
		}
	}
	return string(out)
}

// with returns m with more entries.
func with(m, more map[string]string) map[string]string {
	m = maps.Clone(m)
	maps.Copy(m, more)
	return m
}
