// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// restricted is a namespace that admits no pod beyond the restricted Pod Security Standard.
var restricted = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}

// careful is what the restricted standard wants of a container.
func careful() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsNonRoot: new(true), AllowPrivilegeEscalation: new(false),
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

func container(name string) corev1.Container {
	return corev1.Container{Name: name, Image: name, SecurityContext: careful()}
}

// pods are the shapes of a pod that make a difference to the policy.
func pods() map[string]*corev1.Pod {
	sidecar := container("proxy")
	sidecar.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	mounted := container("app")
	mounted.VolumeMounts = []corev1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}}
	own := container("app")
	own.VolumeMounts = []corev1.VolumeMount{{Name: "renewd-out", MountPath: "/tokens", ReadOnly: true}}
	scratch := func(name string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	}
	annotated := func(pairs ...string) metav1.ObjectMeta {
		all := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = pairs[i+1]
		}
		return metav1.ObjectMeta{Annotations: all}
	}
	one := []corev1.Container{container("app")}
	return map[string]*corev1.Pod{
		"one container":        {Spec: corev1.PodSpec{Containers: one}},
		"several containers":   {Spec: corev1.PodSpec{Containers: []corev1.Container{container("app"), container("helper"), bare("third")}}},
		"init containers":      {Spec: corev1.PodSpec{InitContainers: []corev1.Container{container("migrate"), bare("fetch")}, Containers: one}},
		"a sidecar":            {Spec: corev1.PodSpec{InitContainers: []corev1.Container{sidecar}, Containers: one}},
		"volumes":              {Spec: corev1.PodSpec{Containers: []corev1.Container{mounted}, Volumes: []corev1.Volume{scratch("scratch")}}},
		"its own volume":       {Spec: corev1.PodSpec{Containers: []corev1.Container{own}, Volumes: []corev1.Volume{scratch("renewd-out")}}},
		"a stranger's note":    {ObjectMeta: annotated("example.com/team", "orders"), Spec: corev1.PodSpec{Containers: one}},
		"settings":             {ObjectMeta: annotated("renewd.github.io/audience", "billing", "renewd.github.io/refresh-interval", "5m", "renewd.github.io/mount-path", "/tokens"), Spec: corev1.PodSpec{Containers: one}},
		"a configuration":      {ObjectMeta: annotated("renewd.github.io/config", "orders-renewd"), Spec: corev1.PodSpec{Containers: one}},
		"no account token":     {Spec: corev1.PodSpec{Containers: one, AutomountServiceAccountToken: new(false)}},
		"an operating system":  {Spec: corev1.PodSpec{Containers: one, OS: &corev1.PodOS{Name: corev1.Linux}}},
		"a process for itself": {Spec: corev1.PodSpec{Containers: one, ShareProcessNamespace: new(true), RestartPolicy: corev1.RestartPolicyNever}},
	}
}

func bare(name string) corev1.Container {
	c := container(name)
	c.VolumeMounts = []corev1.VolumeMount{}
	return c
}

// TestPodsComeBackInjected creates every shape of a pod where only restricted pods are admitted.
func TestPodsComeBackInjected(t *testing.T) {
	installed(t)
	ns := namespace(t, restricted)
	for name, pod := range pods() {
		t.Run(name, func(t *testing.T) {
			asked := labelled(pod.DeepCopy())
			got, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), asked, dry)
			if err != nil {
				t.Fatal(err)
			}
			checkInjected(t, asked, got)
			again, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), fresh(got), dry)
			if err != nil {
				t.Fatalf("second admission: %v", err)
			}
			if !equality.Semantic.DeepEqual(got.Spec, again.Spec) || !equality.Semantic.DeepEqual(got.Annotations, again.Annotations) {
				t.Errorf("a second admission changed the pod:\n%+v\nbefore:\n%+v", again.Spec, got.Spec)
			}
		})
	}
}

// fresh is a pod as its author would send it, without what the server wrote into the metadata.
func fresh(pod *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec}
}

// checkInjected compares a pod with what was asked for: renewd comes first, everybody sees its directory, read-only, and nothing
// else is different.
func checkInjected(t *testing.T, asked, got *corev1.Pod) {
	t.Helper()
	if got.Annotations[injected] == "" {
		t.Errorf("no annotation %s: %v", injected, got.Annotations)
	}
	init := got.Spec.InitContainers
	if len(init) != len(asked.Spec.InitContainers)+1 || init[0].Name != "renewd" {
		t.Fatalf("init containers are %v, want renewd before those of the pod", names(init))
	}
	if init[0].RestartPolicy == nil || *init[0].RestartPolicy != corev1.ContainerRestartPolicyAlways || init[0].StartupProbe == nil {
		t.Error("renewd is no native sidecar that the others wait for")
	}
	others := slices.Concat(init[1:], got.Spec.Containers)
	before := slices.Concat(asked.Spec.InitContainers, asked.Spec.Containers)
	if !slices.Equal(names(others), names(before)) {
		t.Fatalf("containers are %v, want %v", names(others), names(before))
	}
	for i, c := range others {
		at := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "renewd-out" })
		if at < 0 {
			t.Errorf("container %s does not see the token: %v", c.Name, c.VolumeMounts)
		} else if m := c.VolumeMounts[at]; !m.ReadOnly || m.SubPath != "" {
			t.Errorf("container %s mounts the token as %+v, want a directory, read-only", c.Name, m)
		}
		for _, m := range before[i].VolumeMounts {
			if !slices.ContainsFunc(c.VolumeMounts, func(n corev1.VolumeMount) bool { return n.Name == m.Name && n.MountPath == m.MountPath }) {
				t.Errorf("container %s lost its mount %+v", c.Name, m)
			}
		}
	}
	for _, v := range asked.Spec.Volumes {
		if !slices.ContainsFunc(got.Spec.Volumes, func(w corev1.Volume) bool { return w.Name == v.Name }) {
			t.Errorf("volume %s is lost", v.Name)
		}
	}
	for _, m := range init[0].VolumeMounts {
		if strings.HasPrefix(m.Name, "kube-api-access") {
			t.Errorf("renewd got the token of the pod too: %+v", m)
		}
	}
	for k, v := range asked.Annotations {
		if got.Annotations[k] != v {
			t.Errorf("annotation %s is %q, want %q", k, got.Annotations[k], v)
		}
	}
}

func names(list []corev1.Container) (all []string) {
	for _, c := range list {
		all = append(all, c.Name)
	}
	return all
}

// TestOthersAreLeftAlone creates pods that must come back as they were.
func TestOthersAreLeftAlone(t *testing.T) {
	installed(t)
	ns := namespace(t, nil)
	cases := map[string]func(*corev1.Pod){
		"no label":      func(p *corev1.Pod) { p.Labels = nil },
		"another value": func(p *corev1.Pod) { p.Labels[inject] = "false" },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			pod := labelled(&corev1.Pod{})
			change(pod)
			got, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), pod, dry)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Spec.InitContainers) > 0 || len(got.Annotations) > 0 {
				t.Errorf("init containers %v, annotations %v, want none", names(got.Spec.InitContainers), got.Annotations)
			}
		})
	}
	t.Run("the system's namespace", func(t *testing.T) {
		got, err := lab.Client.CoreV1().Pods("kube-system").Create(t.Context(), labelled(&corev1.Pod{}), dry)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Spec.InitContainers) > 0 {
			t.Error("injected")
		}
	})
}

// TestRestrictedNamespaceRefuses shows that the namespace of the other tests refuses what it should: they could not fail otherwise.
func TestRestrictedNamespaceRefuses(t *testing.T) {
	ns := namespace(t, restricted)
	_, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), labelled(&corev1.Pod{}), dry)
	if err == nil || !strings.Contains(err.Error(), "violates PodSecurity") || strings.Contains(err.Error(), "\"renewd\"") {
		t.Errorf("a careless container: %v, want a refusal for its sake alone", err)
	}
}

// TestTenantsBringTheirOwnParameters installs the policy once, and parameters in a tenant's namespace. Other namespaces are left alone.
func TestTenantsBringTheirOwnParameters(t *testing.T) {
	installed(t) // so that the change from one to the other is seen too
	tenant, stranger := namespace(t, nil), namespace(t, nil)
	defer installed(t)
	must(t)(helm(t, "upgrade", "renewd", chart, "-n", system, "--set", "injection.perNamespaceParams=true"))
	must(t)(helm(t, "install", "mine", chart, "-n", tenant, "--set", "injection.mode=params", "--set-string", "token.audience=mine"))
	trial.Eventually(t, 30*time.Second, func() error {
		got, err := lab.Client.CoreV1().Pods(tenant).Create(t.Context(), labelled(&corev1.Pod{}), dry)
		if err != nil {
			return err
		}
		other, err := lab.Client.CoreV1().Pods(stranger).Create(t.Context(), labelled(&corev1.Pod{}), dry)
		if err != nil {
			return err
		}
		if len(got.Spec.InitContainers) != 1 || env(got.Spec.InitContainers[0], "RENEWD_AUDIENCE") != "mine" || len(other.Spec.InitContainers) != 0 {
			return fmt.Errorf("the tenant's pod has %+v, the stranger's %+v", got.Spec.InitContainers, other.Spec.InitContainers)
		}
		return nil
	})
	must(t)(helm(t, "uninstall", "mine", "-n", tenant))
}
