// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/renewd/renewd/daemon/command"
)

// The test binary runs itself as renewd.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"renewd": func() { os.Exit(command.Main(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the scripts of testdata/script against the program: each is what a user would type, and what they
// would see.
func TestScripts(t *testing.T) {
	old := syscall.Umask(0o022) // so that other users can read what the scripts hold, whoever runs them
	t.Cleanup(func() { syscall.Umask(old) })
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// Readable for the user that some scripts become.
			for dir := e.WorkDir; dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					return err
				}
			}
			e.Setenv("PORT", strconv.Itoa(freePort(e)))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"until":     until,
			"truncate":  truncate,
			"repeat":    repeat,
			"bind":      bind,
			"terminate": terminate,
		},
	})
}

// freePort returns a port that nobody else takes before the script ends: the kernel gives none below 32768 to whoever asks for
// any, and a name that is held meanwhile keeps it from other scripts, also from those of another run on this machine.
func freePort(e *testscript.Env) int {
	for range 1000 {
		port := 20000 + rand.IntN(10000)
		held, err := net.Listen("unix", fmt.Sprint("@renewd-test-port-", port))
		if err != nil {
			continue
		}
		e.Defer(func() { _ = held.Close() })
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	e.T().Fatal("no port is free")
	return 0
}

// exits CODE [-nobody] COMMAND...: runs a command and compares its exit code. With -nobody it runs without privileges.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE [-nobody] COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	args = args[1:]
	cmd := prepared(ts, args)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	fmt.Fprint(ts.Stdout(), stdout.String())
	fmt.Fprint(ts.Stderr(), stderr.String())
	ts.Logf("[stdout]\n%s[stderr]\n%s", stdout.String(), stderr.String())
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		ts.Fatalf("%v", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func prepared(ts *testscript.TestScript, args []string) *exec.Cmd {
	nobody := args[0] == "-nobody"
	if nobody {
		args = args[1:]
	}
	path, err := exec.LookPath(filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], args[0]))
	if err != nil {
		path, err = exec.LookPath(args[0])
	}
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "WORK", "HOME", "PORT", "PLANTED"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	if nobody && os.Getuid() == 0 {
		cmd.Path = public(ts)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65532, Gid: 65532, NoSetGroups: true}}
	}
	return cmd
}

// public returns a copy of the program that anybody may run: where go test puts it only its owner can go.
func public(ts *testscript.TestScript) string {
	path := ts.MkAbs("public-renewd")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	self, err := os.Executable()
	ts.Check(err)
	// By another process: a descriptor of ours would be in the hands of what other scripts start at that moment, and the
	// kernel runs no program that anybody may still write (ETXTBSY).
	out, err := exec.Command("sh", "-c", `cp "$0" "$1" && chmod 755 "$1"`, self, path).CombinedOutput()
	if err != nil {
		ts.Fatalf("%v: %s", err, out)
	}
	return path
}

// until COMMAND...: runs a command again and again until it succeeds, with ! until it fails. Two minutes are more than the
// busiest machine needs: only what is wrong takes them.
func until(ts *testscript.TestScript, neg bool, args []string) {
	var out []byte
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		cmd := prepared(ts, args)
		var err error
		out, err = cmd.CombinedOutput()
		if (err == nil) != neg {
			return
		}
	}
	ts.Fatalf("not within two minutes: %s\n%s", strings.Join(args, " "), out)
}

// truncate FILE SIZE: makes a file of that size, without content.
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("version: 1 #"), 0o600))
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

// repeat FILE COUNT TEXT: writes a text many times.
func repeat(ts *testscript.TestScript, neg bool, args []string) {
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Repeat([]byte(args[2]+"\n"), count), 0o600))
}

// bind tcp|unix ADDRESS: holds an address until the script ends.
func bind(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen(args[0], args[1])
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
}

// terminate sends SIGTERM to what runs in the background.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}
