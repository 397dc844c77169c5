// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package control

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// BenchmarkAdmission measures a dry-run creation of a pod: one that the policies do not look at, and one that they inject.
//
//	go test ./control -run '^$' -bench Admission -benchtime 2000x
func BenchmarkAdmission(b *testing.B) {
	installed(b)
	for _, c := range []struct {
		name, label string
		sidecars    int
	}{{"plain", "false", 0}, {"injected", "true", 1}} {
		b.Run(c.name, func(b *testing.B) {
			pod := labelled(&corev1.Pod{})
			pod.Labels[inject] = c.label
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				began := time.Now()
				got, err := lab.Client.CoreV1().Pods("default").Create(b.Context(), pod, dry)
				took = append(took, time.Since(began))
				if err != nil || len(got.Spec.InitContainers) != c.sidecars {
					b.Fatalf("%v, init containers %v", err, names(got.Spec.InitContainers))
				}
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
		})
	}
}
