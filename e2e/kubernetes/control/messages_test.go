// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package control

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// TestMistakesAreExplained creates pods with a mistake in their annotations. What the author of the pod reads is asserted word for
// word, and is one line.
func TestMistakesAreExplained(t *testing.T) {
	installed(t)
	ns := namespace(t, nil)
	for _, c := range []struct{ annotation, value, want string }{
		{"audiense", "x", "renewd: unknown annotation renewd.github.io/audiense (known: config, audience, refresh-interval, refresh-at, keep, outage, mount-path)"},
		{"audience", "two words", "renewd: annotation renewd.github.io/audience (or audience in the params ConfigMap) must be visible ASCII characters without spaces"},
		{"config", "Not_A_Name", "renewd: annotation renewd.github.io/config must be the name of a ConfigMap in the pod's namespace"},
		{"mount-path", "tokens", "renewd: annotation renewd.github.io/mount-path (or mountPath in the params ConfigMap) must be an absolute directory path"},
		{"refresh-interval", "ten", "renewd: annotation renewd.github.io/refresh-interval (or refreshInterval in the params ConfigMap) must be a duration such as 10m"},
		{"refresh-at", "80", "renewd: annotation renewd.github.io/refresh-at (or refreshAt in the params ConfigMap) must be percentages of the life such as 70%-80%"},
		{"refresh-at", "80%-70%", "renewd: refresh-at must lie within 1% and 99%, the smaller first"},
		{"keep", "soon", "renewd: annotation renewd.github.io/keep (or keep in the params ConfigMap) must be a duration such as 2m"},
		{"outage", "-1h", "renewd: annotation renewd.github.io/outage (or outage in the params ConfigMap) must be a duration such as 30m"},
	} {
		t.Run(c.annotation, func(t *testing.T) {
			pod := labelled(&corev1.Pod{})
			pod.Annotations = map[string]string{"renewd.github.io/" + c.annotation: c.value}
			_, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), pod, dry)
			if err == nil || !strings.HasSuffix(err.Error(), " denied request: "+c.want) {
				t.Errorf("%v, want %q at its end", err, c.want)
			}
		})
	}
}

// TestMissingParametersAreExplained takes the parameters away: labelled pods are refused with a reason, others are admitted.
func TestMissingParametersAreExplained(t *testing.T) {
	installed(t)
	defer installed(t)
	ns := namespace(t, nil)
	const missing = "renewd: the params ConfigMap must set image, audience and revision"
	maps := lab.Client.CoreV1().ConfigMaps(system)
	for _, c := range []struct{ name, patch, want string }{
		{"no audience", `{"data":{"audience":null}}`, missing},
		{"no image", `{"data":{"image":null}}`, missing},
		{"no revision", `{"data":{"revision":null}}`, missing},
		{"nothing", `{"data":null}`, missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer installed(t)
			if _, err := maps.Patch(t.Context(), "renewd", types.MergePatchType, []byte(c.patch), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			refused(t, ns, c.want)
		})
	}
	t.Run("no ConfigMap", func(t *testing.T) {
		if err := maps.Delete(t.Context(), "renewd", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		refused(t, ns, "no params found for policy binding")
	})
}

// refused waits until a labelled pod is refused with a reason, and checks that a pod without the label is not.
func refused(t *testing.T, ns, want string) {
	t.Helper()
	trial.Eventually(t, 20*time.Second, func() error {
		_, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), labelled(&corev1.Pod{}), dry)
		if err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("the server says %w, want %q", err, want)
		}
		return nil
	})
	pod := labelled(&corev1.Pod{})
	pod.Labels = nil
	if _, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), pod, dry); err != nil {
		t.Errorf("a pod without the label: %v", err)
	}
}
