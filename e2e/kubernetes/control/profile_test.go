// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package control

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"

	"github.com/renewd/renewd/e2e/kubernetes/internal/cluster"
	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// sidecar runs the program as an injected container says: with its arguments and variables, as the kubelet would fill them in.
// Paths of the pod stand below a folder of the test's.
type sidecar struct {
	dir       string
	pod       *corev1.Pod
	container corev1.Container
}

// injectedPod creates a pod and returns its sidecar.
func injectedPod(t *testing.T, ns string, annotations map[string]string) *sidecar {
	t.Helper()
	pod := labelled(&corev1.Pod{})
	pod.Annotations = annotations
	pod.Spec.ServiceAccountName = "default"
	pod, err := lab.Client.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := &sidecar{dir: t.TempDir(), pod: pod, container: pod.Spec.InitContainers[0]}
	for _, m := range s.container.VolumeMounts {
		if err := os.MkdirAll(s.at(m.MountPath), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// at is the place of a path of the pod.
func (s *sidecar) at(path string) string { return filepath.Join(s.dir, path) }

// command is what the container runs: its arguments, or those of its probe.
func (s *sidecar) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := program(t, args...)
	fields := map[string]string{
		"metadata.name": s.pod.Name, "metadata.namespace": s.pod.Namespace, "metadata.uid": string(s.pod.UID),
		"spec.serviceAccountName": s.pod.Spec.ServiceAccountName,
	}
	known := map[string]string{}
	for _, v := range s.container.Env {
		value := expansion.Expand(v.Value, expansion.MappingFuncFor(known))
		if v.ValueFrom != nil {
			value = fields[v.ValueFrom.FieldRef.FieldPath]
			if value == "" {
				t.Fatalf("variable %s is of an unknown field: %+v", v.Name, v.ValueFrom)
			}
		}
		known[v.Name] = value
		for _, m := range s.container.VolumeMounts {
			value = strings.ReplaceAll(value, m.MountPath, s.at(m.MountPath))
		}
		cmd.Env = append(cmd.Env, v.Name+"="+value)
	}
	return cmd
}

// project writes the token that the pod asks for, as the kubelet projects it: behind two links, of which one changes.
func (s *sidecar) project(t *testing.T) (token string) {
	t.Helper()
	for _, v := range s.pod.Spec.Volumes {
		if v.Name != "renewd-sa" {
			continue
		}
		want := v.Projected.Sources[0].ServiceAccountToken
		token = tokenOf(t, s.pod.Namespace, s.pod.Spec.ServiceAccountName, &authenticationv1.TokenRequestSpec{
			Audiences: []string{want.Audience}, ExpirationSeconds: want.ExpirationSeconds,
			BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: s.pod.Name, UID: s.pod.UID},
		})
		for _, m := range s.container.VolumeMounts {
			if m.Name == v.Name {
				swap(t, s.at(m.MountPath), want.Path, token)
			}
		}
	}
	return token
}

// swap gives a folder a new generation in the kubelet's layout.
func swap(t *testing.T, dir, name, text string) {
	t.Helper()
	next, err := os.MkdirTemp(dir, "..")
	if err != nil {
		t.Fatal(err)
	}
	write(t, next, name, text)
	if err := os.Symlink(filepath.Base(next), filepath.Join(dir, "..data_tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
}

// TestBuiltInProfileRepublishes runs what the policy injected by default: the projected token is published, and so is the next one.
func TestBuiltInProfileRepublishes(t *testing.T) {
	installed(t)
	s := injectedPod(t, namespace(t, nil), map[string]string{"renewd.github.io/refresh-interval": "5m"})
	probe := s.container.StartupProbe.Exec.Command[1:]
	if out, err := trial.Output(s.command(t, probe...), ""); err == nil {
		t.Errorf("the startup probe succeeds before there is a token: %s", out)
	}
	stop := running(t, s.dir, s.command(t, s.container.Args...))
	first := s.project(t)
	path := s.at(env(s.container, "RENEWD_OUT"))
	published(t, path, first)
	if _, err := trial.Output(s.command(t, probe...), ""); err != nil {
		t.Errorf("the startup probe: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v, want mode 0644: the application may be another user", info.Mode(), err)
	}
	if who := review(t, first, audience); who == "" {
		t.Error("the published token is good for nobody")
	}
	time.Sleep(time.Second) // a token of the same second would be the same
	published(t, path, s.project(t))
	stop()
}

// TestProfileOfTheChartIsObeyed gives the chart a whole configuration, with every variable that a profile may use.
func TestProfileOfTheChartIsObeyed(t *testing.T) {
	values := write(t, t.TempDir(), "values.yaml", fmt.Sprintf(`token:
  audience: %s
  config: |
    version: 1
    tokens:
      - name: service
        source:
          kubernetes:
            server: %s
            tokenFile: ${RENEWD_SOURCE_FILE}
            http: {caFile: %s}
            audiences: ["${RENEWD_AUDIENCE}", "vault"]
            boundTo: {kind: Pod, name: "${POD_NAME}", uid: "${POD_UID}"}
            namespace: ${POD_NAMESPACE}
            serviceAccount: ${SERVICE_ACCOUNT}
        refresh: {at: "${RENEWD_REFRESH_AT}", interval: "${RENEWD_REFRESH_INTERVAL}", keep: "${RENEWD_KEEP}", outage: "${RENEWD_OUTAGE}"}
        publish: [{file: "${RENEWD_OUT}", mode: "${RENEWD_MODE}"}]
  logPolicy: |
    version: 1
    level: DEBUG
`, cluster.Issuer, lab.Server, lab.CA))
	must(t)(helm(t, "upgrade", "--install", "renewd", chart, "-n", system, "--create-namespace", "-f", values))
	defer installed(t)
	obeyed(t)
	ns := namespace(t, nil)
	allow(t, ns, "default", mayAsk("default"))
	for name, annotations := range map[string]map[string]string{
		"as installed": nil,
		"with settings": {
			"renewd.github.io/audience": cluster.Issuer, "renewd.github.io/refresh-interval": "7m", "renewd.github.io/refresh-at": "50%-60%",
			"renewd.github.io/keep": "3m", "renewd.github.io/outage": "10m", "renewd.github.io/mount-path": "/tokens",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := injectedPod(t, ns, annotations)
			defer func() {
				err := lab.Client.CoreV1().Pods(ns).Delete(t.Context(), s.pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
				if err != nil {
					t.Error(err)
				}
			}()
			s.project(t)
			stop := running(t, s.dir, s.command(t, s.container.Args...))
			var token []byte
			trial.Eventually(t, 10*time.Second, func() (err error) {
				token, err = os.ReadFile(s.at(env(s.container, "RENEWD_OUT")))
				return err
			})
			if who := review(t, string(token), "vault"); who != "system:serviceaccount:"+ns+":default" {
				t.Errorf("the token speaks for %q", who)
			}
			said, err := os.ReadFile(filepath.Join(s.dir, "log"))
			if err != nil || !strings.Contains(string(said), "DEBUG") {
				t.Errorf("the log policy of the chart was not obeyed: %v\n%s", err, said)
			}
			stop()
		})
	}
}

func published(t *testing.T, path, want string) {
	t.Helper()
	trial.Eventually(t, 20*time.Second, func() error {
		got, err := os.ReadFile(path)
		if err == nil && string(got) != want {
			err = fmt.Errorf("%s holds another token", path)
		}
		return err
	})
}

type claims struct {
	Issuer  string `json:"iss"`
	Issued  int64  `json:"iat"`
	Expires int64  `json:"exp"`
}

func claimsOf(t *testing.T, token string) (c claims) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT but %d bytes", len(token))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}
