// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package charts

import (
	"io"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/helm-unittest/helm-unittest/pkg/unittest"
	"github.com/helm-unittest/helm-unittest/pkg/unittest/printer"
)

// TestUnit runs the suites in the charts' folders tests, as `helm unittest` does.
func TestUnit(t *testing.T) {
	log.SetOutput(io.Discard) // Helm tells of each symbolic link that it follows
	defer log.SetOutput(os.Stderr)
	for _, name := range []string{"renewd", "example-app"} {
		var out strings.Builder
		none := false
		runner := unittest.TestRunner{
			Printer: printer.NewPrinter(&out, &none), Strict: true, TestFiles: []string{"tests/*_test.yaml"},
		}
		passed := runner.RunV3([]string{folder(t, name)})
		if !passed || !regexp.MustCompile(`Tests: +[1-9][0-9]* passed`).MatchString(out.String()) {
			t.Errorf("%s:\n%s", name, out.String())
		}
	}
}
