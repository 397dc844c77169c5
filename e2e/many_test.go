// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/e2e/internal/program"
)

const (
	manyTokens = 10_000
	manyLife   = 40 * time.Second
)

// manyConfig writes a configuration of n signed tokens, every second one by ES256, that are published into one directory.
func manyConfig(dir string, n int) string {
	var text strings.Builder
	text.WriteString("version: 1\ntokens:\n")
	for i := range n {
		source := "HS256, keyFile: " + filepath.Join(dir, "hmac")
		if i%2 == 1 {
			source = "ES256, keyFile: " + filepath.Join(dir, "signing.pem")
		}
		fmt.Fprintf(&text, "  - {name: t%05d, source: {sign: {algorithm: %s, claims: {iss: e2e, sub: t%05d}, ttl: %v}}, publish: [{file: %s/t%05d}]}\n",
			i, source, i, manyLife, filepath.Join(dir, "out"), i)
	}
	text.WriteString("status: {listen: \"127.0.0.1:0\"}\n")
	return text.String()
}

// many starts a daemon with n tokens on a tmpfs, and returns when all are published.
func many(t *testing.T, n int) (p *program.Process, out string, took time.Duration) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "renewd-e2e-") // a tmpfs on every Linux
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	out = filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	newKey(t, dir)
	write(t, dir, "hmac", strings.Repeat("0123456789abcdef", 4))
	start := time.Now()
	p = run(t, dir, manyConfig(dir, n))
	eventually(t, func() error {
		if got := len(published(t, out)); got < n {
			return fmt.Errorf("%d of %d tokens are published", got, n)
		}
		return nil
	})
	return p, out, time.Since(start)
}

// published returns when each token was last written.
func published(t *testing.T, out string) []time.Time {
	t.Helper()
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Time
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := e.Info(); err == nil {
			times = append(times, info.ModTime())
		}
	}
	return times
}

// TestManyTokens runs ten thousand tokens in one process. The first refresh comes at the latest 80 % of a life after the
// first publish, and so does every other one after the one before it: by then each file was written again after all were
// published first.
func TestManyTokens(t *testing.T) {
	single, _, _ := many(t, 1)
	listening(t, single)
	alone := anonymous(t, single)
	stop(t, single)

	p, out, took := many(t, manyTokens)
	all := time.Now()
	t.Logf("%d tokens were published %v after the start", manyTokens, took.Round(10*time.Millisecond))
	start := waited(t, p)
	if took > 30*time.Second+start {
		t.Errorf("that is too slow, also for a process that waited %v for a processor", start)
	}
	listening(t, p)
	before := float64(anonymous(t, p)-alone) / manyTokens / 1024

	due := all.Add(manyLife*8/10 + 3*time.Second)
	time.Sleep(time.Until(due))
	times, stale := since(t, out, all)
	for stale > 0 && time.Since(due) < waited(t, p)-start { // as long as others had the processors it may be late
		time.Sleep(time.Second)
		times, stale = since(t, out, all)
	}
	if stale > 0 {
		t.Errorf("%d of %d tokens were not refreshed in time", stale, len(times))
	}
	peak, mean := perSecond(times)
	t.Logf("refreshes a second: mean %.0f, peak %d (%.2f times the mean)", mean, peak, float64(peak)/mean)
	if float64(peak) > 2.5*mean && waited(t, p)-start < manyLife/4 { // what was held up comes in a heap
		t.Error("the refreshes are not spread")
	}
	var body []byte
	eventually(t, func() (err error) { // a client that takes ten seconds for its answer is cut off
		body, err = p.Get("/metrics")
		return err
	})
	each := float64(anonymous(t, p)-alone) / manyTokens / 1024
	t.Logf("anonymous memory of one token %d KiB, and for each of %d: %.1f KiB when all were published, %.1f after a refresh of each and a scrape of %d bytes",
		alone/1024, manyTokens, before, each, len(body))
	// Under this load, ninety times that of one-hour tokens, the collector's headroom counts too; at rest it is about 12.
	if each > 16 {
		t.Errorf("a token costs %.1f KiB, want at most 16", each)
	}
	stop(t, p)
}

// since returns when each token was last written, in order, and how many of them before a time.
func since(t *testing.T, out string, at time.Time) (times []time.Time, before int) {
	t.Helper()
	times = published(t, out)
	slices.SortFunc(times, time.Time.Compare)
	before, _ = slices.BinarySearchFunc(times, at, time.Time.Compare)
	return times, before
}

// waited returns how long the threads of the process have waited for a processor.
func waited(t *testing.T, p *program.Process) time.Duration {
	t.Helper()
	d, err := p.Waited()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// perSecond returns the largest number of refreshes in any second, and the mean over all seconds from first to last. The
// times are sorted.
func perSecond(times []time.Time) (peak int, mean float64) {
	counts := map[int64]int{}
	for _, at := range times {
		counts[at.Unix()]++
		peak = max(peak, counts[at.Unix()])
	}
	return peak, float64(len(times)) / times[len(times)-1].Sub(times[0]).Seconds()
}

func anonymous(t *testing.T, p *program.Process) int64 {
	t.Helper()
	m, err := p.Memory()
	if err != nil {
		t.Fatal(err)
	}
	return m.Anonymous
}
