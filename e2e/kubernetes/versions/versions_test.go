// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package versions

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/e2e/kubernetes/internal/cluster"
	"github.com/renewd/renewd/e2e/kubernetes/internal/programs"
	"github.com/renewd/renewd/e2e/kubernetes/internal/trial"
)

// The oldest versions that the documents name.
const (
	policies = "1.36"
	sidecars = "1.29"
)

// What TestMain makes once for the tests of the version without policies.
var (
	lab     *cluster.Cluster
	project string // the root of the project
	charts  string // a copy of the charts with what they depend on
)

func TestMain(m *testing.M) { os.Exit(startAndRun(m)) }

func startAndRun(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Hour)
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
	server, err := programs.Server(ctx, sidecars)
	if err != nil {
		return err
	}
	lab = &cluster.Cluster{Programs: built, APIServer: server, Dir: dir}
	if err := lab.Start(ctx); err != nil {
		return err
	}
	charts, err = lab.Charts(ctx, project)
	return err
}

// TestControlPlane runs the tests of the control plane on older API servers: all of them where policies are known, and before that
// those of the tokens that renewd asks the server for. What uninstalls has a server of its own: one of 1.36 forgets for good how to read
// the parameters of policies once no policy has any (kubernetes/kubernetes#133827).
func TestControlPlane(t *testing.T) {
	const (
		uninstall = "^TestUninstallLeavesNothing$"
		tokens    = "^Test(RefusalSaysTheMissingRule|LifetimesAreTheServersOwn|TokenEndsWithItsPod|WrongTokensAreExplained|RunKeepsATokenFresh)$"
	)
	for name, c := range map[string]struct {
		minor, which, tests string
		least               int // tests that there must be, so that a new name does not go unnoticed
	}{
		"policies":  {policies, "-skip", uninstall, 19},
		"uninstall": {policies, "-run", uninstall, 1},
		"tokens":    {sidecars, "-run", tokens, 5},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "test", "../control", "-count=1", "-timeout=90m", "-v", c.which, c.tests, "-kubernetes", c.minor)
			out, err := trial.Output(cmd, "")
			if n := strings.Count("\n"+out, "\n--- PASS: "); err != nil || n < c.least {
				t.Errorf("%d tests passed, want %d at least: %v", n, c.least, err)
			}
		})
	}
}

// TestServerIsOfTheVersion keeps the others from testing another version unnoticed.
func TestServerIsOfTheVersion(t *testing.T) {
	info, err := lab.Client.Discovery().ServerVersion()
	if err != nil || !strings.HasPrefix(info.GitVersion, "v"+sidecars+".") {
		t.Errorf("the server is %v (%v), want %s", info, err, sidecars)
	}
}

// restricted makes a namespace that admits no pod beyond the restricted Pod Security Standard.
func restricted(t *testing.T) string {
	t.Helper()
	return trial.Namespace(t, lab.Client, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
}

func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return trial.Output(lab.Command(t.Context(), "helm", args...), "")
}

func kubectl(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	return trial.Output(lab.Command(t.Context(), "control", append([]string{"kubectl"}, args...)...), input)
}

// must fails the test if there is an error, and returns what was printed.
func must(t *testing.T) func(string, error) string {
	return func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}
