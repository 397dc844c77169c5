// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package sample is what the tests of the sinks publish and where: tokens of which can be said whether they are whole, a
// directory that costs little, a child with mounts of its own. It knows no sink.
package sample

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
)

// Token returns the nth token, of which Whole can say whether it is all there, and the record that a Keeper has of it.
func Token(n int) (daemon.Token, daemon.Record) {
	sum := sha256.Sum256([]byte(strconv.Itoa(n)))
	issued := time.Date(2026, 11, 23, 4, 5, 6, 789, time.UTC)
	t := daemon.Token{
		Value: daemon.NewSecret(strconv.Itoa(n) + "." + strings.Repeat(hex.EncodeToString(sum[:]), 20)), Type: "Bearer",
		IssuedAt: issued, ExpiresAt: issued.Add(time.Hour),
	}
	return t, daemon.Record{Type: t.Type, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt, Draw: 0.25, First: true, Fingerprint: "f1"}
}

// Whole reports whether data is one of the tokens from its first byte to its last.
func Whole(data []byte) bool {
	number, _, _ := strings.Cut(string(data), ".")
	n, err := strconv.Atoi(number)
	t, _ := Token(n)
	return err == nil && t.Value.Equal(daemon.NewSecret(string(data)))
}

// Publish writes the nth token.
func Publish(t testing.TB, s daemon.Sink, n int) {
	t.Helper()
	tok, r := Token(n)
	if err := s.Write(t.Context(), tok, r); err != nil {
		t.Fatal(err)
	}
}

// Dir returns a directory in memory, where an fsync costs nothing, or an ordinary one where there is none.
func Dir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "renewd-sink-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// List returns the names in a directory, sorted.
func List(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// WantFailure checks that err is a failure of ClassWrite with a remedy, which says text.
func WantFailure(t testing.TB, err error, text string) {
	t.Helper()
	f, ok := errors.AsType[*daemon.Failure](err)
	if !ok || f.Class != daemon.ClassWrite || f.Hint == "" || !strings.Contains(f.Error(), text) {
		t.Errorf("got %#v, want a failure of class write with a hint that says %q", err, text)
	}
}

// How a test binary and its child speak.
const (
	Role       = "SINK_CHILD"   // the variable that says that it is a child, and which
	Publishing = "publishing\n" // what a child prints that publishes until it is killed, once it does
)

// Child returns the test binary as its own child, with one argument.
func Child(ctx context.Context, role, path string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", path)
	// The race detector would wait a second before each exit.
	cmd.Env = append(os.Environ(), Role+"="+role, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// OwnMounts gives a child mounts of its own, for which an ordinary user needs a user namespace.
func OwnMounts(cmd *exec.Cmd) {
	// Unshareflags, unlike Cloneflags, makes the mounts private as well.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
}

// UntilKilled starts a child that publishes, and kills it a moment after it has begun to.
func UntilKilled(t *testing.T, cmd *exec.Cmd, moment time.Duration) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != Publishing {
		t.Fatalf("child says %q, %v", line, err)
	}
	time.Sleep(moment)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}
