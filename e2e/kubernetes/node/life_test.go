// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// TestJobCompletes runs a Job whose application ends. The sidecar ends with it, soon and with 0, and the Job is complete.
func TestJobCompletes(t *testing.T) {
	ns := namespace(t)
	template := labelled("", application(tokenFile, "--for", "2s"))
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err := lab.Client.BatchV1().Jobs(ns).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "report"},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(0)),
			Template:     corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: template.Labels}, Spec: template.Spec},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	completed(t, ns, "report")
	checkEnd(t, podOf(t, ns))
}

// completed waits until a Job is complete.
func completed(t *testing.T, ns, name string) {
	t.Helper()
	trial.Eventually(t, 90*time.Second, func() error {
		job, err := lab.Client.BatchV1().Jobs(ns).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range job.Status.Conditions {
			if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("the Job is %+v", job.Status)
	})
}

// checkEnd looks at how a pod ended: the application first, then renewd with 0.
func checkEnd(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	app, renewd := status(t, pod, "app").State.Terminated, status(t, pod, "renewd").State.Terminated
	if app == nil || renewd == nil {
		t.Fatalf("not ended: %+v", statuses(pod))
	}
	if renewd.ExitCode != 0 || renewd.FinishedAt.Before(&app.FinishedAt) {
		t.Errorf("renewd ended with %d at %v, the application at %v", renewd.ExitCode, renewd.FinishedAt, app.FinishedAt)
	}
	// The times of a status are in seconds: two seconds and the kubelet's own look in between.
	if gap := renewd.FinishedAt.Sub(app.FinishedAt.Time); gap > 4*time.Second {
		t.Errorf("renewd ended %v after the application", gap)
	}
}

// TestDeletionEndsTheApplicationFirst deletes a pod that is held by a finalizer, so that its end can be read.
func TestDeletionEndsTheApplicationFirst(t *testing.T) {
	ns := namespace(t)
	pod := labelled("deleted", application(tokenFile))
	pod.Finalizers = []string{"e2e.renewd.github.io/hold"}
	create(t, ns, pod)
	t.Cleanup(func() {
		_, err := lab.Client.CoreV1().Pods(ns).Patch(context.Background(), "deleted", types.MergePatchType,
			[]byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	await(t, ns, "deleted", 90*time.Second, ready)
	if err := lab.Client.CoreV1().Pods(ns).Delete(t.Context(), "deleted", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	checkEnd(t, await(t, ns, "deleted", 30*time.Second, func(p *corev1.Pod) error {
		if status(t, p, "renewd").State.Terminated == nil {
			return fmt.Errorf("renewd runs: %+v", status(t, p, "renewd").State)
		}
		return nil
	}))
}

// TestCrashCostsTheIssuerNothing kills renewd behind the kubelet's back. The container comes back and adopts the token that is there:
// the application sees no change, and the API server is asked for no token.
func TestCrashCostsTheIssuerNothing(t *testing.T) {
	ns := namespace(t)
	asking(t, ns, "crash", "INFO")
	pod := labelled("crash", application(tokenFile))
	pod.Annotations["renewd.github.io/config"] = "crash"
	made := create(t, ns, pod)
	await(t, ns, "crash", 90*time.Second, ready)
	says(t, ns, "crash", "renewd", "token published")
	before := tokenRequests(t)
	kill(t, made.UID)
	await(t, ns, "crash", time.Minute, func(p *corev1.Pod) error {
		s := status(t, p, "renewd")
		if s.RestartCount != 1 || s.State.Running == nil || s.Started == nil || !*s.Started {
			return fmt.Errorf("renewd is %+v", s)
		}
		if code := s.LastTerminationState.Terminated.ExitCode; code != 128+int32(syscall.SIGKILL) {
			t.Errorf("it ended with %d", code)
		}
		return nil
	})
	says(t, ns, "crash", "renewd", "token adopted")
	if said := logs(t.Context(), ns, "crash", "renewd"); strings.Contains(said, "token published") {
		t.Errorf("a token was asked for after the crash:\n%s", said)
	}
	if after := tokenRequests(t); after != before {
		t.Errorf("%d tokens were asked for", after-before)
	}
	if n := len(readings(t, ns, "crash", 1, 0)); n != 1 {
		t.Errorf("the application saw %d tokens, want one", n)
	}
	checkReaderRan(t, ns, "crash")
}

func checkReaderRan(t *testing.T, ns, name string) {
	t.Helper()
	pod, err := lab.Client.CoreV1().Pods(ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s := status(t, pod, "app"); s.RestartCount > 0 || s.State.Running == nil {
		t.Errorf("the application was disturbed: %+v", s)
	}
}

// kill ends renewd in a pod, which it finds by the control group of its process.
func kill(t *testing.T, pod types.UID) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		groups, err := os.ReadFile(filepath.Join(p, "cgroup"))
		if err != nil || !strings.Contains(string(groups), string(pod)) {
			continue // it has ended, or is another pod's
		}
		command, err := os.ReadFile(filepath.Join(p, "cmdline"))
		if err != nil || !strings.HasPrefix(string(command), "/renewd\x00run") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(p))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no process of renewd found")
}

// tokenRequests is how many tokens the API server was asked for by anybody, as its own metrics count.
func tokenRequests(t *testing.T) int {
	t.Helper()
	text, err := lab.Client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	total, found := 0, false
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "apiserver_request_total{") || !strings.Contains(line, `subresource="token"`) {
			continue
		}
		found = true
		n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			t.Fatal(err)
		}
		total += int(n)
	}
	if !found {
		t.Fatal("the server counts no requests for tokens")
	}
	return total
}
