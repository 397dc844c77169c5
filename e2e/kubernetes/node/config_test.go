// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package node

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// asking makes a ConfigMap with a configuration that asks the API server for tokens, as it is reached from inside a pod, and lets it
// do so.
func asking(t *testing.T, ns, name, level string) {
	t.Helper()
	ca, err := os.ReadFile(lab.CA)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lab.Client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Data:       map[string]string{"config.yaml": configuration("1h"), "log-policy.yaml": policy(level), "ca.crt": string(ca)},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	allowTokens(t, ns, name)
}

// allowTokens lets the namespace's default service account ask for tokens of its own.
func allowTokens(t *testing.T, ns, name string) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: name}
	_, err := lab.Client.RbacV1().Roles(ns).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"default"}, Verbs: []string{"create"},
	}}}, metav1.CreateOptions{})
	if err == nil {
		_, err = lab.Client.RbacV1().RoleBindings(ns).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "default", Namespace: ns}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func configuration(expiration string) string {
	return fmt.Sprintf(`version: 1
tokens:
  - name: vault
    source:
      kubernetes:
        audiences: [vault]
        expiration: %s
        boundTo: {kind: Pod, name: "${POD_NAME}", uid: "${POD_UID}"}
        tokenFile: ${RENEWD_SOURCE_FILE}
        http: {caFile: /etc/renewd/ca.crt}
    publish: [{file: "${RENEWD_OUT}", mode: "${RENEWD_MODE}"}]
`, expiration)
}

func policy(level string) string { return "version: 1\nlevel: " + level + "\n" }

// edit changes a key of a ConfigMap.
func edit(t *testing.T, ns, name, key, text string) {
	t.Helper()
	maps := lab.Client.CoreV1().ConfigMaps(ns)
	now, err := maps.Get(t.Context(), name, metav1.GetOptions{})
	if err == nil {
		now.Data[key] = text
		_, err = maps.Update(t.Context(), now, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestEditedConfigMapIsObeyed edits the log policy and the configuration of a running pod, also with a mistake.
func TestEditedConfigMapIsObeyed(t *testing.T) {
	ns := namespace(t)
	asking(t, ns, "edited", "WARNING")
	pod := labelled("edited", application(tokenFile))
	pod.Annotations["renewd.github.io/config"] = "edited"
	create(t, ns, pod)
	await(t, ns, "edited", 90*time.Second, ready)

	edit(t, ns, "edited", "log-policy.yaml", policy("INFO"))
	says(t, ns, "edited", "renewd", "policy reloaded")

	edit(t, ns, "edited", "config.yaml", configuration("10m"))
	says(t, ns, "edited", "renewd", "configuration reloaded")
	seen := readings(t, ns, "edited", 2, 30*time.Second)
	last := seen[len(seen)-1].Claims
	if life := time.Duration(last.Expires-last.Issued) * time.Second; life != 10*time.Minute {
		t.Errorf("the new token lives %v, want the 10m of the edited configuration", life)
	}

	edit(t, ns, "edited", "config.yaml", strings.Replace(configuration("10m"), "expiration", "expirations", 1))
	says(t, ns, "edited", "renewd", "configuration invalid, the last good one stays in force")
	says(t, ns, "edited", "renewd", "did you mean")
	edit(t, ns, "edited", "config.yaml", configuration("10m"))
	says(t, ns, "edited", "renewd", "configuration is again the one in force")
	checkReaderRan(t, ns, "edited")
}

// TestMissingConfigMapIsToldByThePod names a ConfigMap that does not exist. The pod's events say so; once it is there, the pod starts.
func TestMissingConfigMapIsToldByThePod(t *testing.T) {
	ns := namespace(t)
	pod := labelled("waiting", application(tokenFile))
	pod.Annotations["renewd.github.io/config"] = "orders-renewd"
	made := create(t, ns, pod)
	trial.Eventually(t, time.Minute, func() error {
		told := events(ns, made.UID)
		if !slices.ContainsFunc(told, func(e string) bool {
			return strings.HasPrefix(e, "FailedMount: ") && strings.Contains(e, `configmap "orders-renewd" not found`)
		}) {
			return fmt.Errorf("the pod's events are %q", told)
		}
		return nil
	})
	asking(t, ns, "orders-renewd", "INFO")
	await(t, ns, "waiting", 3*time.Minute, ready)
}

// TestSubPathIsFound publishes to a file that is mounted by subPath, which can never be replaced: check says so, and what to do.
func TestSubPathIsFound(t *testing.T) {
	ns := namespace(t)
	_, err := lab.Client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "old"}, Data: map[string]string{"token": "old"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := application()
	c.Name, c.Image = "check", renewdImage
	c.Args = []string{"check", "--source-file", "/in/token", "--out", "/out/token"}
	c.VolumeMounts = []corev1.VolumeMount{
		{Name: "in", MountPath: "/in", ReadOnly: true},
		{Name: "out", MountPath: "/out/token", SubPath: "token"},
	}
	pod := labelled("subpath", c)
	pod.Labels = nil
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "in", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", Audience: "vault"},
		}}}}},
		{Name: "out", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "old"},
		}}},
	}
	create(t, ns, pod)
	ended := await(t, ns, pod.Name, time.Minute, func(p *corev1.Pod) error {
		if p.Status.Phase != corev1.PodFailed {
			return fmt.Errorf("the pod is %s", p.Status.Phase)
		}
		return nil
	})
	said := logs(t.Context(), ns, pod.Name, "check")
	code := status(t, ended, "check").State.Terminated.ExitCode
	if code != 73 || !strings.Contains(said, "mount its directory instead of the single file: no subPath") {
		t.Errorf("check ended with %d and said:\n%s", code, said)
	}
}
