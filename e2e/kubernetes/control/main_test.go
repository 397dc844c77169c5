// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package control holds the tests of the charts and of renewd against a real API server and controller manager, without
// nodes: pods are admitted and wait for ever. It needs no root.
package control

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/e2e/kubernetes/internal/cluster"
	"github.com/renewd/renewd/e2e/kubernetes/internal/programs"
	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// What TestMain makes once for all tests.
var (
	lab     *cluster.Cluster
	renewd  string // the program
	project string // the root of the project
	chart   string // a copy of charts/renewd with what it depends on
	version string // of the API server, such as 1.37.2
)

func TestMain(m *testing.M) {
	minor := flag.String("kubernetes", "", "the version of the API server, one of the folders of versions; empty: that of go.mod")
	flag.Parse()
	os.Exit(startAndRun(m, *minor))
}

func startAndRun(m *testing.M, minor string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	dir, err := os.MkdirTemp("", "renewd-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = start(ctx, dir, minor)
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

func start(ctx context.Context, dir, minor string) error {
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
	if minor != "" {
		if lab.APIServer, err = programs.Server(ctx, minor); err != nil {
			return err
		}
	}
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
	return trial.Namespace(t, lab.Client, labels)
}

// helm runs Helm to its end and returns what it printed.
func helm(t testing.TB, args ...string) (string, error) {
	t.Helper()
	return trial.Output(lab.Command(t.Context(), "helm", args...), "")
}

// kubectl runs kubectl with a text as its standard input.
func kubectl(t testing.TB, input string, args ...string) (string, error) {
	t.Helper()
	return trial.Output(lab.Command(t.Context(), "control", append([]string{"kubectl"}, args...)...), input)
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

// write writes a file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
