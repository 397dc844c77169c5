// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package image_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/renewd/renewd/e2e/image"
)

// read reads a Dockerfile of this text.
func read(t *testing.T, text string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := image.ReadDockerfile(path, arguments)
	return err
}

func TestWhatIsNotUnderstoodInTheDockerfileIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		"FROM scratch AS other\nUSER 1\n":                           "no stage",
		"FROM scratch AS config\nWORKDIR /\n":                       "instruction WORKDIR",
		"FROM scratch AS config\nCMD run\n":                         "CMD",
		"FROM scratch AS config\nARG NOBODY=1\n":                    "argument NOBODY",
		"FROM scratch AS config\nLABEL a=b\n":                       "LABEL",
		"FROM scratch AS config\nLABEL a=\"b\" \\\n# why\n c='d'\n": "LABEL",
	} {
		if err := read(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
	if err := read(t, "# \nFROM scratch AS config\n# a\nLABEL a=\"$VERSION\" \\\n      b=\"\"\nUSER 1:1\n\nFROM config\nRUN x\n"); err != nil {
		t.Error(err)
	}
}

func TestImageRunsWithoutAShellAndWithoutANamedUser(t *testing.T) {
	config, err := image.ReadDockerfile(checkout+"/Dockerfile", arguments)
	if err != nil {
		t.Fatal(err)
	}
	if config.User != "65532:65532" || !slices.Equal(config.Entrypoint, []string{"/renewd"}) || !slices.Equal(config.Cmd, []string{"run"}) {
		t.Errorf("user %q, entrypoint %q, command %q", config.User, config.Entrypoint, config.Cmd)
	}
	for label := range strings.FieldsSeq("title description vendor licenses source documentation version revision created") {
		if config.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("no label %s", label)
		}
	}
	if config.Labels["org.opencontainers.image.version"] != arguments["VERSION"] {
		t.Errorf("the version is %q", config.Labels["org.opencontainers.image.version"])
	}
}
