// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/renewd/renewd/daemon/status"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fleet is a report with a token of each kind of trouble.
func fleet() status.Report {
	in := func(d time.Duration) time.Time { return noon.Add(d) }
	file := []status.File{{Path: "/run/t", Mode: "0600", Format: "raw"}}
	return status.Report{Time: noon, Tokens: []status.Token{
		{Name: "endless", Valid: true, Files: file},
		{Name: "late", Valid: true, ExpiresAt: in(time.Hour), Guarantee: 120, Files: file},
		{Name: "soon", Valid: true, ExpiresAt: in(10 * time.Minute), Guarantee: 120, Files: file},
		{Name: "expiring", Valid: true, ExpiresAt: in(time.Minute), Guarantee: 120, Files: file},
		{Name: "failing", Valid: true, ExpiresAt: in(30 * time.Minute), ConsecutiveFailures: 2, LastAttempt: in(-time.Minute),
			FailedAttempts: []time.Time{in(-2 * time.Minute), in(-time.Minute)},
			LastErrorClass: "refused", LastError: "no\x1b[2J\nreally", Hint: "ask", Files: file},
		{Name: "expired", ExpiresAt: in(-time.Minute), Files: file},
		{Name: "none", LastError: "it does not exist", Files: append(file, status.File{Path: "/run/\x07", Mode: "\x1b[8m"})},
	}}
}

func TestStatusSortsByUrgency(t *testing.T) {
	var names []string
	for _, token := range byUrgency(fleet()) {
		names = append(names, token.Name)
	}
	if got := strings.Join(names, " "); got != "none expired expiring failing soon late endless" {
		t.Error(got)
	}
}

func TestStatusTable(t *testing.T) {
	var plain, colored bytes.Buffer
	writeReport(&plain, fleet(), screen{columns: 80})
	writeReport(&colored, fleet(), screen{terminal: true, color: true, columns: 80})
	if strings.ContainsAny(plain.String(), "\x1b\x07") {
		t.Errorf("%q", plain.String())
	}
	if got := regexp.MustCompile("\x1b\\[[0-9;]+m").ReplaceAllString(colored.String(), ""); got != plain.String() {
		t.Errorf("colors change the text:\n%s\n%s", got, plain.String())
	}
	for _, want := range []string{
		"\x1b[1;31mnone\x1b[0m", "\x1b[33mfailing\x1b[0m", "\x1b[33mexpiring\x1b[0m", "\x1b[32mlate\x1b[0m",
	} {
		if !strings.Contains(colored.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	clock, first := noon.Add(-time.Minute).Local().Format(time.TimeOnly), noon.Add(-2*time.Minute).Local().Format(time.TimeOnly)
	for _, want := range []string{
		"\n  none: it does not exist\n", `/run/\a   \x1b[8m`, "1m00s ago at " + clock,
		"\n  failing: refused: no\\x1b[2J\n    really (1m00s ago at " + clock + "; the first 2m00s ago at " + first + ")\n  help: ask\n",
	} {
		if !strings.Contains(plain.String(), want) {
			t.Errorf("%q is missing in\n%s", want, plain.String())
		}
	}
}

func TestScreen(t *testing.T) {
	_, terminal := terminal(t, 100, 30)
	for _, c := range []struct {
		env   map[string]string
		color bool
	}{
		{nil, true},
		{map[string]string{"NO_COLOR": "1"}, false},
		{map[string]string{"NO_COLOR": ""}, true},
		{map[string]string{"TERM": "dumb"}, false},
	} {
		t.Run(fmt.Sprint(c.env), func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			t.Setenv("TERM", "xterm")
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			if s := screenOf(terminal); s.color != c.color || s.columns != 100 || s.rows != 30 || !s.terminal {
				t.Errorf("%+v", s)
			}
		})
	}
	for locale, want := range map[string]bool{"": false, "C": false, "POSIX": false, "de_DE.UTF-8": true, "C.utf8": true, "de_DE.ISO-8859-1": false} {
		t.Setenv("LC_ALL", "")
		t.Setenv("LC_CTYPE", "")
		t.Setenv("LANG", locale)
		if s := screenOf(&bytes.Buffer{}); s.unicode != want || s.terminal || s.color || s.columns != 80 {
			t.Errorf("%s: %+v", locale, s)
		}
	}
	t.Setenv("LC_ALL", "C")
	t.Setenv("LANG", "C.UTF-8")
	if screenOf(terminal).unicode {
		t.Error("LC_ALL does not outrank LANG")
	}
}

// TestWatchRedraws follows tokens in a terminal that is too low for them.
func TestWatchRedraws(t *testing.T) {
	master, terminal := terminal(t, 60, 8)
	t.Setenv("TERM", "xterm")
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	look := func(context.Context) (snapshot, error) {
		looks++
		switch looks {
		case 2:
			return snapshot{}, errors.New("out of reach")
		case 3:
			cancel()
		}
		return snapshot{Report: fleet()}, nil
	}
	read := make(chan string)
	go func() { read <- readUntil(master, "THE END") }()
	a := &app{stdout: terminal, stderr: &bytes.Buffer{}}
	if err := a.watchStatus(ctx, look, watching{every: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(terminal, "THE END")
	text := <-read
	before, after, ended := strings.Cut(text, leaveScreen)
	if !strings.HasPrefix(text, enterScreen+toTheTop) || !ended || strings.Count(before, toTheTop) != 2 {
		t.Errorf("%q", text)
	}
	frames := strings.Split(before, toTheTop)[1:]
	if !strings.Contains(frames[1], "out of reach; this was the last report") {
		t.Errorf("%q", frames[1])
	}
	for _, frame := range frames {
		if n := strings.Count(frame, "\n"); n != 7 || !strings.Contains(frame, "lines more: the window is too small") {
			t.Errorf("%d line ends in %q", n, frame)
		}
	}
	if !strings.Contains(after, "endless") {
		t.Errorf("the last report did not stay: %q", after)
	}
}

// TestWatchGivesTheTerminalBack stops the watch as Ctrl-Z does: the shell gets its own screen, and later the watch again its.
func TestWatchGivesTheTerminalBack(t *testing.T) {
	master, terminal := terminal(t, 60, 30)
	t.Setenv("TERM", "xterm")
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	look := func(context.Context) (snapshot, error) {
		looks++
		switch looks {
		case 2:
			// Whoever is stopped needs somebody else to go on.
			waker := exec.CommandContext(t.Context(), "sh", "-c", `until grep -q "^State:.T" /proc/$PPID/status; do sleep 0.01; done; kill -CONT $PPID`)
			if err := waker.Start(); err != nil {
				return snapshot{}, err
			}
			go func() { _ = waker.Wait() }()
			return snapshot{Report: fleet()}, unix.Kill(os.Getpid(), unix.SIGTSTP)
		case 20:
			cancel()
		}
		return snapshot{Report: fleet()}, nil
	}
	read := make(chan string)
	go func() { read <- readUntil(master, "THE END") }()
	a := &app{stdout: terminal, stderr: &bytes.Buffer{}}
	if err := a.watchStatus(ctx, look, watching{every: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(terminal, "THE END")
	text := <-read
	if strings.Count(text, enterScreen) != 2 || strings.Count(text, leaveScreen) != 2 {
		t.Errorf("%q", text)
	}
	if _, after, _ := strings.Cut(text, leaveScreen); strings.Index(after, enterScreen) < strings.Index(after, "endless") {
		t.Errorf("the report did not stay in the shell's screen: %q", after)
	}
}

// readUntil reads from a terminal until it has seen a text.
func readUntil(master *os.File, end string) string {
	var all []byte
	buffer := make([]byte, 1<<16)
	for !bytes.Contains(all, []byte(end)) {
		n, err := master.Read(buffer)
		if err != nil {
			break
		}
		all = append(all, buffer[:n]...)
	}
	return string(all)
}

// terminal returns both ends of a pseudo terminal.
func terminal(t *testing.T, columns, rows uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}
