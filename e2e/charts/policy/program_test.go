// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package policy

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/renewd/renewd/e2e/charts/chart"
)

// TestProgramUnderstandsTheSidecar runs renewd with the variables and arguments that pods get, for each way to configure it and with
// every annotation and none: it publishes the token, and the startup probe sees that, and nothing before.
func TestProgramUnderstandsTheSidecar(t *testing.T) {
	binary := build(t)
	const profile = `version: 1
tokens:
  - name: service
    source: {file: {path: "${RENEWD_SOURCE_FILE}"}}
    expect: {aud: ["${RENEWD_AUDIENCE}"]}
    refresh:
      interval: ${RENEWD_REFRESH_INTERVAL}
      at: ${RENEWD_REFRESH_AT}
      keep: ${RENEWD_KEEP}
      outage: ${RENEWD_OUTAGE}
    publish:
      - file: ${RENEWD_OUT}
        mode: "${RENEWD_MODE}"
      - file: ${RENEWD_OUT}.txt
        mode: "${RENEWD_MODE}"
        format: {template: {text: "${POD_NAME} ${POD_NAMESPACE} ${POD_UID} ${SERVICE_ACCOUNT} ${RENEWD_AUDIENCE} $$(POD_NAME) $$$$ ${value}"}}
`
	file := filepath.Join(t.TempDir(), "values.yaml")
	values := "token:\n  audience: fleet\n  logPolicy: |\n    version: 1\n    level: INFO\n  config: |\n    " + strings.ReplaceAll(profile, "\n", "\n    ")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := chart.Render(chart.Request{Chart: "renewd", Files: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	more, err := chart.Decode(namespaces)
	if err != nil {
		t.Fatal(err)
	}
	profiled := cluster(t, append(r.Objects, more...))
	tuned := map[string]string{"refresh-interval": "10m", "refresh-at": "50%", "keep": "1m", "outage": "5m"}
	for _, c := range []struct {
		name        string
		cluster     *Cluster
		annotations map[string]string
	}{
		{"built in", installed(t, "token.audience=fleet"), nil},
		{"built in, tuned", installed(t, "token.audience=fleet", "sidecar.extraArgs={--log-level,INFO}"), tuned},
		{"built in, with metrics", installed(t, "token.audience=fleet", "sidecar.metrics.enabled=true", "sidecar.metrics.port="+freePort(t)), nil},
		{"profile", profiled, nil},
		{"profile, tuned", profiled, tuned},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			annotations := with(map[string]string{"mount-path": "/t"}, c.annotations)
			_, sidecar := create(t, c.cluster, pod(annotations, nil))
			env := variables(sidecar)
			env["RENEWD_OUT"] = strings.Replace(env["RENEWD_OUT"], "/t/", dir+"/", 1)
			env["RENEWD_SOURCE_FILE"] = filepath.Join(dir, "projected")
			env["RENEWD_SOCKET"] = filepath.Join(dir, "socket")
			var token string
			run(t, binary, sidecar, env, func() { token = jwt(t, env["RENEWD_SOURCE_FILE"]) })
			if got := contents(t, dir, "token"); got != token {
				t.Errorf("the file holds %q", got)
			}
			if info, err := os.Stat(filepath.Join(dir, "token")); err != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("%v, %v", info, err)
			}
			if c.cluster != profiled {
				return
			}
			want := "orders-1 apps 0b7c2d0e-5c1f-4a53-9a0b-8d4b5f6a7c8d orders fleet $(POD_NAME) $$ " + token
			if got := contents(t, dir, "token.txt"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// run starts the sidecar as the kubelet does, sees that its startup probe holds the pod back while there is no token, projects
// one, waits for the probe, and stops the sidecar.
func run(t *testing.T, binary string, sidecar *corev1.Container, env map[string]string, project func()) {
	t.Helper()
	command := func(args ...string) *exec.Cmd {
		c := exec.Command(binary, args...)
		for name, value := range env {
			c.Env = append(c.Env, name+"="+value)
		}
		return c
	}
	var log strings.Builder
	daemon := command(sidecar.Args...)
	daemon.Stderr = &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	succeeds := func(args ...string) {
		t.Helper()
		deadline := time.Now().Add(2 * time.Minute)
		for {
			out, err := command(args...).CombinedOutput()
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("%q: %v\n%s", args, err, out)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	probe := sidecar.StartupProbe.Exec.Command[1:]
	succeeds("healthcheck", "--live")
	if out, err := command(probe...).CombinedOutput(); err == nil {
		t.Errorf("%q succeeds before there is a token:\n%s", probe, out)
	}
	project()
	succeeds(probe...)
	_ = daemon.Process.Signal(os.Interrupt) // it may have ended
	if err := <-ended; err != nil {
		t.Errorf("renewd %v: %v\n%s", sidecar.Args, err, log.String())
	}
}

// jwt writes a token as the kubelet projects it, valid for an hour.
func jwt(t *testing.T, path string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	token := encode([]byte(`{"alg":"RS256"}`)) + "." + encode(fmt.Appendf(nil, `{"aud":["fleet"],"iat":%d,"exp":%d}`, now, now+3600)) + "." + encode([]byte("signature"))
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return token
}

func contents(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// freePort returns a port that nobody else takes before the test ends: the kernel gives none below 32768 to whoever asks for any,
// and a name that is held meanwhile keeps it from other tests on this machine.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20000 + rand.IntN(10000))
		held, err := net.Listen("unix", "@renewd-test-port-"+port)
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = held.Close() })
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// build compiles the program.
func build(t *testing.T) string {
	t.Helper()
	root, err := chart.Folder()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "renewd")
	c := exec.Command("go", "build", "-o", binary, ".")
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}
