// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"
)

// plain is zap with its own JSON encoder, which writes the keys and the forms that ours writes, to a file by lumberjack,
// which both write to.
func plain(b *testing.B) *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "msg",
		EncodeTime: zapcore.TimeEncoderOfLayout(iso), EncodeLevel: zapcore.CapitalLevelEncoder, EncodeDuration: zapcore.StringDurationEncoder})
	out := &lumberjack.Logger{Filename: filepath.Join(b.TempDir(), "zap.log"), MaxSize: 1 << 20}
	b.Cleanup(func() { _ = out.Close() })
	return zap.New(zapcore.NewCore(encoder, zapcore.AddSync(out), zap.InfoLevel))
}

// ours is a logger that obeys a policy with one file, as it runs.
func ours(b *testing.B, format, more string) (*Switch, *zap.Logger) {
	s := New(Options{Areas: areas, Stderr: io.Discard})
	text := "version: 1\nlevel: INFO\nhandlers: {c: {type: file, path: " + b.TempDir() + ", rotate: {maxSize: 16GiB}, format: " + format + "}}\n" + more
	if err := s.Apply("p", []byte(text), "test"); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	go func() { over <- s.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-over })
	return s, s.Logger()
}

// cpu returns what the process has used of all processors.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLine compares by what a line costs until it is in the file: a Sync counts, and nothing may be dropped. Each round
// logs a burst by each logger in turn, so that they meet the same load of the machine. Reported is the median of the
// rounds, in nanoseconds of wall clock and of all processors, and the ratio of lines per second to zap's.
func BenchmarkLine(b *testing.B) {
	const burst, rounds = 512, 400
	at := time.Now()
	none := func() error { return nil }
	loggers := []struct {
		name string
		log  *zap.Logger
		sync func() error
	}{{name: "zap", log: plain(b), sync: none}, {name: "json"}, {name: "text"}}
	for i := range loggers[1:] {
		s, log := ours(b, loggers[i+1].name, "")
		loggers[i+1].log, loggers[i+1].sync = log, s.Sync
		b.Cleanup(func() {
			for _, c := range s.State().Counters {
				if c.Name == "lines_dropped_total" {
					b.Error(c)
				}
			}
		})
	}
	wall, used := make([][]float64, len(loggers)), make([][]float64, len(loggers))
	for b.Loop() {
		for range rounds {
			for i, l := range loggers {
				log := l.log.Named("token.db").With(zap.String("token", "db"))
				began, before := time.Now(), cpu()
				for range burst {
					log.Info("token published", zap.String("trigger", "schedule"), zap.Time("next", at), zap.Int("failures", 0))
				}
				if err := l.sync(); err != nil {
					b.Fatal(err)
				}
				wall[i] = append(wall[i], float64(time.Since(began))/burst)
				used[i] = append(used[i], float64(cpu()-before)/burst)
			}
		}
	}
	median := func(list []float64) float64 { slices.Sort(list); return list[len(list)/2] }
	for i, l := range loggers {
		b.ReportMetric(median(wall[i]), l.name+"-ns/line")
		b.ReportMetric(median(used[i]), l.name+"-cpu-ns/line")
		if i > 0 {
			b.ReportMetric(median(wall[0])/median(wall[i]), l.name+"/zap-lines/s")
		}
	}
}

// BenchmarkAllocations is one line of each, for -benchmem and profiles.
func BenchmarkAllocations(b *testing.B) {
	at := time.Now()
	run := func(b *testing.B, log *zap.Logger, sync func() error) {
		log = log.Named("token.db").With(zap.String("token", "db"))
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			log.Info("token published", zap.String("trigger", "schedule"), zap.Time("next", at), zap.Int("failures", 0))
			if i%512 == 511 {
				_ = sync()
			}
		}
	}
	b.Run("zap", func(b *testing.B) { run(b, plain(b), func() error { return nil }) })
	for _, format := range []string{"json", "text"} {
		b.Run(format, func(b *testing.B) { s, log := ours(b, format, ""); run(b, log, s.Sync) })
	}
}

// BenchmarkDisabled is a line that no handler gets. With an area at DEBUG, zap asks the core, which looks the area up.
func BenchmarkDisabled(b *testing.B) {
	run := func(b *testing.B, log *zap.Logger) {
		log = log.Named("token.db")
		b.ReportAllocs()
		for b.Loop() {
			log.Debug("nobody hears")
		}
	}
	b.Run("zap", func(b *testing.B) { run(b, plain(b)) })
	b.Run("ours", func(b *testing.B) { _, log := ours(b, "text", ""); run(b, log) })
	b.Run("ours-beside-debug", func(b *testing.B) { _, log := ours(b, "text", "areas: {status: DEBUG}\n"); run(b, log) })
}

func BenchmarkReload(b *testing.B) {
	s, _ := ours(b, "text", "")
	texts := [][]byte{[]byte("version: 1\nlevel: INFO\nareas: {token: DEBUG}"), []byte("version: 1\nlevel: ERROR\n")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := s.Apply("p", texts[i%2], "test"); err != nil {
			b.Fatal(err)
		}
	}
}
