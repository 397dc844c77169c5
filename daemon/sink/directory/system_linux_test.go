// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/sink/internal/sample"
)

// TestMain makes the test binary its own child: one that publishes until it is killed, or one with a small file system.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(sample.Role) {
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
		tok, r := sample.Token(n / 2) // every other time only the record changes
		r.Draw = float64(n%2) / 2
		if err := s.Write(context.Background(), tok, r); err != nil {
			return err
		}
		if n == 1 {
			fmt.Print(sample.Publishing)
		}
	}
}

// publishToFullDisk returns nil if a token that does not fit leaves the one before as it was, and nothing of its own.
func publishToFullDisk(path string) error {
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=64k"); err != nil {
		return err
	}
	s := sink(path)
	old, r := sample.Token(0)
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
	next, r := sample.Token(1)
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
	cmd := sample.Child(t.Context(), "full", sample.Dir(t))
	sample.OwnMounts(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// Whenever the process is killed, one whole generation is in force, and the next start clears up.
func TestKilledProcessLeavesAWholeGeneration(t *testing.T) {
	leftovers := 0
	for round := 0; round < 25 || leftovers == 0 && round < 1000; round++ {
		path := filepath.Join(sample.Dir(t), "orders")
		cmd := sample.Child(t.Context(), "publish", path)
		sample.UntilKilled(t, cmd, rand.N(3*time.Millisecond))

		data, err := os.ReadFile(filepath.Join(path, "token"))
		if err != nil || !sample.Whole(data) {
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
		if names := sample.List(t, filepath.Join(path, inForce(t, s))); !slices.Equal(names, []string{".renewd", "header", "token", "token.json"}) {
			t.Fatalf("round %d: the generation holds %q", round, names)
		}
	}
	if leftovers == 0 {
		t.Error("no kill left anything behind: this proves little")
	}
}
