// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package directory

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
)

// TestMain makes the test binary its own child: one that publishes until it is killed, or one with a small file system.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("SINK_CHILD") {
	case "publish":
		err = publishForever(os.Args[1])
	case "full":
		err = publishToFullDisk(os.Args[1])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func publishForever(path string) error {
	s := sink(path)
	for n := 0; ; n++ {
		tok, r := token(n / 2) // every other time only the record changes
		r.Draw = float64(n%2) / 2
		if err := s.Write(context.Background(), tok, r); err != nil {
			return err
		}
		if n == 1 {
			fmt.Println("publishing")
		}
	}
}

// publishToFullDisk returns nil if a token that does not fit leaves the one before as it was, and nothing of its own.
func publishToFullDisk(path string) error {
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=64k"); err != nil {
		return err
	}
	s := sink(path)
	old, r := token(0)
	if err := s.Write(context.Background(), old, r); err != nil {
		return err
	}
	// Room for one file of the next generation.
	if err := os.WriteFile(filepath.Join(path, "ballast"), make([]byte, 44<<10), 0o600); err != nil {
		return err
	}
	before, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	next, r := token(1)
	if err := s.Write(context.Background(), next, r); !errors.Is(err, syscall.ENOSPC) || daemon.HintOf(err) == "" {
		return fmt.Errorf("write: %w", err)
	}
	after, err := os.ReadDir(path)
	if err != nil || len(after) != len(before) {
		return fmt.Errorf("left %v, error %w", after, err)
	}
	tok, _, err := s.Read(context.Background())
	if err != nil || !tok.Value.Equal(old.Value) {
		return fmt.Errorf("read: token %v, error %w", tok, err)
	}
	return nil
}

func TestFullDiskKeepsTheGeneration(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", memory(t))
	cmd.Env = append(os.Environ(), "SINK_CHILD=full", "GORACE=atexit_sleep_ms=0")
	// Unshareflags, unlike Cloneflags, makes the mounts private as well.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 { // an ordinary user needs a user namespace to mount
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// Whenever the process is killed, one whole generation is in force, and the next start clears up.
func TestKilledProcessLeavesAWholeGeneration(t *testing.T) {
	leftovers := 0
	for round := 0; round < 25 || leftovers == 0 && round < 1000; round++ {
		path := filepath.Join(memory(t), "orders")
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", path)
		cmd.Env = append(os.Environ(), "SINK_CHILD=publish", "GORACE=atexit_sleep_ms=0")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "publishing\n" {
			t.Fatalf("child says %q, %v", line, err)
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()

		data, err := os.ReadFile(filepath.Join(path, "token"))
		if err != nil || !complete(data) {
			t.Fatalf("round %d: %d bytes, error %v", round, len(data), err)
		}
		found, others := generations(t, path)
		if len(found) > 2 || len(others) > 4 {
			leftovers++
		}
		s := sink(path)
		tok, _, err := s.Read(t.Context())
		if err != nil || tok.Value.Reveal() != string(data) {
			t.Fatalf("round %d: token %v, error %v", round, tok, err)
		}
		found, others = generations(t, path)
		if len(found) > 2 || !slices.Equal(others, []string{"..data", "header", "token", "token.json"}) {
			t.Fatalf("round %d: generations %q, others %q", round, found, others)
		}
		if names := list(t, filepath.Join(path, inForce(t, s))); !slices.Equal(names, []string{".renewd", "header", "token", "token.json"}) {
			t.Fatalf("round %d: the generation holds %q", round, names)
		}
	}
	if leftovers == 0 {
		t.Error("no kill left anything behind: this proves little")
	}
}
