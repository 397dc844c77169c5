// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/renewd/renewd/e2e/kubernetes/internal/cluster"
	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// TestInjectedPodHasATokenFromItsFirstLineOn starts pods one after the other, whose application ends with an error if it finds no token,
// and measures how long they take.
func TestInjectedPodHasATokenFromItsFirstLineOn(t *testing.T) {
	ns := namespace(t)
	var took []time.Duration
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		began := time.Now()
		pod := labelled(name, application(tokenFile))
		init := application(tokenFile, "--for", "1ms")
		init.Name = "migrate"
		pod.Spec.InitContainers = []corev1.Container{init}
		create(t, ns, pod)
		first := readings(t, ns, name, 1, 90*time.Second)[0]
		took = append(took, first.Time.Sub(began).Round(time.Millisecond))
		checkFirst(t, first)
		checkRestarts(t, await(t, ns, name, 30*time.Second, ready))
	}
	slices.Sort(took)
	t.Logf("from the request to the application's first line: %v", took)
}

// checkFirst looks at the first line of an application.
func checkFirst(t *testing.T, r reading) {
	t.Helper()
	if r.UID != appUser || r.Owner == appUser {
		t.Errorf("the application is user %d and the file belongs to %d: that shows nothing", r.UID, r.Owner)
	}
	if r.Mode != "0644" {
		t.Errorf("the file has mode %s, want 0644", r.Mode)
	}
	if r.Claims.Issuer != cluster.Issuer || time.Unix(r.Claims.Expires, 0).Before(r.Time) {
		t.Errorf("the token is %+v at %v", r.Claims, r.Time)
	}
}

// checkRestarts fails the test if a container had to be started again.
func checkRestarts(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	for _, s := range statuses(pod) {
		if s.RestartCount > 0 {
			t.Errorf("container %s was restarted: %+v", s.Name, s.LastTerminationState)
		}
	}
}

// TestProfileAsksTheAPIServer gives the chart a profile with the source kubernetes and none of its addresses: where the API server is
// and whom it is signed by is in every pod.
func TestProfileAsksTheAPIServer(t *testing.T) {
	ns := namespace(t)
	allowTokens(t, ns, "profile")
	values := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(values, []byte(`token:
  config: |
    version: 1
    tokens:
      - name: vault
        source: {kubernetes: {audiences: [vault], tokenFile: "${RENEWD_SOURCE_FILE}"}}
        publish: [{file: "${RENEWD_OUT}", mode: "${RENEWD_MODE}"}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	upgrade := func(more ...string) {
		t.Helper()
		args := append([]string{"upgrade", "renewd", filepath.Join(scratch, "charts/renewd"), "-n", system, "--reuse-values"}, more...)
		output(t, lab.Command(context.WithoutCancel(t.Context()), "helm", args...), "")
	}
	upgrade("-f", values)
	defer upgrade("--set", "token.config=")
	trial.Eventually(t, 30*time.Second, func() error {
		pod, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), labelled("any", application(tokenFile)), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && !slices.ContainsFunc(pod.Spec.InitContainers[0].Env, func(v corev1.EnvVar) bool { return v.Name == "RENEWD_CONFIG_YAML" }) {
			err = errors.New("new pods have no profile")
		}
		return err
	})
	create(t, ns, labelled("profile", application(tokenFile)))
	checkFirst(t, readings(t, ns, "profile", 1, 90*time.Second)[0])
}

// TestOfTheChartPasses runs what the chart offers for trying out an installation.
func TestOfTheChartPasses(t *testing.T) {
	said := output(t, lab.Command(t.Context(), "helm", "test", "renewd", "-n", system, "--timeout", "2m"), "")
	if !strings.Contains(said, "Succeeded") {
		t.Errorf("helm test says:\n%s", said)
	}
}

// TestLibraryChartGivesAToken renders the example of a chart that includes the library, and puts the application of the tests in the
// place of its own, which is a shell.
func TestLibraryChartGivesAToken(t *testing.T) {
	ns := namespace(t)
	chart := filepath.Join(scratch, "charts/example-app")
	rendered := output(t, lab.Command(t.Context(), "helm", "template", "example", chart, "-n", ns, "--set", "replicas=1",
		"--set", "renewd.token.audience="+cluster.Issuer, "--set", "renewd.image.pullPolicy=Never"), "")
	startDeployment(t, ns, rendered)
}

// TestKustomizeComponentGivesAToken adds the component to a deployment, as its own documentation says.
func TestKustomizeComponentGivesAToken(t *testing.T) {
	ns := namespace(t)
	dir := t.TempDir()
	component, err := filepath.Rel(dir, filepath.Join(project, "manifests/components/sidecar"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"kustomization.yaml": fmt.Sprintf(`resources: [deployment.yaml]
components: [%s]
configMapGenerator: [{name: renewd, files: [config.yaml, log-policy.yaml]}]
generatorOptions: {disableNameSuffixHash: true}
`, component),
		"config.yaml": `version: 1
tokens:
  - name: orders
    source: {file: {path: /var/run/secrets/renewd/token}}
    publish: [{file: /var/run/service-token/token, mode: "0644"}]
`,
		"log-policy.yaml": policy("INFO"),
		"deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, labels: {renewd.github.io/inject: "true"}}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec:
      containers:
        - name: app
          image: app
          volumeMounts: [{name: renewd-out, mountPath: /var/run/service-token, readOnly: true}]
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rendered := kubectl(t, "", "kustomize", dir)
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		if strings.Contains(document, "kind: Deployment") {
			startDeployment(t, ns, document)
			continue
		}
		kubectl(t, document, "apply", "-n", ns, "-f", "-")
	}
}

// startDeployment creates a deployment with the application of the tests instead of its own, and looks at its pod.
func startDeployment(t *testing.T, ns, rendered string) {
	t.Helper()
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(rendered), &d); err != nil {
		t.Fatal(err)
	}
	own := application(tokenFile)
	own.VolumeMounts = d.Spec.Template.Spec.Containers[0].VolumeMounts
	d.Spec.Template.Spec.Containers[0] = own
	if _, err := lab.Client.AppsV1().Deployments(ns).Create(t.Context(), &d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := podOf(t, ns)
	checkFirst(t, readings(t, ns, pod.Name, 1, 90*time.Second)[0])
	checkRestarts(t, await(t, ns, pod.Name, 30*time.Second, ready))
}

// podOf waits for the one pod of a namespace.
func podOf(t *testing.T, ns string) (pod *corev1.Pod) {
	t.Helper()
	trial.Eventually(t, 20*time.Second, func() error {
		list, err := lab.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return errors.New("there is no pod")
		}
		pod = &list.Items[0]
		return nil
	})
	return pod
}
