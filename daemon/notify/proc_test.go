// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package notify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/renewd/renewd/daemon"
)

func TestPermissionHasARemedy(t *testing.T) {
	s := &signaler{Signal: Signal{Process: "nginx", Signal: "HUP"}}
	err := s.sent(7, syscall.EPERM)
	if !strings.Contains(fmt.Sprint(err), "not permitted for process 7") || !strings.Contains(daemon.HintOf(err), "capability KILL") {
		t.Errorf("got %v, hint %q", err, daemon.HintOf(err))
	}
	if err := s.sent(7, nil); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestParseStat(t *testing.T) {
	for line, want := range map[string][2]string{
		"12 (nginx) S 1 12":       {"nginx", "S"},
		"12 (a) Z (b) R 1":        {"a) Z (b", "R"},
		"12 () Z":                 {"", "Z"},
		"12 (a b\n) D 1":          {"a b\n", "D"},
		"12 nginx S":              {"", ""},
		"":                        {"", ""},
		")(":                      {"", ""},
		"1 (tmux: server) S 0 1 ": {"tmux: server", "S"},
	} {
		if comm, state := parseStat(line); comm != want[0] || state != want[1] {
			t.Errorf("%q: %q %q, want %q", line, comm, state, want)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("12 (a) b) S 1")
	f.Fuzz(func(t *testing.T, line string) {
		comm, state := parseStat(line)
		if len(comm)+len(state) > len(line) {
			t.Errorf("%q: %q %q", line, comm, state)
		}
	})
}

func FuzzReadPID(f *testing.F) {
	f.Add([]byte("123\n"))
	f.Add([]byte("-1"))
	f.Add([]byte("+7\n"))
	path := filepath.Join(f.TempDir(), "pid")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, err := readPID(path); (err == nil) != (pid > 0) {
			t.Errorf("%q: %d, %v", data, pid, err)
		}
	})
}
