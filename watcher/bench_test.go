// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func BenchmarkSwapLatency(b *testing.B) {
	v := &volume{dir: b.TempDir()}
	latency(b, v.dir, v.swap)
}

func BenchmarkRenameLatency(b *testing.B) {
	dir := b.TempDir()
	latency(b, dir, func(t testing.TB, file, text string) time.Time {
		return replace(t, filepath.Join(dir, file), text)
	})
}

// latency reports the time from just before the rename until Changed is called, over 1,000 changes.
func latency(b *testing.B, dir string, change func(t testing.TB, file, text string) time.Time) {
	const rounds = 1000
	change(b, "file", "start")
	came := make(chan time.Time, 1)
	w := new(Watcher)
	w.Set([]File{{Path: filepath.Join(dir, "file"), Known: true, Changed: func([]byte, error) error {
		came <- time.Now()
		return nil
	}}})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	time.Sleep(50 * time.Millisecond)
	took, n := make([]time.Duration, rounds), 0
	for b.Loop() {
		for i := range took {
			time.Sleep(time.Millisecond)
			n++
			began := change(b, "file", fmt.Sprint(n))
			took[i] = (<-came).Sub(began)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[rounds/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(took[rounds*99/100].Microseconds())/1000, "p99-ms")
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCheck is one poll of an unchanged file of 1 KiB in a ConfigMap's layout, five directories deep.
func BenchmarkCheck(b *testing.B) {
	v := &volume{dir: b.TempDir()}
	v.swap(b, "file", strings.Repeat("x", 1024))
	path := filepath.Join(v.dir, "file")
	w := new(Watcher)
	w.Set([]File{{Path: path, Known: true}})
	l := newLoop(w, openInotify, nil)
	l.connect(time.Now())
	defer l.stop()
	l.apply(w.set)
	b.ReportAllocs()
	for b.Loop() {
		l.check(l.entries[path])
	}
}
