// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package process runs a program without a shell, in a process group of its own, bounded in time and output. It does
// not interpret what the program prints, does not retry and does not log.
//
// Limits: a process that leaves the group (setsid) is not killed, though it cannot hold Run up, and as its zombie is not
// taken by renewd, a container that runs such commands needs an init; a process that the kernel cannot kill, stuck in a
// system call or running as another user, holds Run up.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renewd/renewd/daemon"
)

// MaxOutput is the most that a program may print on standard output.
const MaxOutput = 1 << 20

// grace is how long a process left behind in the group may still print, once before it is killed and once after.
const grace = 500 * time.Millisecond

// Run runs the program once and returns what it printed on standard output. Standard input is empty. When Run returns,
// the program is over, and so is every process left in its group.
//
// Errors are a *daemon.Failure that names the program and no argument, no environment and no byte of its output:
// ClassConfig if it cannot be started, ClassMalformed above MaxOutput, otherwise ClassUnavailable. The end of ctx kills
// the group, and its cause is wrapped. Run wants a Command that passed Check, and is safe for concurrent use.
//
// The order matters:
//
//  1. The program ends, or is killed with its group, and stays a zombie: while it is one, no other group can get its id.
//  2. The pipes are read to their end, for a wrapper whose last process still prints, but no longer than grace.
//  3. The group is killed.
//  4. What the killed ones left in the pipes is read, again no longer than grace.
//  5. The zombie is reaped and the pipes are closed; so are the zombies of the others, if they have come to renewd.
func (c Command) Run(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = environment(c.Env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g := group{cmd: cmd}
	cmd.Cancel = g.kill

	o := output{full: func() { cancel(errTooLong) }}
	stdout, outErr := c.stdout(cmd)
	stderr, errErr := c.stderr(cmd)
	cmd.Err = errors.Join(cmd.Err, outErr, errErr) // so that Start closes whatever was opened
	if err := cmd.Start(); err != nil {
		return nil, c.notStarted(ctx, err)
	}
	o.read(stdout, stderr)

	awaitEnd(cmd.Process.Pid)
	o.await(ctx.Done())
	g.end()
	whole := o.await(nil)
	err := cmd.Wait()
	reap(cmd.Process.Pid)
	o.reading.Wait()
	switch {
	case errors.Is(context.Cause(ctx), errTooLong):
		return nil, c.failure(daemon.ClassMalformed, errTooLong)
	case (err != nil || !whole) && ctx.Err() != nil:
		return nil, c.failure(daemon.ClassUnavailable, fmt.Errorf("killed: %w", context.Cause(ctx)))
	case err != nil:
		return nil, c.ended(err, o.stderr)
	}
	return o.stdout, nil
}

var errTooLong = errors.New("more than 1 MiB on standard output")

func (c Command) stdout(cmd *exec.Cmd) (io.Reader, error) {
	if c.DropOutput {
		return nil, nil
	}
	return cmd.StdoutPipe()
}

func (c Command) stderr(cmd *exec.Cmd) (io.Reader, error) {
	if c.PassStderr {
		cmd.Stderr = os.Stderr
		return nil, nil
	}
	return cmd.StderrPipe()
}

// awaitEnd returns when the process is over and leaves it unreaped.
func awaitEnd(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

// reap takes the zombies of the group that were given to renewd when their parent ended. That happens where renewd is the
// first process of a container; nobody else would take them, and the container would run out of process numbers.
func reap(group int) {
	for {
		if _, err := unix.Wait4(-group, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// group is the process group of a command. Its id is the leader's, so it must not be used once the leader is reaped.
type group struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	over bool
}

func (g *group) kill() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return os.ErrProcessDone
	}
	return syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
}

// end kills the group for the last time.
func (g *group) end() {
	_ = g.kill() // whoever is left; an error says that nobody is
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
}

// output is what a command prints.
type output struct {
	full    func() // called when stdout is over its limit
	reading sync.WaitGroup
	drained chan struct{} // closed at the end of both pipes

	stdout []byte // valid after reading.Wait, as is stderr
	stderr int64  // bytes
}

// read starts to read both pipes; either may be nil.
func (o *output) read(stdout, stderr io.Reader) {
	if stdout != nil {
		o.reading.Go(func() {
			// An error is the pipe closed under the reader: what was read until then counts.
			o.stdout, _ = io.ReadAll(io.LimitReader(stdout, MaxOutput+1))
			if len(o.stdout) > MaxOutput {
				o.full()
			}
		})
	}
	if stderr != nil {
		o.reading.Go(func() { o.stderr, _ = io.Copy(io.Discard, stderr) })
	}
	o.drained = make(chan struct{})
	go func() {
		o.reading.Wait()
		close(o.drained)
	}()
}

// await waits for the end of both pipes, for grace or for stop, and reports whether it was the end of the pipes.
func (o *output) await(stop <-chan struct{}) bool {
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-o.drained:
		return true
	case <-late.C:
	case <-stop:
	}
	return false
}
