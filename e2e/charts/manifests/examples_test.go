// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package manifests

import (
	"cmp"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// sortByName sorts variables and other named things: their order means nothing here.
func sortByName(list []any) {
	slices.SortFunc(list, func(a, b any) int {
		return cmp.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
	})
}

// workloads are the kinds of object that have pods, in examples.
var workloads = []string{"Deployment", "StatefulSet", "Job", "CronJob"}

// different says what an example's sidecar has other than the library's, by key; nil stands for a key that is not there.
var different = map[string]map[string]any{
	"init-only":       {"restartPolicy": nil, "startupProbe": nil, "args": []any{"once", "--timeout", "5m"}},
	"classic-sidecar": {"restartPolicy": nil},
}

func TestExamples(t *testing.T) {
	for _, dir := range folders(t, "examples") {
		if dir == "host" || dir == "compose" {
			continue // e2e/host looks at them
		}
		t.Run(dir, func(t *testing.T) {
			var workload *unstructured.Unstructured
			objects := build(t, folder("examples", dir))
			for _, o := range objects {
				if slices.Contains(workloads, o.GetKind()) {
					workload = o
				}
			}
			if workload == nil || objects["ConfigMap/renewd"] == nil || len(objects) != 2 {
				t.Fatalf("it has %v, want a workload and a ConfigMap renewd", slices.Sorted(maps.Keys(objects)))
			}
			data, _, err := unstructured.NestedStringMap(objects["ConfigMap/renewd"].Object, "data")
			if err != nil || len(data) != 2 || data["config.yaml"] == "" || data["log-policy.yaml"] == "" {
				t.Errorf("the ConfigMap has %v, %v", data, err)
			}
			spec, _ := podSpec(t, workload)
			wantSidecar(t, spec, different[dir])
			wantApplication(t, spec)
		})
	}
}

// wantSidecar compares the example's renewd with the library's, but for what differs by intent.
func wantSidecar(t *testing.T, spec, differs map[string]any) {
	t.Helper()
	want := pod(t)["initContainers"].([]any)[0].(map[string]any)
	for k, v := range differs {
		if want[k] = v; v == nil {
			delete(want, k)
		}
	}
	var got map[string]any
	inits, _ := spec["initContainers"].([]any)
	for _, c := range append(slices.Clone(inits), spec["containers"].([]any)...) {
		if c := c.(map[string]any); c["name"] == "renewd" {
			got = c
		}
	}
	if got == nil {
		t.Fatalf("no renewd in\n%s", text(t, spec))
	}
	for _, list := range []any{got["env"], want["env"]} {
		sortByName(list.([]any)) // a patch puts its own first
		for _, v := range list.([]any) {
			if v := v.(map[string]any); v["name"] == "RENEWD_AUDIENCE" {
				delete(v, "value") // each example's own
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("renewd is\n%s\nthe library's\n%s", text(t, got), text(t, want))
	}
}

// wantApplication checks what an example shows by the way.
func wantApplication(t *testing.T, spec map[string]any) {
	t.Helper()
	if spec["automountServiceAccountToken"] != false {
		t.Error("the pod mounts the token of the API server")
	}
	group, found, err := unstructured.NestedFieldNoCopy(spec, "securityContext", "fsGroup")
	if !found || err != nil {
		t.Errorf("fsGroup is %v, %v", group, err)
	}
	app := spec["containers"].([]any)[0].(map[string]any)
	mounts := app["volumeMounts"].([]any)
	if want := map[string]any{"name": "renewd-out", "mountPath": "/var/run/service-token", "readOnly": true}; len(mounts) != 1 || !reflect.DeepEqual(mounts[0], want) {
		t.Errorf("the application mounts %v, want %v", mounts, want)
	}
}

// TestKustomizationsOfTheReadme builds what README.md shows, with a folder here in the place of the published release.
func TestKustomizationsOfTheReadme(t *testing.T) {
	readme, err := os.ReadFile(folder("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(shown) != 2 {
		t.Fatalf("%d kustomizations", len(shown))
	}
	published := regexp.MustCompile(`github\.com/renewd/renewd//(\S+)\?ref=v0\.1\.0`)
	var built []map[string]*unstructured.Unstructured
	for _, text := range shown {
		dir, err := os.MkdirTemp("testdata", "built-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		run(t, nil, "cp", folder("examples", "deployment", "deployment.yaml"), folder("examples", "job", "config.yaml"), folder("examples", "job", "log-policy.yaml"), dir)
		local := published.ReplaceAllString(text[1], "../../../../../$1")
		if local == text[1] {
			t.Fatalf("no published folder in\n%s", local)
		}
		if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(local), 0o600); err != nil {
			t.Fatal(err)
		}
		built = append(built, build(t, dir))
	}
	spec, _ := podSpec(t, built[0]["Deployment/orders"])
	wantSidecar(t, spec, nil)
	params, _, err := unstructured.NestedStringMap(built[1]["ConfigMap/renewd"].Object, "data")
	if err != nil || params["audience"] != "https://sts.example.com" || params["revision"] != "0.1.0-mine" {
		t.Errorf("the parameters are %v, %v", params, err)
	}
}

// TestExampleConfigurationsAreValid checks each configuration and log policy by the program, with the volumes and files that it
// names under a folder of the test.
func TestExampleConfigurationsAreValid(t *testing.T) {
	renewd := filepath.Join(t.TempDir(), "renewd")
	build := exec.Command("go", "build", "-o", renewd, ".")
	build.Dir = folder("..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checked := 0
	err := filepath.WalkDir(folder(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "config.yaml" {
			return err
		}
		checked++
		t.Run(filepath.ToSlash(filepath.Dir(path)), func(t *testing.T) { validConfiguration(t, renewd, path) })
		return nil
	})
	if err != nil || checked < 9 {
		t.Errorf("%d configurations checked, %v", checked, err)
	}
}

func validConfiguration(t *testing.T, renewd, path string) {
	root := t.TempDir()
	for _, dir := range []string{"/var/run/service-token", "/var/run/secrets/renewd", "/run/renewd", "/etc/renewd/keys", "/keys"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	secret := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(root+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret("/var/run/secrets/renewd/token", "e30.e30.AA")
	secret("/etc/renewd/keys/client-secret", "not-a-secret")
	run(t, nil, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", root+"/keys/signing.pem")
	run(t, nil, "cp", root+"/keys/signing.pem", root+"/etc/renewd/keys/")
	for _, name := range []string{"config.yaml", "log-policy.yaml"} {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			t.Fatal(err)
		}
		moved := strings.NewReplacer(" /var/run/", " "+root+"/var/run/", " /run/", " "+root+"/run/", " /etc/", " "+root+"/etc/", " /keys/", " "+root+"/keys/")
		secret("/etc/renewd/"+name, moved.Replace(string(data)))
	}
	env := append(os.Environ(), "POD_NAMESPACE=orders", "SERVICE_ACCOUNT=orders", "POD_NAME=orders-0")
	run(t, env, renewd, "check", "-c", root+"/etc/renewd/config.yaml")
	run(t, env, renewd, "log-policy", "check", root+"/etc/renewd/log-policy.yaml")
}

// run runs a program, which must succeed.
func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", cmd, err, out)
	}
}
