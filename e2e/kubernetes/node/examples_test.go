// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package node

import (
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestExampleJobsComplete runs the examples whose application ends, as they are but for that application, which is a shell: their
// sidecar, or init container, their configuration, and a group for the volumes.
func TestExampleJobsComplete(t *testing.T) {
	for _, example := range []string{"job", "cronjob", "init-only"} {
		t.Run(example, func(t *testing.T) {
			ns := namespace(t)
			startJob(t, ns, kubectl(t, "", "kustomize", filepath.Join(project, "manifests/examples", example)))
			completed(t, ns, "orders")
			pod := podOf(t, ns)
			if pod.Spec.SecurityContext.FSGroup == nil {
				t.Error("the example has no group for its volumes")
			}
			checkFirst(t, readings(t, ns, pod.Name, 1, 0)[0])
			if example != "init-only" {
				checkEnd(t, pod)
				return
			}
			app, renewd := status(t, pod, "app").State.Terminated, status(t, pod, "renewd").State.Terminated
			if renewd.ExitCode != 0 || app.StartedAt.Before(&renewd.FinishedAt) {
				t.Errorf("renewd ended with %d at %v, the application began at %v", renewd.ExitCode, renewd.FinishedAt, app.StartedAt)
			}
		})
	}
}

// startJob creates what an example renders, with the application of the tests, and starts a Job of a CronJob's.
func startJob(t *testing.T, ns, rendered string) {
	t.Helper()
	jobs := lab.Client.BatchV1()
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			t.Fatal(err)
		}
		var err error
		switch kind.Kind {
		case "ConfigMap":
			kubectl(t, document, "apply", "-n", ns, "-f", "-")
		case "Job":
			var job batchv1.Job
			if err = yaml.UnmarshalStrict([]byte(document), &job); err == nil {
				ending(&job.Spec.Template)
				_, err = jobs.Jobs(ns).Create(t.Context(), &job, metav1.CreateOptions{})
			}
		case "CronJob":
			var cron batchv1.CronJob
			if err = yaml.UnmarshalStrict([]byte(document), &cron); err == nil {
				ending(&cron.Spec.JobTemplate.Spec.Template)
				cron.Spec.Suspend = new(true) // this test says when
				_, err = jobs.CronJobs(ns).Create(t.Context(), &cron, metav1.CreateOptions{})
			}
			if err == nil {
				kubectl(t, "", "create", "job", "orders", "-n", ns, "--from=cronjob/orders")
			}
		default:
			t.Fatalf("the example has a %s", kind.Kind)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ending puts an application that ends into a pod, in the place of its own.
func ending(template *corev1.PodTemplateSpec) {
	app := application(tokenFile, "--for", "2s")
	app.VolumeMounts = template.Spec.Containers[0].VolumeMounts
	template.Spec.Containers[0] = app
}
