// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package node

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// TestMemoryAsTheKubeletReportsIt reads the kubelet's own summary, which is what an operator sees.
func TestMemoryAsTheKubeletReportsIt(t *testing.T) {
	const most = 12 << 20
	ns := namespace(t)
	made := create(t, ns, labelled("small", application(tokenFile)))
	await(t, ns, "small", 90*time.Second, ready)
	trial.Eventually(t, 90*time.Second, func() error {
		text, err := lab.Client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/e2e/proxy/stats/summary").DoRaw(t.Context())
		if err != nil {
			return err
		}
		var summary struct {
			Pods []struct {
				PodRef     struct{ UID string }
				Containers []struct {
					Name   string
					Memory struct{ WorkingSetBytes, RSSBytes uint64 }
				}
			}
		}
		if err := json.Unmarshal(text, &summary); err != nil {
			return err
		}
		for _, p := range summary.Pods {
			for _, c := range p.Containers {
				if p.PodRef.UID != string(made.UID) || c.Name != "renewd" || c.Memory.WorkingSetBytes == 0 {
					continue
				}
				t.Logf("working set %.2f MiB, anonymous %.2f MiB", float64(c.Memory.WorkingSetBytes)/(1<<20), float64(c.Memory.RSSBytes)/(1<<20))
				if c.Memory.WorkingSetBytes > most {
					t.Errorf("more than %d MiB", most>>20)
				}
				return nil
			}
		}
		return errors.New("the kubelet reports nothing of renewd yet")
	})
}

// TestMetricsAreServedWhereTheChartSays switches the listener on for new pods, and scrapes one through the API server.
func TestMetricsAreServedWhereTheChartSays(t *testing.T) {
	upgrade := func(enabled string) {
		t.Helper()
		output(t, lab.Command(context.WithoutCancel(t.Context()), "helm", "upgrade", "renewd", filepath.Join(scratch, "charts/renewd"),
			"-n", system, "--reuse-values", "--set", "sidecar.metrics.enabled="+enabled), "")
	}
	ns := namespace(t)
	upgrade("true")
	defer upgrade("false")
	port := func(pod *corev1.Pod) int32 {
		for _, p := range pod.Spec.InitContainers[0].Ports {
			if p.Name == "renewd-metrics" {
				return p.ContainerPort
			}
		}
		return 0
	}
	trial.Eventually(t, 30*time.Second, func() error {
		pod, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), labelled("any", application(tokenFile)), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && port(pod) == 0 {
			err = errors.New("new pods have no port for metrics")
		}
		return err
	})
	made := create(t, ns, labelled("scraped", application(tokenFile)))
	await(t, ns, "scraped", 90*time.Second, ready)
	text, err := lab.Client.CoreV1().Pods(ns).ProxyGet("http", "scraped", strconv.Itoa(int(port(made))), "/metrics", nil).DoRaw(t.Context())
	if err != nil || !strings.Contains(string(text), `renewd_token_valid{token="token"} 1`) {
		t.Errorf("%v\n%s", err, text)
	}
}
