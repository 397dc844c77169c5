// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/renewd/renewd/daemon/config"
	"github.com/renewd/renewd/watcher"
)

// BenchmarkPolicyInForce is the time from the rename that puts a log policy in place until a line at the new level is
// written, through the watcher, the engine and a handler, over 1,000 changes for each round. Half of them make the level
// DEBUG and half of them take it back.
func BenchmarkPolicyInForce(b *testing.B) {
	for name, put := range map[string]func(b *testing.B, dir, text string, n int) time.Time{"swap": swapVolume, "rename": renameOver} {
		b.Run(name, func(b *testing.B) { inForce(b, put) })
	}
}

func inForce(b *testing.B, put func(b *testing.B, dir, text string, n int) time.Time) {
	const rounds = 1000
	dir := b.TempDir()
	texts := [2]string{"version: 1\nlevel: INFO\n", "version: 1\nlevel: INFO\nareas: {token: {level: DEBUG}}\n"}
	put(b, dir, texts[0], 0)
	a := &app{stdout: io.Discard, stderr: io.Discard}
	logs, err := a.newLogging(&logFlags{path: filepath.Join(dir, "log-policy.yaml")})
	if err != nil {
		b.Fatal(err)
	}
	use, err := logs.prepare(&loaded{Config: &config.Config{}}, true)
	if err != nil {
		b.Fatal(err)
	}
	use()
	var w watcher.Watcher
	w.Set(logs.files())
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = logs.Run(ctx) })
	group.Go(func() { _ = w.Run(ctx) })
	defer group.Wait()
	defer cancel()
	time.Sleep(50 * time.Millisecond)
	log := logs.Logger().Named("token.orders")
	var took []time.Duration
	for b.Loop() {
		for range rounds {
			time.Sleep(time.Millisecond)
			n := len(took) + 1
			want := n%2 == 1
			began := put(b, dir, texts[n%2], n)
			for log.Core().Enabled(zapcore.DebugLevel) != want {
				if time.Since(began) > 5*time.Second {
					b.Fatal("the policy did not come into force")
				}
				time.Sleep(20 * time.Microsecond)
			}
			log.Debug("a line at the new level")
			if err := logs.Sync(); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
	}
	if g := logs.State().Generation; g < len(took) {
		b.Errorf("generation %d after %d changes", g, len(took))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// renameOver replaces the policy, and returns when.
func renameOver(b *testing.B, dir, text string, _ int) time.Time {
	path := filepath.Join(dir, "log-policy.yaml")
	if err := os.WriteFile(path+".tmp", []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := os.Rename(path+".tmp", path); err != nil {
		b.Fatal(err)
	}
	return began
}

// swapVolume does what the kubelet does with a ConfigMap.
func swapVolume(b *testing.B, dir, text string, n int) time.Time {
	name := fmt.Sprintf("..%d", n)
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, name), 0o755),
		os.WriteFile(filepath.Join(dir, name, "log-policy.yaml"), []byte(text), 0o600),
		os.Symlink(name, filepath.Join(dir, "..data_tmp")),
	} {
		if err != nil {
			b.Fatal(err)
		}
	}
	if n == 0 {
		if err := os.Symlink("..data/log-policy.yaml", filepath.Join(dir, "log-policy.yaml")); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		b.Fatal(err)
	}
	if n > 0 {
		if err := os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..%d", n-1))); err != nil {
			b.Fatal(err)
		}
	}
	return began
}
