// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package versions

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// admitted creates a pod of every template, of which nothing stays: its sidecar may not be unknown to the server, nor anything else.
func admitted(t *testing.T, ns string, list []*unstructured.Unstructured) {
	t.Helper()
	for _, template := range templates(list) {
		labels, _, _ := unstructured.NestedMap(template, "metadata", "labels") // a template may have none
		pod, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "probe", "labels": labels}, "spec": template["spec"],
		})
		if err != nil {
			t.Fatal(err)
		}
		got := objects(t, must(t)(kubectl(t, string(pod), "create", "--dry-run=server", "-n", ns, "-o", "json", "-f", "-")))
		if len(got) != 1 || native(t, got[0].Object) != native(t, template) {
			t.Errorf("its pod has lost the sidecar: %v", got)
		}
	}
}

// native says whether a pod or a template of one has the sidecar, kept running from before the others start, with its probe.
func native(t *testing.T, object map[string]any) bool {
	t.Helper()
	var template corev1.PodTemplateSpec
	data, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(data, &template)
	}
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(template.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == "renewd" && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways && c.StartupProbe != nil
	})
}

// natives counts the templates that have the sidecar.
func natives(t *testing.T, list []*unstructured.Unstructured) (found int) {
	t.Helper()
	for _, template := range templates(list) {
		if native(t, template) {
			found++
		}
	}
	return found
}

// templates returns the pod templates of the workloads in a list.
func templates(list []*unstructured.Unstructured) (found []map[string]any) {
	for _, o := range list {
		path := []string{"spec", "template"}
		if o.GetKind() == "CronJob" {
			path = []string{"spec", "jobTemplate", "spec", "template"}
		}
		if template, ok, err := unstructured.NestedMap(o.Object, path...); ok && err == nil { // other kinds have none
			found = append(found, template)
		}
	}
	return found
}

// objects reads YAML documents, of which one may be a list.
func objects(t *testing.T, text string) (list []*unstructured.Unstructured) {
	t.Helper()
	for document := range strings.SplitSeq(text, "\n---") {
		o := &unstructured.Unstructured{}
		data, err := yaml.ToJSON([]byte(document))
		if err == nil {
			err = json.Unmarshal(data, &o.Object)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !o.IsList() {
			list = append(list, o)
			continue
		}
		if err := o.EachListItem(func(item runtime.Object) error {
			list = append(list, item.(*unstructured.Unstructured))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return list
}
