// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package control

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// The marks of an injected pod.
const (
	inject   = "renewd.github.io/inject"
	injected = "renewd.github.io/injected"
)

// installed installs the chart, or changes its values, and waits until the API server obeys: a new policy takes it a second.
func installed(t testing.TB, values ...string) {
	t.Helper()
	args := []string{"upgrade", "--install", "renewd", chart, "-n", system, "--create-namespace"}
	must(t)(helm(t, append(args, set(values)...)...))
	obeyed(t)
}

// set makes the arguments of Helm from values; without one for the audience, it is the tests' own.
func set(values []string) (args []string) {
	for _, v := range append([]string{"token.audience=" + audience}, values...) {
		args = append(args, "--set-string", v)
	}
	return args
}

// obeyed waits until a pod is injected with the revision of the parameters.
func obeyed(t testing.TB) {
	t.Helper()
	trial.Eventually(t, 30*time.Second, func() error {
		params, err := lab.Client.CoreV1().ConfigMaps(system).Get(t.Context(), "renewd", metav1.GetOptions{})
		if err != nil {
			return err
		}
		pod, err := lab.Client.CoreV1().Pods("default").Create(t.Context(), labelled(&corev1.Pod{}), dry)
		if err != nil {
			return err
		}
		if got, want := pod.Annotations[injected], params.Data["revision"]; got != want {
			return fmt.Errorf("injected with revision %q, want %q", got, want)
		}
		return nil
	})
}

// dry asks for an answer without an effect.
var dry = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

// labelled completes a pod: a name, the label that has it injected, and one container if it has none.
func labelled(pod *corev1.Pod) *corev1.Pod {
	pod.Name = "app"
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[inject] = "true"
	if len(pod.Spec.Containers) == 0 {
		pod.Spec.Containers = []corev1.Container{{Name: "app", Image: "app"}}
	}
	return pod
}

func TestUpgradeChangesNewPodsAlone(t *testing.T) {
	ns := namespace(t, nil)
	installed(t)
	before, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), labelled(&corev1.Pod{}), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	installed(t, "token.refreshInterval=7m")
	defer installed(t)
	same, err := lab.Client.CoreV1().Pods(ns).Get(t.Context(), before.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if same.ResourceVersion != before.ResourceVersion {
		t.Error("the upgrade changed a running pod")
	}
	after := labelled(&corev1.Pod{})
	after.Name = "later"
	after, err = lab.Client.CoreV1().Pods(ns).Create(t.Context(), after, dry)
	if err != nil {
		t.Fatal(err)
	}
	if after.Annotations[injected] == before.Annotations[injected] {
		t.Errorf("both have revision %q: nobody sees which pod is old", after.Annotations[injected])
	}
	if got := env(after.Spec.InitContainers[0], "RENEWD_REFRESH_INTERVAL"); got != "7m" {
		t.Errorf("RENEWD_REFRESH_INTERVAL is %q in a new pod, want 7m", got)
	}
	// The command that NOTES.txt shows for finding old pods.
	list := must(t)(kubectl(t, "", "get", "pods", "-A", "-l", inject+"=true", "-o",
		"custom-columns=NS:.metadata.namespace,POD:.metadata.name,REV:.metadata.annotations.renewd\\.github\\.io/injected"))
	if !strings.Contains(list, before.Annotations[injected]) {
		t.Errorf("the old revision is not in\n%s", list)
	}
}

func TestUninstallLeavesNothing(t *testing.T) {
	ns := namespace(t, nil)
	installed(t)
	must(t)(helm(t, "uninstall", "renewd", "-n", system, "--wait", "--timeout", "1m"))
	const kinds = "mutatingadmissionpolicies,mutatingadmissionpolicybindings,validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,clusterrolebindings"
	for _, args := range [][]string{
		{"get", kinds, "-o", "name", "-l", "app.kubernetes.io/instance=renewd"},
		{"get", "configmaps,secrets,serviceaccounts,roles,rolebindings,pods", "-n", system, "-o", "name", "-l", "app.kubernetes.io/instance=renewd"},
		{"get", "mutatingadmissionpolicies", "-o", "name"},
	} {
		if left := must(t)(kubectl(t, "", args...)); strings.TrimSpace(left) != "" {
			t.Errorf("left behind: %s", left)
		}
	}
	trial.Eventually(t, 30*time.Second, func() error {
		pod, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), labelled(&corev1.Pod{}), dry)
		if err == nil && len(pod.Spec.InitContainers) > 0 {
			err = errors.New("pods are still injected")
		}
		return err
	})
}

func env(c corev1.Container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
