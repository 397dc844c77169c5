// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

func TestRefreshOfADaemonThatSaysNoMore(t *testing.T) {
	report := fmt.Sprintf(`{"time": %q, "tokens": [{"name": "orders", "lastAttempt": %[1]q}]}`, time.Now().Format(time.RFC3339))
	for _, test := range []struct {
		name    string
		answers []string // to the requests for a report; then there are none
	}{
		{"it ended", []string{report}},
		{"it was too busy to say how things were before", []string{"", report}},
		{"it no longer keeps the token", []string{report, fmt.Sprintf(`{"time": %q}`, time.Now().Format(time.RFC3339))}},
	} {
		t.Run(test.name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			listener, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			answers := test.answers
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/refresh":
				case len(answers) > 0 && answers[0] != "":
					fmt.Fprint(w, answers[0])
				default:
					http.Error(w, "busy", http.StatusServiceUnavailable)
				}
				if r.URL.Path != "/refresh" && len(answers) > 0 {
					answers = answers[1:]
				}
			})}
			go func() { _ = server.Serve(listener) }()
			defer server.Close()
			var stdout, stderr bytes.Buffer
			code := Main([]string{"refresh", "--socket", socket, "orders"}, &stdout, &stderr)
			const want = "it was asked, and nothing is known yet of what came of it: `renewd status` shows that\n"
			if code != 0 || stdout.String() != want {
				t.Errorf("exit code %d: %s%s", code, stdout.String(), stderr.String())
			}
		})
	}
}
