// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package notify

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// byName sends the signal to every process of the name but renewd itself.
//
// Between reading a name and sending a signal a process can end and another get its number. So each process is held
// first (os.FindProcess opens a pidfd where the kernel has them, pidfd_open(2)), looked at second, and signaled
// through what is held: a number that was used again in between leads nowhere.
func (s *signaler) byName() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return s.failure("mount /proc", errors.Unwrap(err))
	}
	found := 0
	var errs []error
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !isNamed(pid, s.Process) {
			continue
		}
		if err := s.held(pid); !gone(err) {
			found++
			errs = append(errs, s.sent(pid, err))
		}
	}
	if found > 0 {
		return errors.Join(errs...)
	}
	return s.failure(shareHint, fmt.Errorf("no process of that name among the %d that renewd sees", processes(entries)))
}

// held holds the process, looks at it again and sends the signal.
func (s *signaler) held(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }() // nothing but memory and a descriptor
	if !isNamed(pid, s.Process) {
		return os.ErrProcessDone
	}
	return p.Signal(s.number)
}

// gone reports whether a signal came too late for its process.
func gone(err error) bool { return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) }

func processes(entries []os.DirEntry) int {
	n := 0
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			n++
		}
	}
	return n
}

// nameLimit is how much of a program's name the kernel keeps (TASK_COMM_LEN less the final NUL).
const nameLimit = 15

// isNamed reports whether a living process has the name: as the kernel knows it, which survives a rewritten command line
// such as "nginx: master process", or as the base of its first argument, which survives a renamed thread.
func isNamed(pid int, name string) bool {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return false
	}
	comm, state := parseStat(string(stat))
	if state == "Z" || state == "X" {
		return false
	}
	if comm == name && len(name) <= nameLimit {
		return true
	}
	cmdline, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(cmdline), "\x00")
	return first != "" && path.Base(first) == name // a kernel thread has none
}

// parseStat returns name and state from a line of /proc/PID/stat: "PID (NAME) STATE …", where NAME may hold anything,
// also ") " (proc_pid_stat(5)).
func parseStat(line string) (comm, state string) {
	_, rest, _ := strings.Cut(line, "(")
	end := strings.LastIndex(rest, ")")
	if end < 0 {
		return "", ""
	}
	state, _, _ = strings.Cut(strings.TrimPrefix(rest[end+1:], " "), " ")
	return rest[:end], state
}
