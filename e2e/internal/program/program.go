// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package program builds renewd as it is shipped, runs it as a process of its own and looks at that process from outside.
// It knows nothing of the program's packages.
package program

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a running renewd. Its output goes to a file, so that nobody has to read it while it runs.
type Process struct {
	cmd  *exec.Cmd
	log  string
	over chan struct{} // closed when the process has ended
}

// Start starts cmd with its output appended to the file log.
func Start(cmd *exec.Cmd, log string) (*Process, error) {
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, log: log, over: make(chan struct{})}
	go func() {
		defer close(p.over)
		_ = cmd.Wait() // the exit code is in ProcessState
	}()
	return p, nil
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns what the process has written so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process by SIGKILL and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be over already
	<-p.over
}

// Stop ends the process by SIGTERM. An exit code other than 0, or no exit within a minute, is an error.
func (p *Process) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop renewd: %w", err)
	}
	select {
	case <-p.over:
	case <-time.After(time.Minute):
		p.Kill()
		return errors.New("renewd did not stop within a minute")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("renewd ended with exit code %d", code)
	}
	return nil
}

// Over reports whether the process has ended.
func (p *Process) Over() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

// Address returns the TCP address that the process says it listens on, or the empty text. It says so at level INFO.
func (p *Process) Address() string {
	found := regexp.MustCompile(`listening address=(127\.0\.0\.1:[0-9]+)`).FindStringSubmatch(p.Log())
	if found == nil {
		return ""
	}
	return found[1]
}

// Get returns the body of an answer of the process with status 200.
func (p *Process) Get(path string) ([]byte, error) {
	answer, err := http.Get("http://" + p.Address() + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200q", path, answer.Status, body)
	}
	return body, err
}

// Count scrapes the metrics and adds up the series whose lines begin and go on as given.
func (p *Process) Count(begins, contains string) (float64, error) {
	body, err := p.Get("/metrics")
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, begins) || !strings.Contains(line, contains) {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
