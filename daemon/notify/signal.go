// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/renewd/renewd/daemon"
)

// Signal is the options of signal: send a signal to the process of a pid file, or to every process of a name.
type Signal struct {
	PIDFile string `yaml:"pidFile" doc:"A file whose first line is the number of the process; either this or process."`
	Process string `yaml:"process" doc:"The name of the program, such as nginx; every process of that name gets the signal. Either this or pidFile. In a pod it is found only with shareProcessNamespace: true."`
	Signal  string `yaml:"signal" enum:"HUP,USR1,USR2,TERM,INT,QUIT,WINCH,SIGHUP,SIGUSR1,SIGUSR2,SIGTERM,SIGINT,SIGQUIT,SIGWINCH" doc:"The signal by its name, with or without SIG."`
}

func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "TERM": syscall.SIGTERM,
		"INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "WINCH": syscall.SIGWINCH,
	}
}

type signaler struct {
	Signal
	number syscall.Signal
}

func newSignal(options any) (Notifier, error) {
	s := &signaler{Signal: *options.(*Signal)}
	s.Signal.Signal = strings.TrimPrefix(s.Signal.Signal, "SIG")
	number, known := signals()[s.Signal.Signal]
	s.number = number
	var errs []error
	if !known {
		errs = append(errs, &daemon.FieldError{Field: "signal", Problem: "is no name of a signal that can be sent", Help: suggest(s.Signal.Signal)})
	}
	switch {
	case (s.PIDFile == "") == (s.Process == ""):
		errs = append(errs, &daemon.FieldError{Problem: "needs exactly one of pidFile and process", Help: "process: nginx"})
	case strings.ContainsRune(s.PIDFile, 0):
		errs = append(errs, &daemon.FieldError{Field: "pidFile", Problem: "holds a NUL character", Help: "no path has one"})
	case strings.ContainsAny(s.Process, "/\x00\n"):
		errs = append(errs, &daemon.FieldError{Field: "process", Problem: "is no name of a program", Help: "the last part of its path, such as nginx"})
	}
	return s, errors.Join(errs...)
}

// suggest says what would be right in place of wrong. Numbers differ between machines, so none is accepted.
func suggest(wrong string) string {
	known := signals()
	if n, err := strconv.Atoi(wrong); err == nil {
		for name, number := range known {
			if int(number) == n {
				return "write " + name
			}
		}
	}
	if _, ok := known[strings.TrimPrefix(strings.ToUpper(wrong), "SIG")]; ok {
		return "write " + strings.TrimPrefix(strings.ToUpper(wrong), "SIG")
	}
	return strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

// String returns "signal", the signal and its target.
func (s *signaler) String() string {
	if s.PIDFile != "" {
		return fmt.Sprintf("signal %s to pid file %.200q", s.Signal.Signal, s.PIDFile)
	}
	return fmt.Sprintf("signal %s to process %.200q", s.Signal.Signal, s.Process)
}

// Notify sends the signal. It never waits, so it looks at ctx only once.
func (s *signaler) Notify(ctx context.Context, _ Note) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("%v: %w", s, err)
	}
	if s.PIDFile != "" {
		return s.byFile()
	}
	return s.byName()
}

func (s *signaler) failure(hint string, err error) error {
	return &daemon.Failure{Class: daemon.ClassConfig, Hint: hint, Err: fmt.Errorf("%v: %w", s, err)}
}

const shareHint = "in a pod set shareProcessNamespace: true; otherwise renewd sees no process but its own container's"

// byFile refuses a number that cannot be the consumer's: its own, and that of init, which is what a consumer writes that
// is the first process of another pid namespace.
func (s *signaler) byFile() error {
	pid, err := readPID(s.PIDFile)
	switch {
	case err != nil:
		return s.failure("the consumer writes its pid file, which renewd has to see under the same path", err)
	case pid == 1 || pid == os.Getpid():
		return s.failure("name the process instead, and "+shareHint,
			fmt.Errorf("the number %d is that of another pid namespace", pid))
	}
	p, err := os.FindProcess(pid)
	if err == nil {
		defer func() { _ = p.Release() }()
		err = p.Signal(s.number)
	}
	if gone(err) {
		return s.failure("the consumer is gone, or its pid is one of another namespace: "+shareHint,
			fmt.Errorf("the file is stale: there is no process %d", pid))
	}
	return s.sent(pid, err)
}

// readPID reads the number in the first line of a file.
func readPID(path string) (int, error) {
	// Opening a named pipe would otherwise wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return 0, errors.Unwrap(err) // the path is named by the notifier
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, errors.New("is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return 0, errors.Unwrap(err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.ParseInt(strings.TrimSpace(first), 10, 32)
	// kill(2) takes 0 and negative numbers as groups of processes, up to all of them.
	if err != nil || pid <= 0 {
		return 0, errors.New("does not begin with the number of a process")
	}
	return int(pid), nil
}

func (s *signaler) sent(pid int, err error) error {
	switch {
	case errors.Is(err, syscall.EPERM):
		return s.failure(fmt.Sprintf("run both as the same user (renewd is uid %d), or give renewd the capability KILL", os.Geteuid()),
			fmt.Errorf("not permitted for process %d", pid))
	case err != nil:
		return s.failure("", fmt.Errorf("process %d: %w", pid, err))
	}
	return nil
}
