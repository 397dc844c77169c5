// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package notify_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/notify"
)

// consumerProgram is a shell under a name of its own. It says when it listens, and then each signal that it gets.
func consumerProgram(t *testing.T, name string) (pid int, line func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink("/bin/sh", path); err != nil { // the kernel names a process as it was called
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", `trap 'echo HUP' HUP; trap 'echo USR1' USR1; echo ready; while :; do sleep 0.01; done`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	line = func() string {
		s, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			t.Error(err)
		}
		return strings.TrimSuffix(s, "\n")
	}
	if got := line(); got != "ready" {
		t.Fatalf("got %q", got)
	}
	return cmd.Process.Pid, line
}

func byName(t *testing.T, name, signal string) notify.Notifier {
	t.Helper()
	return build(t, "signal", func(o any) { *o.(*notify.Signal) = notify.Signal{Process: name, Signal: signal} })
}

func byFile(t *testing.T, text string) notify.Notifier {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return build(t, "signal", func(o any) { *o.(*notify.Signal) = notify.Signal{PIDFile: path, Signal: "SIGHUP"} })
}

func TestSignalReachesEveryProcessOfTheName(t *testing.T) {
	for _, name := range []string{"renewd-a) S 1", "renewd-consumer-with-a-long-name"} {
		_, first := consumerProgram(t, name)
		_, second := consumerProgram(t, name)
		_, other := consumerProgram(t, name+"2")
		if err := byName(t, name, "USR1").Notify(t.Context(), notify.Note{}); err != nil {
			t.Fatal(err)
		}
		if err := byName(t, name+"2", "HUP").Notify(t.Context(), notify.Note{}); err != nil {
			t.Fatal(err)
		}
		for want, line := range map[string]func() string{"USR1": first, "HUP": other} {
			if got := line(); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if got := second(); got != "USR1" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestSignalReachesThePIDFile(t *testing.T) {
	pid, line := consumerProgram(t, "renewd-pidfile")
	// PostgreSQL writes more lines below the number.
	for _, text := range []string{"%d", "%d\n", " %d \n/var/lib/data\n5432\n"} {
		if err := byFile(t, fmt.Sprintf(text, pid)).Notify(t.Context(), notify.Note{}); err != nil {
			t.Fatal(err)
		}
		if got := line(); got != "HUP" {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

func TestUnusablePIDFileIsAnError(t *testing.T) {
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                              "does not begin with the number",
		"0":                             "does not begin with the number",
		"-1":                            "does not begin with the number",
		"99999999999999999999":          "does not begin with the number",
		"nginx":                         "does not begin with the number",
		"1":                             "another pid namespace",
		strconv.Itoa(os.Getpid()):       "another pid namespace",
		strconv.Itoa(ended.Process.Pid): "the file is stale",
	} {
		err := byFile(t, text).Notify(t.Context(), notify.Note{})
		if !strings.Contains(fmt.Sprint(err), want) || daemon.HintOf(err) == "" {
			t.Errorf("%q: %v, hint %q; want %q", text, err, daemon.HintOf(err), want)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/no/such/file": "no such file", "/proc": "not a regular file", pipe: "not a regular file"} {
		n := build(t, "signal", func(o any) { o.(*notify.Signal).PIDFile = path })
		if err := n.Notify(t.Context(), notify.Note{}); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestMissingProcessNamesTheRemedy(t *testing.T) {
	err := byName(t, "renewd-no-such", "HUP").Notify(t.Context(), notify.Note{})
	if !strings.Contains(fmt.Sprint(err), "no process of that name") || !strings.Contains(daemon.HintOf(err), "shareProcessNamespace: true") {
		t.Errorf("got %v, hint %q", err, daemon.HintOf(err))
	}
}

// A test that signals its own name would end if renewd did not leave itself out.
func TestSignalLeavesRenewdItselfOut(t *testing.T) {
	err := byName(t, filepath.Base(os.Args[0]), "TERM").Notify(t.Context(), notify.Note{})
	if !strings.Contains(fmt.Sprint(err), "no process of that name") {
		t.Errorf("got %v", err)
	}
}

// A zombie keeps its name and takes every signal without effect: it must not pass for a consumer that was told.
func TestZombieIsNoConsumer(t *testing.T) {
	pid, _ := consumerProgram(t, "renewd-zombie")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 30_000 {
		err := byName(t, "renewd-zombie", "HUP").Notify(t.Context(), notify.Note{})
		if strings.Contains(fmt.Sprint(err), "no process of that name") {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Error("a zombie was told")
}

// Another user's process is found but may not be signaled; that has a remedy of its own. The sender is a copy of the
// test binary, because the directory of the original is closed to other users. Nobody but root can have a process of
// another user: TestPermissionHasARemedy stands in elsewhere.
func TestForeignProcessIsAnErrorWithARemedy(t *testing.T) {
	const target = "renewd-foreign"
	if os.Getenv("NOTIFY_TEST_CHILD") != "" {
		err := byName(t, target, "HUP").Notify(t.Context(), notify.Note{})
		fmt.Printf("%v; %s\n", err, daemon.HintOf(err))
		return
	}
	if os.Geteuid() != 0 {
		return
	}
	consumerProgram(t, target)
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "renewd-notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "child")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, self, 0o755), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-test.run=^TestForeignProcessIsAnErrorWithARemedy$")
	cmd.Dir = "/"
	cmd.Env = []string{"NOTIFY_TEST_CHILD=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "not permitted") || !strings.Contains(string(out), "same user (renewd is uid 65534)") {
		t.Errorf("got %s, %v", out, err)
	}
}
