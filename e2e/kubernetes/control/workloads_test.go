// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package control

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// TestWorkloadsGetInjectedPods labels the pod templates of workloads. The controllers make the pods; the workloads themselves stay
// as they were written.
func TestWorkloadsGetInjectedPods(t *testing.T) {
	installed(t)
	ns := namespace(t, restricted)
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{inject: "true", "app": "app"}},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{container("migrate")},
			Containers:     []corev1.Container{container("app")},
		},
	}
	once := *template.DeepCopy()
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: ns} }
	selector := func(name string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
		own := *template.DeepCopy()
		own.Labels["app"] = name
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}, own
	}
	job := batchv1.JobSpec{Template: once}
	apps, batch := lab.Client.AppsV1(), lab.Client.BatchV1()
	cases := map[string]func() (corev1.PodTemplateSpec, error){
		"deployment": func() (corev1.PodTemplateSpec, error) {
			s, own := selector("deployment")
			d, err := apps.Deployments(ns).Create(t.Context(), &appsv1.Deployment{
				ObjectMeta: meta("deployment"), Spec: appsv1.DeploymentSpec{Replicas: new(int32(2)), Selector: s, Template: own},
			}, metav1.CreateOptions{})
			return d.Spec.Template, err
		},
		"statefulset": func() (corev1.PodTemplateSpec, error) {
			s, own := selector("statefulset")
			d, err := apps.StatefulSets(ns).Create(t.Context(), &appsv1.StatefulSet{
				ObjectMeta: meta("statefulset"), Spec: appsv1.StatefulSetSpec{Selector: s, Template: own},
			}, metav1.CreateOptions{})
			return d.Spec.Template, err
		},
		"job": func() (corev1.PodTemplateSpec, error) {
			d, err := batch.Jobs(ns).Create(t.Context(), &batchv1.Job{ObjectMeta: meta("job"), Spec: job}, metav1.CreateOptions{})
			return d.Spec.Template, err
		},
		"cronjob": func() (corev1.PodTemplateSpec, error) {
			d, err := batch.CronJobs(ns).Create(t.Context(), &batchv1.CronJob{
				ObjectMeta: meta("cronjob"), Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: job}},
			}, metav1.CreateOptions{})
			if err != nil {
				return corev1.PodTemplateSpec{}, err
			}
			_, err = kubectl(t, "", "create", "job", "-n", ns, "now", "--from=cronjob/cronjob")
			return d.Spec.JobTemplate.Spec.Template, err
		},
	}
	owners := map[string]string{"deployment": "app=deployment", "statefulset": "app=statefulset", "job": "job-name=job", "cronjob": "job-name=now"}
	for kind, create := range cases {
		t.Run(kind, func(t *testing.T) {
			stored, err := create()
			if err != nil {
				t.Fatal(err)
			}
			if len(stored.Spec.InitContainers) != 1 || len(stored.Annotations) > 0 {
				t.Errorf("the %s was changed: %+v", kind, stored)
			}
			pod := podOf(t, ns, owners[kind])
			checkInjected(t, &corev1.Pod{Spec: template.Spec}, pod)
			if pod.Status.Phase != corev1.PodPending {
				t.Errorf("the pod is %s", pod.Status.Phase)
			}
		})
	}
}

// podOf waits for a controller to make a pod.
func podOf(t *testing.T, ns, selector string) (pod *corev1.Pod) {
	t.Helper()
	trial.Eventually(t, 20*time.Second, func() error {
		list, err := lab.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return fmt.Errorf("no pod with %s", selector)
		}
		pod = &list.Items[0]
		return nil
	})
	return pod
}
