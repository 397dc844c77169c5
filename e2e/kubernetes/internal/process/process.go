// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package process runs the programs of a cluster so that none outlives the test, however the test ends. It does not know
// what they are.
package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Group is a set of running programs. The zero value with Logs set is ready. Its methods may be called from any goroutine.
type Group struct {
	Logs string // the folder that their output goes to, as NAME.log

	mu   sync.Mutex
	list []*running
}

type running struct {
	name string
	cmd  *exec.Cmd
	over chan struct{} // closed when it has ended
}

// Start starts a program. The kernel kills it when this process ends.
func (g *Group) Start(name string, cmd *exec.Cmd) error {
	out, err := os.OpenFile(filepath.Join(g.Logs, name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // an interrupt at the keyboard is for the test alone, which ends the programs in order
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	r := &running{name: name, cmd: cmd, over: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The signal comes when the thread ends that started the program: the thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			defer close(r.over)
			_ = cmd.Wait() // how it ended is in ProcessState
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.list = append(g.list, r)
	return nil
}

// Stop ends all programs, the last one first: by SIGTERM, and by SIGKILL after ten seconds.
func (g *Group) Stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range slices.Backward(g.list) {
		_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may be over already
		select {
		case <-r.over:
		case <-time.After(10 * time.Second):
			_ = r.cmd.Process.Kill()
			<-r.over
		}
	}
	g.list = nil
}

// Await asks until there is no error. It gives up when the time is over or one of the programs has ended, and then says what
// the program wrote last.
func (g *Group) Await(ctx context.Context, name string, within time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ended := g.ended(); ended != "" {
			return fmt.Errorf("%s ended; it wrote last:\n%s", ended, g.Tail(ended))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w; it wrote last:\n%s", name, within, err, g.Tail(name))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Tail returns the end of what a program wrote.
func (g *Group) Tail(name string) string {
	text, err := os.ReadFile(filepath.Join(g.Logs, name+".log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

func (g *Group) ended() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.list {
		select {
		case <-r.over:
			return r.name
		default:
		}
	}
	return ""
}
