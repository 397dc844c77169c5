// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package versions

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// TestLibraryIsInstalled installs a chart with the library.
func TestLibraryIsInstalled(t *testing.T) {
	chart := filepath.Join(charts, "example-app")
	for name, set := range map[string]string{
		"defaults":      "replicas=1",
		"own-user":      "renewd.sidecar.runAsUser=1000",
		"configmap":     "renewd.token.configMap=orders-renewd",
		"listens":       "renewd.sidecar.metrics.enabled=true",
		"configuration": "renewd.token.logPolicy=version: 1",
	} {
		t.Run(name, func(t *testing.T) {
			ns := restricted(t)
			must(t)(helm(t, "install", "orders", chart, "-n", ns, "--set", set))
			live := objects(t, must(t)(kubectl(t, "", "get", "deployment", "orders", "-n", ns, "-o", "json")))
			if natives(t, live) != 1 {
				t.Errorf("the deployment has lost the sidecar: %v", live)
			}
			admitted(t, ns, live)
			trial.Eventually(t, 30*time.Second, func() error { // what the controllers make of it
				out, err := kubectl(t, "", "get", "pods", "-n", ns, "-o", "jsonpath={.items[*].spec.initContainers[*].restartPolicy}")
				if err == nil && !strings.HasPrefix(out, "Always") {
					err = fmt.Errorf("the pods' init containers restart %q", out)
				}
				return err
			})
		})
	}
}

// TestManifests sends every example to the server, which checks it strictly and stores nothing, and then the pods that would come of it.
func TestManifests(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(project, "manifests/examples/*/kustomization.yaml"))
	if err != nil || len(folders) < 6 {
		t.Fatalf("%d examples, %v", len(folders), err)
	}
	for _, file := range folders {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			ns := restricted(t)
			rendered := must(t)(kubectl(t, "", "kustomize", dir))
			got := objects(t, must(t)(kubectl(t, rendered, "apply", "--dry-run=server", "--server-side", "-n", ns, "-o", "json", "-f", "-")))
			if want := objects(t, rendered); len(got) != len(want) {
				t.Errorf("%d objects accepted of %d", len(got), len(want))
			}
			want := strings.Count(rendered, "restartPolicy: Always")
			if found := natives(t, got); found != want {
				t.Errorf("%d sidecars, want %d", found, want)
			}
			admitted(t, ns, got)
		})
	}
}

// TestPoliciesAreRefused tries what this version cannot know. Who reads the message knows what to do instead.
func TestPoliciesAreRefused(t *testing.T) {
	chart := filepath.Join(charts, "renewd")
	const instead = "renewd: injection.mode=policy needs Kubernetes 1.36+ (got v%s). Set injection.mode=none and use the renewd-lib chart or " +
		"manifests/components/sidecar."
	info, err := lab.Client.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	install := []string{"install", "renewd", chart, "-n", "renewd-system", "--create-namespace", "--set", "token.audience=x"}
	template := []string{"template", "renewd", chart, "--set", "token.audience=x", "--kube-version"}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"install":           {install, fmt.Sprintf(instead, strings.TrimPrefix(info.GitVersion, "v"))},
		"the last without":  {append(template, "1.35.9"), fmt.Sprintf(instead, "1.35.9")},
		"older than both":   {append(template, "1.28.15"), "chart requires kubeVersion: >=1.29.0-0 which is incompatible with Kubernetes v1.28.15"},
		"older, by library": {[]string{"template", filepath.Join(charts, "example-app"), "--kube-version", "1.28.15"}, "chart requires kubeVersion: >=1.29.0-0"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := helm(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q\n%s", err, c.want, out)
			}
		})
	}
	if left := must(t)(helm(t, "list", "-A", "-q", "--filter", "^renewd$")); left != "" {
		t.Errorf("a refused release is there: %s", left)
	}
	t.Run("without policies", func(t *testing.T) {
		must(t)(helm(t, append(install, "--set", "injection.mode=none,dashboard.enabled=true")...))
		found := must(t)(kubectl(t, "", "get", "configmap", "-n", "renewd-system", "-l", "app.kubernetes.io/instance=renewd", "-o", "name"))
		if !strings.Contains(found, "dashboard") {
			t.Errorf("the dashboard is not there: %s", found)
		}
	})
	t.Run("manifests", func(t *testing.T) {
		rendered := must(t)(kubectl(t, "", "kustomize", filepath.Join(project, "manifests/overlays/default")))
		_, err := kubectl(t, rendered, "apply", "--dry-run=server", "--server-side", "-f", "-")
		if err == nil || !strings.Contains(err.Error(), `no matches for kind "MutatingAdmissionPolicy"`) {
			t.Errorf("%v", err)
		}
	})
}
