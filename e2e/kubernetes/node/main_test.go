// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package node holds the tests of what happens on a node: containers that start, restart and end, mounted files that change,
// memory that is counted. They run on a kubelet and containerd in namespaces of their own, as root.
package node

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/renewd/renewd/e2e/kubernetes/internal/cluster"
	"github.com/renewd/renewd/e2e/kubernetes/internal/image"
	"github.com/renewd/renewd/e2e/kubernetes/internal/isolate"
	"github.com/renewd/renewd/e2e/kubernetes/internal/programs"
)

// What was made for the test in its namespaces, by the process outside.
const (
	builtVariable   = "E2E_PROGRAMS"
	scratchVariable = "E2E_SCRATCH"
	projectVariable = "E2E_PROJECT"
)

// The images on the node.
const (
	renewdImage = "ghcr.io/renewd/renewd:0.1.0"
	podImage    = "e2e.renewd.github.io/pod:1"
)

// system is the namespace that the chart is installed in.
const system = "renewd-system"

// What TestMain makes once for all tests.
var (
	lab     *cluster.Cluster
	project string // the root of the project
	scratch string // a folder that is removed in the end
)

func TestMain(m *testing.M) {
	if code, over := isolate.Init(); over {
		os.Exit(code)
	}
	if isolate.Inside() {
		os.Exit(startAndRun(m))
	}
	code, err := outside()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// outside builds what the test needs, while there is a network, runs it, and clears away what it left on the machine.
func outside() (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := cluster.Missing(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "renewd-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	built, err := programs.Build(ctx, append(programs.Control(), programs.Node()...))
	if err != nil {
		return 0, err
	}
	if _, err := programs.Renewd(ctx, dir); err != nil {
		return 0, err
	}
	if _, err := programs.Pod(ctx, dir); err != nil {
		return 0, err
	}
	module, err := programs.Module()
	if err != nil {
		return 0, err
	}
	code, err = isolate.Run(ctx, builtVariable+"="+built, scratchVariable+"="+dir, projectVariable+"="+filepath.Dir(filepath.Dir(module)))
	if failed := (&cluster.Cluster{Dir: dir}).RemoveGroups(); err == nil {
		err = failed
	}
	return code, err
}

func startAndRun(m *testing.M) int {
	project, scratch = os.Getenv(projectVariable), os.Getenv(scratchVariable)
	lab = &cluster.Cluster{Programs: os.Getenv(builtVariable), Dir: scratch, Networked: true}
	defer lab.Stop()
	if err := start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func start(ctx context.Context) error {
	if err := cluster.Network(ctx); err != nil {
		return err
	}
	if err := lab.Start(ctx); err != nil {
		return err
	}
	pod := filepath.Join(scratch, "pod")
	if err := lab.StartNode(ctx, pod); err != nil {
		return err
	}
	for _, i := range []image.Image{
		{
			Name: renewdImage, Files: map[string]string{"/renewd": filepath.Join(scratch, "renewd")},
			Entrypoint: []string{"/renewd"}, Command: []string{"run"}, User: "65532:65532",
		},
		{Name: podImage, Files: map[string]string{"/pod": pod}, Entrypoint: []string{"/pod"}},
	} {
		if err := lab.Load(ctx, i); err != nil {
			return err
		}
	}
	return install(ctx)
}

// install installs the chart.
func install(ctx context.Context) error {
	charts, err := lab.Charts(ctx, project)
	if err != nil {
		return err
	}
	out, err := lab.Command(ctx, "helm", "install", "renewd", filepath.Join(charts, "renewd"), "-n", system, "--create-namespace",
		"--set", "token.audience="+cluster.Issuer, "--set", "token.expirationSeconds=600", "--set", "image.pullPolicy=Never").CombinedOutput()
	if err != nil {
		return fmt.Errorf("install the chart: %w\n%s", err, out)
	}
	return obeyed(ctx)
}

// obeyed waits until a labelled pod would be injected: the server takes a second to obey a new policy.
func obeyed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	for {
		pod, err := lab.Client.CoreV1().Pods("default").Create(ctx, labelled("any", application(tokenFile)), dry)
		if err == nil && len(pod.Spec.InitContainers) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pods are not injected: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
