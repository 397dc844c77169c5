// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package charts

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	kubectl "k8s.io/kubectl/pkg/cmd"

	"github.com/renewd/renewd/e2e/charts/chart"
)

// TestRunbooksSpeakKubectl has kubectl itself read each of its commands in the runbooks: its verb and its flags exist. No
// command is carried out. What the commands run in a container is looked up by commands_test.go at the root.
func TestRunbooksSpeakKubectl(t *testing.T) {
	dir, err := chart.Folder("docs", "runbooks")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"kubectl tell orders", "kubectl exec orders --container-name renewd -- /renewd status"} {
		if parse(wrong) == nil {
			t.Errorf("kubectl would take %s", wrong)
		}
	}
	read := 0
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if !strings.HasPrefix(line, "kubectl ") {
				continue
			}
			read++
			if err := parse(strings.TrimSpace(line)); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(page), strings.TrimSpace(line), err)
			}
		}
	}
	if read < 20 {
		t.Errorf("only %d commands in %d runbooks", read, len(pages))
	}
}

// parse takes a command line apart as a shell does, and has kubectl read it. Placeholders are names.
func parse(line string) error {
	words, err := exec.Command("sh", "-c", `printf '%s\n' `+strings.TrimPrefix(line, "kubectl ")).Output()
	if err != nil {
		return err
	}
	root := kubectl.NewKubectlCommand(kubectl.KubectlOptions{
		Arguments: []string{"kubectl"},
		IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard},
	})
	root.SilenceErrors, root.SilenceUsage = true, true
	command, args, err := root.Traverse(strings.Split(strings.TrimSuffix(string(words), "\n"), "\n"))
	if err != nil {
		return err
	}
	if command == root {
		return errors.New("kubectl has no such command")
	}
	if err := command.ParseFlags(args); err != nil {
		return err
	}
	return command.ValidateArgs(command.Flags().Args())
}
