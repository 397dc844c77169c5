// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package policy

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Each mistake is said in one sentence, and each sentence has a mistake that leads to it.
func TestMessages(t *testing.T) {
	inPod := func(name, value string) func(map[string]any) *corev1.Pod {
		return func(map[string]any) *corev1.Pod { return pod(map[string]string{name: value}, nil) }
	}
	inParams := func(key, value string) func(map[string]any) *corev1.Pod {
		return func(data map[string]any) *corev1.Pod {
			data[key] = value
			return pod(nil, nil)
		}
	}
	subPath := func(path, expression string) func(map[string]any) *corev1.Pod {
		return func(map[string]any) *corev1.Pod {
			return pod(nil, func(p *corev1.Pod) {
				p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "renewd-out", MountPath: "/t", SubPath: path, SubPathExpr: expression}}
			})
		}
	}
	const (
		duration    = " must be a duration such as "
		required    = "renewd: the params ConfigMap must set image, audience and revision"
		configMap   = "renewd: annotation renewd.github.io/config must be the name of a ConfigMap in the pod's namespace"
		percent     = " must be percentages of the life such as 70%-80%"
		directory   = "renewd: annotation renewd.github.io/mount-path (or mountPath in the params ConfigMap) must be an absolute directory path"
		program     = "renewd: mount-path must not be /renewd, which is the program in the sidecar, nor below it"
		within      = "renewd: refresh-at must lie within 1% and 99%, the smaller first"
		bySubPath   = "renewd: a container mounts renewd-out by subPath, which would keep its first token for ever: mount the directory"
		mode        = "renewd: fileMode in the params ConfigMap must be permissions in octal digits such as 0644, and let the owner read"
		fileName    = "renewd: fileName in the params ConfigMap must be the name of a file, not a path"
		audience    = "renewd: annotation renewd.github.io/audience (or audience in the params ConfigMap) must be visible ASCII characters without spaces"
		unknown     = "renewd: unknown annotation renewd.github.io/refresh-intervall (known: config, audience, refresh-interval, refresh-at, keep, outage, mount-path)"
		interval    = "renewd: annotation renewd.github.io/refresh-interval (or refreshInterval in the params ConfigMap)" + duration + "10m"
		keep        = "renewd: annotation renewd.github.io/keep (or keep in the params ConfigMap)" + duration + "2m"
		outage      = "renewd: annotation renewd.github.io/outage (or outage in the params ConfigMap)" + duration + "30m"
		refreshAt   = "renewd: annotation renewd.github.io/refresh-at (or refreshAt in the params ConfigMap)" + percent
		notInjected = "renewd: the pod is labelled renewd.github.io/inject but no renewd container was injected"
	)
	rows := []struct {
		mistake func(params map[string]any) *corev1.Pod
		want    string
	}{
		{inParams("image", ""), required},
		{inParams("audience", ""), required},
		{inParams("revision", ""), required},
		{inPod("refresh-intervall", "10m"), unknown},
		{inPod("config", "Not_A_Name"), configMap},
		{inPod("config", "-x"), configMap},
		{inPod("audience", "a b"), audience},
		{inParams("audience", "a\nb"), audience},
		{inPod("refresh-interval", "ten"), interval},
		{inPod("refresh-interval", "10"), interval},
		{inParams("refreshInterval", "1h1d"), interval},
		{inPod("refresh-interval", "1.5d"), interval},
		{inPod("keep", "-2m"), keep},
		{inParams("keep", "two"), keep},
		{inPod("keep", "99999999h"), keep}, // more than renewd can count
		{inPod("outage", "1 h"), outage},
		{inParams("outage", "x"), outage},
		{inPod("refresh-at", "0.8"), refreshAt},
		{inPod("refresh-at", "100%"), refreshAt},
		{inParams("refreshAt", "80"), refreshAt},
		{inPod("refresh-at", "0%"), within},
		{inPod("refresh-at", "80%-70%"), within},
		{inPod("mount-path", "token"), directory},
		{inPod("mount-path", "/a/../etc"), directory},
		{inPod("mount-path", "/"), directory},
		{inParams("mountPath", "/a b"), directory},
		{inPod("mount-path", "/renewd"), program},
		{inPod("mount-path", "/renewd/tokens"), program},
		{inParams("mountPath", "/renewd"), program},
		{inParams("fileName", "a/b"), fileName},
		{inParams("fileMode", "rw"), mode},
		{inParams("fileMode", "0244"), mode}, // renewd reads what it published
		{subPath("token", ""), bySubPath},
		{subPath("", "$(POD_NAME)"), bySubPath},
	}
	said := map[string]bool{}
	for _, row := range rows {
		objects := rendered(t)
		p := row.mistake(params(t, objects))
		_, err := cluster(t, objects).Create(t.Context(), p)
		if err == nil || !strings.HasSuffix(err.Error(), "denied request: "+row.want) {
			t.Errorf("got  %v\nwant %s", err, row.want)
		}
		said[row.want] = true
	}
	// Without the mutating policy nothing is injected.
	var alone []*unstructured.Unstructured
	for _, o := range rendered(t) {
		if o.GetKind() != "MutatingAdmissionPolicyBinding" {
			alone = append(alone, o)
		}
	}
	_, err := cluster(t, alone).Create(t.Context(), pod(nil, nil))
	if err == nil || !strings.HasSuffix(err.Error(), notInjected) {
		t.Errorf("got %v", err)
	}
	said[notInjected] = true
	for _, o := range alone {
		if o.GetKind() != "ValidatingAdmissionPolicy" {
			continue
		}
		rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "validations")
		for _, rule := range rules {
			rule := rule.(map[string]any)
			if _, composed := rule["messageExpression"]; !composed && !said[rule["message"].(string)] {
				t.Errorf("no mistake leads to %q", rule["message"])
			}
		}
		if len(rules) != len(said) {
			t.Errorf("%d validations, %d messages", len(rules), len(said))
		}
	}
}

// An operator who prefers a pod without a token to none gets it, whatever of the policies is missing.
func TestIgnore(t *testing.T) {
	for _, missing := range []string{"MutatingAdmissionPolicyBinding", "ConfigMap"} {
		objects := slices.DeleteFunc(rendered(t, "injection.failurePolicy=Ignore"), func(o *unstructured.Unstructured) bool { return o.GetKind() == missing })
		after, err := cluster(t, objects).Create(t.Context(), pod(nil, nil))
		if err != nil || len(after.Spec.InitContainers) != 0 {
			t.Errorf("without a %s: %v, %v", missing, err, after)
		}
	}
}

// An operator decides what authors may choose.
func TestAnnotationsThatAreNotAllowed(t *testing.T) {
	c := installed(t, "injection.allowAnnotations={keep}")
	_, sidecar := create(t, c, pod(map[string]string{"keep": "4m"}, nil))
	if got := variables(sidecar)["RENEWD_KEEP"]; got != "4m" {
		t.Errorf("keep %s", got)
	}
	for _, name := range []string{"config", "audience", "mount-path"} {
		_, err := c.Create(t.Context(), pod(map[string]string{name: "x"}, nil))
		if err == nil || !strings.HasSuffix(err.Error(), "unknown annotation renewd.github.io/"+name+" (known: keep)") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
