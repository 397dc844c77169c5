// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/process"
)

func sh(script string) process.Command {
	return process.Command{Args: []string{"/bin/sh", "-c", script}}
}

func TestOutputIsExact(t *testing.T) {
	for script, want := range map[string]string{
		`printf 'a\nb\n'`:                  "a\nb\n",
		`true`:                             "",
		`echo noise >&2; printf x`:         "x",
		`cat; printf end`:                  "end", // standard input is empty
		`exec head -c 1048576 /dev/zero`:   strings.Repeat("\x00", process.MaxOutput),
		`(sleep 100 & ) ; printf early`:    "early",
		`trap '' TERM; printf trapped`:     "trapped",
		`head -c 300000 /dev/zero >&2; : `: "",
	} {
		out, err := sh(script).Run(t.Context())
		if err != nil || string(out) != want {
			t.Errorf("%s: got %d bytes %.20q, %v; want %d bytes", script, len(out), out, err, len(want))
		}
	}
}

// A wrapper whose last process still prints is heard. In one of many rounds: what a busy machine holds up for longer than grace
// is not.
func TestOutputOfALastProcessCounts(t *testing.T) {
	for range 30 {
		out, err := sh(`(until grep -q ') Z ' /proc/$$/stat; do sleep 0.01; done; printf late) & exit`).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if string(out) == "late" {
			return
		}
	}
	t.Error("what a process prints after the end of its parent was never heard")
}

func TestDroppedOutputIsNotBounded(t *testing.T) {
	c := sh(`head -c 2000000 /dev/zero`)
	c.DropOutput = true
	if out, err := c.Run(t.Context()); err != nil || out != nil {
		t.Errorf("got %d bytes, %v", len(out), err)
	}
}

func TestEnvironmentIsOursLessRenewd(t *testing.T) {
	t.Setenv("RENEWD_CONFIG_YAML", "whole")
	t.Setenv("KEPT", "kept")
	t.Setenv("REPLACED", "old")
	c := sh(`printf '%s/%s/%s/%s' "$RENEWD_CONFIG_YAML" "$KEPT" "$REPLACED" "$RENEWD_OWN"`)
	c.Env = map[string]string{"REPLACED": "new", "RENEWD_OWN": "own"}
	out, err := c.Run(t.Context())
	if err != nil || string(out) != "/kept/new/own" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestFailureHasClassAndHint(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	busy := write("busy", "", 0o755)
	holder, err := os.OpenFile(busy, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Close() })
	for _, tt := range []struct {
		args       []string
		class      daemon.Class
		text, hint string
	}{
		{[]string{"renewd-no-such-program"}, daemon.ClassConfig, "not found", "add the program"},
		{[]string{"/no/such/program"}, daemon.ClassConfig, "no such file", "add the program"},
		{[]string{write("script", "#!/no/such/interpreter\n", 0o755)}, daemon.ClassConfig, "no such file", "interpreter"},
		{[]string{"cat notes"}, daemon.ClassConfig, "not found", "no shell"},
		{[]string{write("plain", "#!/bin/sh\n", 0o644)}, daemon.ClassConfig, "permission denied", "permission to execute"},
		{[]string{dir}, daemon.ClassConfig, "permission denied", "permission to execute"},
		{[]string{write("text", "no program", 0o755)}, daemon.ClassConfig, "exec format error", "no program"},
		{[]string{busy}, daemon.ClassUnavailable, "text file busy", ""},
		{[]string{"/bin/sh", "-c", "printf noise >&2; exit 3"}, daemon.ClassUnavailable, "exit status 3, with 5 bytes on standard error", ""},
		{[]string{"/bin/sh", "-c", "kill -KILL $$"}, daemon.ClassUnavailable, "signal: killed", ""},
		{[]string{"/bin/sh", "-c", "exec head -c 1048577 /dev/zero"}, daemon.ClassMalformed, "more than 1 MiB", ""},
	} {
		out, err := process.Command{Args: tt.args}.Run(t.Context())
		if out != nil || daemon.ClassOf(err) != tt.class || !strings.Contains(fmt.Sprint(err), tt.text) || !strings.Contains(daemon.HintOf(err), tt.hint) {
			t.Errorf("%q: %d bytes, class %q, %v, hint %q", tt.args, len(out), daemon.ClassOf(err), err, daemon.HintOf(err))
		}
		if strings.Count(fmt.Sprint(err), tt.args[0]) != 1 {
			t.Errorf("%q is not named once in %v", tt.args[0], err)
		}
	}
}

// A flood must end the command at once and not at its deadline, also if the command ignores the closed pipe.
func TestFloodIsKilled(t *testing.T) {
	start := time.Now()
	_, err := sh(`trap '' PIPE; while :; do printf '%1024s' x 2>/dev/null; done`).Run(t.Context())
	if daemon.ClassOf(err) != daemon.ClassMalformed {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
}

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func readPID(t *testing.T, path string) int {
	t.Helper()
	for range 30_000 {
		data, _ := os.ReadFile(path)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && strings.HasSuffix(string(data), "\n") {
			return pid
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatalf("%s was not written", path)
	return 0
}

func ends(pid int) bool {
	for range 30_000 {
		if !alive(pid) {
			return true
		}
		time.Sleep(2 * time.Millisecond)
	}
	return false
}

func TestDeadlineKillsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	script := `cd "$DIR"; sh -c 'trap "" TERM INT HUP; echo $$ >grandchild; sleep 100; :' & echo $$ >child; sleep 100; :`
	c := sh(script)
	c.Env = map[string]string{"DIR": dir}
	cause := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		readPID(t, filepath.Join(dir, "child"))
		readPID(t, filepath.Join(dir, "grandchild"))
		cancel(cause)
	}()
	_, err := c.Run(ctx)
	if !errors.Is(err, cause) || daemon.ClassOf(err) != daemon.ClassUnavailable {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"child", "grandchild"} {
		if pid := readPID(t, filepath.Join(dir, name)); !ends(pid) {
			t.Errorf("%s is still alive", name)
		}
	}
}

func TestEndOfTheProgramKillsWhatItLeftBehind(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	c := sh(`sleep 100 >/dev/null 2>&1 & echo $! >"$FILE"`)
	c.Env = map[string]string{"FILE": pidFile}
	if _, err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !ends(readPID(t, pidFile)) {
		t.Error("a process of the group is still alive")
	}
}

// In a container renewd is mostly the first process, to which the kernel gives the children of those that end.
func TestNoZombieIsLeft(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	pidFile := filepath.Join(t.TempDir(), "pid")
	for range 5 {
		c := sh(`sleep 100 >/dev/null 2>&1 & echo $! >"$FILE"; true & exit 0`)
		c.Env = map[string]string{"FILE": pidFile}
		if _, err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", readPID(t, pidFile))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a zombie is left: %v", err)
		}
	}
}

// A process that left the group and keeps the pipes is out of reach; it must not hold the attempt up, nor its output.
func TestEscapedGrandchildHoldsNothingUp(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	c := sh(`setsid sh -c 'echo $$ >"$FILE"; exec sleep 100' & while ! test -s "$FILE"; do sleep 0.01; done; printf token`)
	c.Env = map[string]string{"FILE": pidFile}
	start := time.Now()
	out, err := c.Run(t.Context())
	escaped := readPID(t, pidFile)
	defer func() { _ = syscall.Kill(escaped, syscall.SIGKILL) }()
	if err != nil || string(out) != "token" {
		t.Errorf("got %q, %v", out, err)
	}
	if took := time.Since(start); took > 50*time.Second {
		t.Errorf("took %v", took)
	}
	if !alive(escaped) {
		t.Error("the grandchild did not escape: the test shows nothing")
	}
}

func TestEndedContextStartsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := process.Command{Args: []string{"touch", file}}.Run(ctx)
	if !errors.Is(err, context.Canceled) || daemon.ClassOf(err) != daemon.ClassUnavailable {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the command ran")
	}
}

func TestNothingIsLeftOpen(t *testing.T) {
	run := func() {
		_, _ = sh("printf x; exit 1").Run(t.Context())
		_, _ = process.Command{Args: []string{"/no/such/program"}}.Run(t.Context())
	}
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	run()
	descriptors, goroutines := count(), runtime.NumGoroutine()
	for range 20 {
		run()
	}
	for i := 0; i < 12_000 && (count() > descriptors || runtime.NumGoroutine() > goroutines); i++ {
		time.Sleep(5 * time.Millisecond)
	}
	if d, g := count(), runtime.NumGoroutine(); d > descriptors || g > goroutines {
		t.Errorf("%d descriptors, %d goroutines; before %d, %d", d, g, descriptors, goroutines)
	}
}

func TestNoErrorShowsASecret(t *testing.T) {
	const canary = "canary-5e1f"
	c := process.Command{
		Args: []string{"/bin/sh", "-c", `printf '%s' "$SECRET"; printf '%s' "$SECRET" >&2; exit 1`, canary},
		Env:  map[string]string{"SECRET": canary},
	}
	_, err := c.Run(t.Context())
	bad := process.Command{Args: c.Args, Env: map[string]string{"A=B": canary, "C": canary + "\x00"}}
	for _, printed := range []string{
		fmt.Sprintf("%v %+v %#v", err, err, err), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), fmt.Sprint(bad.Check()),
	} {
		if strings.Contains(printed, canary) {
			t.Errorf("a secret shows in %q", printed)
		}
	}
	if err == nil {
		t.Error("the command did not fail")
	}
}

func TestCheckNamesEveryMistake(t *testing.T) {
	for _, tt := range []struct {
		command process.Command
		want    []string
	}{
		{process.Command{Args: []string{"true"}, Env: map[string]string{"A": ""}}, nil},
		{process.Command{}, []string{"command: the program is missing"}},
		{process.Command{Args: []string{"", "x"}}, []string{"command: the program is missing"}},
		{process.Command{Args: []string{"x", "a\x00"}, Env: map[string]string{"": "x", "A=": "x", "B": "\x00"}},
			[]string{"command[1]: holds", `env: "" is no name`, `env: "A=" is no name`, "env.B: holds"}},
	} {
		err := tt.command.Check()
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%v, want %q", err, tt.want)
		}
		for _, want := range tt.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%q is missing in %v", want, err)
			}
		}
	}
}

func TestStandardErrorIsPassedWhenAsked(t *testing.T) {
	if os.Getenv("PROCESS_TEST_CHILD") != "" {
		c := sh("printf to-stderr >&2; exit 1")
		c.PassStderr = true
		_, err := c.Run(t.Context())
		if err == nil || strings.Contains(err.Error(), "bytes") {
			t.Errorf("got %v", err)
		}
		return
	}
	// The test binary runs itself, so that what reaches standard error is seen from outside.
	c := sh(`"$0" -test.run='^TestStandardErrorIsPassedWhenAsked$' 2>&1`)
	c.Args = append(c.Args, os.Args[0])
	c.Env = map[string]string{"PROCESS_TEST_CHILD": "1"}
	out, err := c.Run(t.Context())
	if err != nil || !strings.Contains(string(out), "to-stderr") {
		t.Errorf("got %q, %v", out, err)
	}
}
