// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// tokenFile is where the chart's default has the token.
const tokenFile = "/var/run/service-token/token"

// appUser is the user of the application, which is not renewd's.
const appUser = 1000

// namespace makes a namespace of the test's own, which admits restricted pods only.
func namespace(t *testing.T) string {
	t.Helper()
	return trial.Namespace(t, lab.Client, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
}

// application is a container that reads a token from its first line on, and ends with an error if there is none.
func application(args ...string) corev1.Container {
	return corev1.Container{
		Name: "app", Image: podImage, ImagePullPolicy: corev1.PullNever, Args: append([]string{"read"}, args...),
		SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(appUser)), RunAsGroup: new(int64(appUser)), AllowPrivilegeEscalation: new(false),
			ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

// labelled is a pod that is injected.
func labelled(name string, containers ...corev1.Container) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"renewd.github.io/inject": "true"}, Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: containers, TerminationGracePeriodSeconds: new(int64(5))},
	}
}

// create creates a pod. What it ran into is shown if the test failed.
func create(t *testing.T, ns string, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	made, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		now, err := lab.Client.CoreV1().Pods(ns).Get(context.Background(), made.Name, metav1.GetOptions{})
		if err != nil {
			t.Logf("the pod: %v", err)
			return
		}
		for _, s := range statuses(now) {
			t.Logf("container %s: %+v", s.Name, s.State)
		}
		t.Logf("events: %s", strings.Join(events(ns, made.UID), "\n"))
		t.Logf("renewd said: %s", logs(context.Background(), ns, made.Name, "renewd"))
	})
	return made
}

// await waits until a pod is as it should be, and returns it.
func await(t *testing.T, ns, name string, within time.Duration, want func(*corev1.Pod) error) (pod *corev1.Pod) {
	t.Helper()
	trial.Eventually(t, within, func() (err error) {
		if pod, err = lab.Client.CoreV1().Pods(ns).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		return want(pod)
	})
	return pod
}

func ready(pod *corev1.Pod) error {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("pod %s is %s, not ready", pod.Name, pod.Status.Phase)
}

func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// status returns the status of a container.
func status(t *testing.T, pod *corev1.Pod, container string) corev1.ContainerStatus {
	t.Helper()
	all := statuses(pod)
	i := slices.IndexFunc(all, func(s corev1.ContainerStatus) bool { return s.Name == container })
	if i < 0 {
		t.Fatalf("pod %s has no container %s", pod.Name, container)
	}
	return all[i]
}

// logs returns what a container wrote, or why that is not known.
func logs(ctx context.Context, ns, pod, container string) string {
	text, err := lab.Client.CoreV1().Pods(ns).GetLogs(pod, &corev1.PodLogOptions{Container: container}).DoRaw(ctx)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// says waits for a container to write something.
func says(t *testing.T, ns, pod, container, want string) {
	t.Helper()
	trial.Eventually(t, 30*time.Second, func() error {
		if said := logs(t.Context(), ns, pod, container); !strings.Contains(said, want) {
			return fmt.Errorf("%s did not say %q but\n%s", container, want, said)
		}
		return nil
	})
}

func events(ns string, of types.UID) (texts []string) {
	list, err := lab.Client.CoreV1().Events(ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range list.Items {
		if e.InvolvedObject.UID == of {
			texts = append(texts, e.Reason+": "+e.Message)
		}
	}
	return texts
}

// reading is a line of the application.
type reading struct {
	Time   time.Time `json:"time"`
	Digest string    `json:"digest"`
	Claims struct {
		Issuer  string `json:"iss"`
		Issued  int64  `json:"iat"`
		Expires int64  `json:"exp"`
	} `json:"claims"`
	Mode  string `json:"mode"`
	UID   int    `json:"uid"`
	Owner int    `json:"owner"`
}

// readings returns what the application has found so far, and waits for so many lines.
func readings(t *testing.T, ns, pod string, atLeast int, within time.Duration) (list []reading) {
	t.Helper()
	trial.Eventually(t, within, func() error {
		said := logs(t.Context(), ns, pod, "app")
		list = nil
		for line := range strings.Lines(said) {
			var r reading
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				return fmt.Errorf("the application says: %s", said)
			}
			list = append(list, r)
		}
		if len(list) < atLeast {
			return fmt.Errorf("the application found %d tokens, want %d", len(list), atLeast)
		}
		return nil
	})
	return list
}

// kubectl runs kubectl with a text as its standard input.
func kubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	return output(t, lab.Command(t.Context(), "control", append([]string{"kubectl"}, args...)...), input)
}

// output runs a command to its end, which must be a good one.
func output(t *testing.T, cmd *exec.Cmd, input string) string {
	t.Helper()
	text, err := trial.Output(cmd, input)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
