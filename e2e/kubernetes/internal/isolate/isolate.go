// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package isolate runs a test binary in namespaces of its own: processes, mounts and network. When the test ends, however it
// ends, the kernel ends its containers, mounts and interfaces too. Control groups and disks are shared with the machine: what
// the test makes there is for its caller to remove. It needs root.
package isolate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stage is set in the processes that Run makes: "init" in the first one of the namespaces, "test" in the test.
const stage = "E2E_ISOLATED"

// Inside reports whether this process is the test in its namespaces.
func Inside() bool { return os.Getenv(stage) == "test" }

// Init must be called first by a test binary that calls Run. In the first process of the namespaces it does not return.
func Init() (code int, over bool) {
	if os.Getenv(stage) != "init" {
		return 0, false
	}
	code, err := reap()
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolate:", err)
		return 1, true
	}
	return code, true
}

// Run runs this test binary once more, with the same arguments and more variables, in namespaces that end with this process or
// with ctx. It returns the exit code.
func Run(ctx context.Context, more ...string) (int, error) {
	if os.Getuid() != 0 {
		return 0, errors.New("a node mounts file systems and makes interfaces: run this test as root")
	}
	runtime.LockOSThread() // Pdeathsig comes when the thread ends that started the child
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, os.Args[0], os.Args[1:]...)
	cmd.Env = append(append(os.Environ(), stage+"=init"), more...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); failed && ctx.Err() == nil {
		return cmd.ProcessState.ExitCode(), nil
	}
	return 0, err
}

// reap is the life of the first process: it prepares the mounts, starts the test, and waits for it and for every process that
// lost its parent.
func reap() (int, error) {
	if err := prepare(); err != nil {
		return 0, err
	}
	env := os.Environ()
	for i, v := range env {
		if strings.HasPrefix(v, stage+"=") {
			env[i] = stage + "=test"
		}
	}
	test, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{Env: env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 0, err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("wait: %w", err)
		}
		if pid == test.Pid {
			if status.Signaled() {
				return 1, nil
			}
			return status.ExitStatus(), nil
		}
	}
}

// machineWide are settings that a kubelet changes for the whole machine. Here it finds files of the test's in their place.
var machineWide = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// prepare makes the mounts private, mounts /proc for the new process ids, empty file systems where daemons leave state, and
// files in place of the settings of the machine.
func prepare() error {
	type mount struct {
		source, target, kind string
		flags                uintptr
	}
	list := []mount{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"tmpfs", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV},
		{"tmpfs", "/var/log", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV},
	}
	for _, m := range list {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := os.Mkdir("/run/sysctl", 0o755); err != nil {
		return err
	}
	for _, name := range machineWide {
		setting := "/proc/sys/" + name
		value, err := os.ReadFile(setting)
		if err != nil {
			return err
		}
		file := "/run/sysctl/" + strings.ReplaceAll(name, "/", ".")
		if err := os.WriteFile(file, value, 0o644); err != nil {
			return err
		}
		if err := syscall.Mount(file, setting, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount over %s: %w", setting, err)
		}
	}
	return nil
}
