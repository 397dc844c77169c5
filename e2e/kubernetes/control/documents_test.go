// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package control

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/renewd/renewd/e2e/kubernetes/internal/documents"
)

// TestDocumentedCommands runs the commands of docs/kubernetes.md that need no node. Those of the node's tests are the rest.
func TestDocumentedCommands(t *testing.T) {
	charts, dir := filepath.Dir(chart), t.TempDir()
	script, err := documents.Read(project)
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Write(dir); err != nil {
		t.Fatal(err)
	}
	must(t)(helm(t, "uninstall", "renewd", "-n", system, "--wait", "--ignore-not-found"))
	must(t)(kubectl(t, "", "create", "namespace", "apps"))
	t.Cleanup(func() {
		if _, err := documents.Run(context.Background(), lab, charts, dir, "kubectl delete namespace apps --wait=false"); err != nil {
			t.Error(err)
		}
	})
	must(t)(kubectl(t, "", "create", "deployment", "orders", "-n", "apps", "--image=app"))
	node := []string{"helm test", "kubectl rollout status", "kubectl logs", "kubectl exec"}
	for _, command := range script.Commands {
		if slices.ContainsFunc(node, func(p string) bool { return strings.HasPrefix(command, p) }) {
			continue
		}
		out, err := documents.Run(t.Context(), lab, charts, dir, command)
		if err != nil {
			t.Error(err)
		}
		if strings.HasPrefix(command, "helm install") {
			obeyed(t)
		}
		if strings.Contains(command, "--dry-run=server") && out != "renewd" {
			t.Errorf("%s: %s", command, out)
		}
	}
}
