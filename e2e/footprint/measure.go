// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/renewd/renewd/e2e/internal/program"
)

const (
	runs    = 20 // of the short commands
	minute  = time.Minute
	settled = 5 * time.Second // after which a start is over
)

// bench is the built binary, and a directory on a tmpfs with a key and a configuration.
type bench struct {
	dir, binary string
}

func newBench(ctx context.Context) (*bench, error) {
	dir, err := os.MkdirTemp("/dev/shm", "renewd-footprint-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir}
	if b.binary, err = program.Build(ctx, dir); err != nil {
		return nil, err
	}
	_, err = program.NewKey(dir)
	return b, err
}

// size measures the binary, and its weight in a compressed image layer.
func (b *bench) size() ([]row, error) {
	data, err := os.ReadFile(b.binary)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	mb := func(n int) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
	return []row{
		{"binary", "<= 10.5 MB", mb(len(data)), "CGO_ENABLED=0, -trimpath, -tags nethttpomithttp2, -s -w"},
		{"compressed", "<= 4.5 MB", mb(packed.Len()), "gzip -9: the image holds nothing else of weight"},
	}, nil
}

// initTime sums what the packages' initialization takes.
func (b *bench) initTime() ([]row, error) {
	clock := regexp.MustCompile(`(?m)^init .* ([0-9.]+) ms clock`)
	var sums []time.Duration
	for range runs {
		cmd := exec.Command(b.binary, "version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			return nil, err
		}
		var sum time.Duration
		for _, found := range clock.FindAllStringSubmatch(stderr.String(), -1) {
			value, err := strconv.ParseFloat(found[1], 64)
			if err != nil {
				return nil, err
			}
			sum += time.Duration(value * 1e6)
		}
		sums = append(sums, sum)
	}
	return []row{{"package init", "<= 1 ms", ms(median(sums)), fmt.Sprintf("GODEBUG=inittrace=1, median of %d", runs)}}, nil
}

// start measures the CPU time from exec to a signed token on disk, beside a command that only starts.
func (b *bench) start() ([]row, error) {
	config, err := b.config(1, 1)
	if err != nil {
		return nil, err
	}
	once, wall, err := b.cpuOf("once", "--force", "--config", config)
	if err != nil {
		return nil, err
	}
	version, _, err := b.cpuOf("version")
	if err != nil {
		return nil, err
	}
	return []row{
		{"start to signed token, CPU", "<= 4 ms", ms(once), fmt.Sprintf("`once --force`, ES256, user+sys, median of %d; wall %s", runs, ms(wall))},
		{"bare start, CPU", "", ms(version), "`version`, the same way"},
	}, nil
}

func (b *bench) cpuOf(args ...string) (cpu, wall time.Duration, err error) {
	var cpus, walls []time.Duration
	for range runs {
		cmd := exec.Command(b.binary, args...)
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, 0, fmt.Errorf("renewd %s: %w\n%s", args[0], err, out)
		}
		walls = append(walls, time.Since(began))
		cpus = append(cpus, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	}
	return median(cpus), median(walls), nil
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// config writes a configuration of one-hour tokens, each published to some files, with listener and socket. It returns its
// path.
func (b *bench) config(tokens, files int) (string, error) {
	var text strings.Builder
	text.WriteString("version: 1\ntokens:\n")
	for i := range tokens {
		fmt.Fprintf(&text, "  - name: t%d\n    source: {sign: {algorithm: ES256, keyFile: %s/signing.pem, claims: {iss: footprint}, ttl: 1h}}\n"+
			"    refresh: {floor: 100ms}\n    publish:\n", i, b.dir)
		for j := range files {
			fmt.Fprintf(&text, "      - {file: %s/t%d-%d}\n", b.dir, i, j)
		}
	}
	fmt.Fprintf(&text, "status: {listen: \"127.0.0.1:0\", socket: %s/renewd.sock}\n", b.dir)
	path := filepath.Join(b.dir, "config.yaml")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// begin starts `renewd run` and waits until it listens. The group may be nil.
func (b *bench) begin(tokens, files int, g *group) (*program.Process, error) {
	config, err := b.config(tokens, files)
	if err != nil {
		return nil, err
	}
	log := filepath.Join(b.dir, "log")
	if err := os.RemoveAll(log); err != nil {
		return nil, err
	}
	p, err := program.Start(g.command(b.binary, "run", "--log-level", "INFO", "--config", config), log)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(settled); p.Address() == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.Kill()
			return nil, fmt.Errorf("renewd does not listen:\n%s", p.Log())
		}
	}
	return p, nil
}
