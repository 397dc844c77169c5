// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"io"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// plain is zap as it comes, for comparison.
func plain() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(io.Discard)), zap.InfoLevel), zap.AddCaller())
}

func ours(b *testing.B, format string) (*Switch, *zap.Logger) {
	s := New(Options{Areas: areas, Stderr: io.Discard})
	if err := s.Apply("p", []byte("version: 1\nlevel: INFO\nhandlers: {c: {type: stream, format: "+format+"}}"), "test"); err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Run(b.Context()) }()
	return s, s.Logger()
}

func BenchmarkLine(b *testing.B) {
	run := func(b *testing.B, log *zap.Logger, sync func()) {
		log = log.Named("token.db").With(zap.String("token", "db"))
		at := time.Now()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			log.Info("token published", zap.String("trigger", "schedule"), zap.Time("next", at), zap.Int("failures", 0))
			if i%512 == 511 {
				sync()
			}
		}
		sync()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	}
	b.Run("zap", func(b *testing.B) { run(b, plain(), func() {}) })
	for _, format := range []string{"json", "text"} {
		b.Run(format, func(b *testing.B) { s, log := ours(b, format); run(b, log, func() { _ = s.Sync() }) })
	}
}

func BenchmarkDisabled(b *testing.B) {
	run := func(b *testing.B, log *zap.Logger) {
		log = log.Named("token.db")
		b.ReportAllocs()
		for b.Loop() {
			log.Debug("nobody hears")
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/line")
	}
	b.Run("zap", func(b *testing.B) { run(b, plain()) })
	b.Run("ours", func(b *testing.B) { _, log := ours(b, "text"); run(b, log) })
}

func BenchmarkReload(b *testing.B) {
	s, _ := ours(b, "text")
	texts := [][]byte{[]byte("version: 1\nlevel: INFO\nareas: {token: DEBUG}"), []byte("version: 1\nlevel: ERROR\n")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := s.Apply("p", texts[i%2], "test"); err != nil {
			b.Fatal(err)
		}
	}
}
