// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package control holds the tests of the charts and of renewd against a real API server and controller manager, without
// nodes: pods are admitted and wait for ever. It needs no root.
package control

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/renewd/renewd/e2e/kubernetes/internal/cluster"
	"github.com/renewd/renewd/e2e/kubernetes/internal/programs"
)

// What TestMain makes once for all tests.
var (
	lab     *cluster.Cluster
	renewd  string // the program
	project string // the root of the project
	chart   string // a copy of charts/renewd with what it depends on
	version string // of the API server, such as 1.37.2
)

func TestMain(m *testing.M) { os.Exit(startAndRun(m)) }

func startAndRun(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	dir, err := os.MkdirTemp("", "renewd-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = start(ctx, dir)
	}
	if lab != nil {
		defer lab.Stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func start(ctx context.Context, dir string) error {
	module, err := programs.Module()
	if err != nil {
		return err
	}
	project = filepath.Dir(filepath.Dir(module))
	built, err := programs.Build(ctx, programs.Control())
	if err != nil {
		return err
	}
	if renewd, err = programs.Renewd(ctx, dir); err != nil {
		return err
	}
	lab = &cluster.Cluster{Programs: built, Dir: dir}
	if err := lab.Start(ctx); err != nil {
		return err
	}
	info, err := lab.Client.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	version = strings.TrimPrefix(info.GitVersion, "v")
	charts, err := lab.Charts(ctx, project)
	chart = filepath.Join(charts, "renewd")
	return err
}

// system is the namespace that the chart is installed in.
const system = "renewd-system"

// audience is the audience that the chart is installed with.
const audience = "https://sts.example.com"

// namespace makes a namespace of the test's own with a service account.
func namespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	made, err := lab.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Labels: labels},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := lab.Client.CoreV1().Namespaces().Delete(context.Background(), made.Name, metav1.DeleteOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	eventually(t, 10*time.Second, func() error {
		_, err := lab.Client.CoreV1().ServiceAccounts(made.Name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return made.Name
}

// helm runs Helm to its end and returns what it printed.
func helm(t testing.TB, args ...string) (string, error) {
	t.Helper()
	return output(lab.Command(t.Context(), "helm", args...), "")
}

// kubectl runs kubectl with a text as its standard input.
func kubectl(t testing.TB, input string, args ...string) (string, error) {
	t.Helper()
	return output(lab.Command(t.Context(), "control", append([]string{"kubectl"}, args...)...), input)
}

// must fails the test if there is an error, and returns what was printed.
func must(t testing.TB) func(string, error) string {
	return func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// output runs a command to its end. A code other than 0 is an error with what the command said.
func output(cmd *exec.Cmd, input string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// eventually asks until there is no error, and fails the test with the last one when the time is over.
func eventually(t testing.TB, within time.Duration, ask func() error) {
	t.Helper()
	end := time.Now().Add(within)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %v", within, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// write writes a file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
