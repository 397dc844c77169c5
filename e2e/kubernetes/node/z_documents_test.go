// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package node

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/renewd/renewd/e2e/kubernetes/internal/cluster"
	"github.com/renewd/renewd/e2e/kubernetes/internal/documents"
)

// TestDocumentedCommands runs every command of docs/kubernetes.md, in its order. It installs the chart as a reader would, so it
// comes after the tests that count on the release of TestMain, which it brings back.
func TestDocumentedCommands(t *testing.T) {
	charts, dir := filepath.Join(scratch, "charts"), t.TempDir()
	run := func(command string) string {
		t.Helper()
		out, err := documents.Run(context.Background(), lab, charts, dir, command)
		if err != nil {
			t.Error(err)
		}
		return out
	}
	script, err := documents.Read(project)
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Write(dir); err != nil {
		t.Fatal(err)
	}
	run("helm uninstall renewd -n " + system + " --wait")
	t.Cleanup(func() {
		run("kubectl delete namespace apps --wait=false")
		run("helm upgrade renewd " + filepath.Join(charts, "renewd") + " -n " + system + " --reset-values --set token.audience=" + cluster.Issuer +
			",token.expirationSeconds=600,image.pullPolicy=Never")
	})
	ordersDeployment(t)
	for _, command := range script.Commands {
		out := run(command)
		switch {
		case strings.Contains(command, "-- /renewd status") && !strings.Contains(out, "yes"),
			strings.Contains(command, "-- /renewd check") && !strings.Contains(out, "1 token ok"),
			strings.Contains(command, "--dry-run=server") && out != "renewd",
			strings.Contains(command, "reason=FailedCreate") && !strings.Contains(out, "No resources found"):
			t.Errorf("%s:\n%s", command, out)
		}
		t.Logf("%s\n%s", command, out)
	}
}

// ordersDeployment makes the deployment that the document is about.
func ordersDeployment(t *testing.T) {
	t.Helper()
	if _, err := lab.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "apps"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": "orders"}
	app := application(tokenFile)
	app.Args = []string{"pause"} // until it is patched it has no token
	_, err := lab.Client.AppsV1().Deployments("apps").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "orders"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{app}, TerminationGracePeriodSeconds: new(int64(1))},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}
