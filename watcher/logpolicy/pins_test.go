// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What in zap loses lines, leaks, or ends the process is used nowhere in the daemon.
func TestUnsafePartsOfZapAreNotUsed(t *testing.T) {
	unsafe := regexp.MustCompile(`\b(BufferedWriteSyncer|NewSampler\w*|RegisterSink|RegisterEncoder|NewProduction|NewDevelopment|zap\.Config|AtomicLevel|NewTee|zapfilter|ReplaceGlobals|os\.Exit|[lL]og\.Fatal)\b`)
	seen := 0
	for _, root := range []string{"../../daemon", "../../watcher"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if found := unsafe.Find(text); found != nil {
				t.Errorf("%s uses %s", path, found)
			}
			seen++
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 100 {
		t.Errorf("only %d files", seen)
	}
}

// The work-arounds were measured with these versions. Look at them again before another one is taken, and never take an
// older one.
func TestPinnedVersions(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(text), "github.com/fsnotify/fsnotify v1.10.1\n", "go.uber.org/zap v1.28.0\n", "gopkg.in/natefinch/lumberjack.v2 v2.2.1\n")
}

// Stdout and stderr are often pipes, which cannot be synced, and that is no error.
func TestSyncOfAPipeIsNoError(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if write.Sync() == nil {
		t.Error("a pipe can be synced: this test shows nothing")
	}
	s := New(Options{Areas: areas, Stdout: write, Stderr: write})
	logCritical(s.Logger(), "urgent") // worth an fsync
	if err := s.Sync(); err != nil {
		t.Error(err)
	}
	if err := s.Logger().Sync(); err != nil {
		t.Error(err)
	}
	_ = write.Close()
	b := make([]byte, 4096)
	n, _ := read.Read(b)
	contains(t, string(b[:n]), "| CRITICAL | urgent")
	lacks(t, string(b[:n]), "log handler")
}

// A line that is larger than the file may be is written, cut or not, in a file of its own.
func TestALineLargerThanTheFile(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler("maxLine: 64KiB, rotate: {maxSize: 64KiB, keep: 100}"))
	for _, n := range []int{64<<10 - 1, 64 << 10, 64<<10 + 1, 5 << 20} {
		r.Logger().Info(strings.Repeat("x", n))
		r.Logger().Info("after")
	}
	r.flush()
	text, backups := r.everything()
	if strings.Count(text, "\nafter\n") != 4 || strings.Count(text, "\nxxx") != 4 || backups != 8 || r.counter("lines_dropped_total") != 0 {
		t.Errorf("%d backups, %d lines, %v", backups, strings.Count(text, "\n"), r.State().Counters)
	}
	contains(t, text, "x…[+", " bytes]\n")
}

// What a file may hold is counted here; lumberjack's own limit never cuts in.
func TestAFileMayBeLarge(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler("rotate: {maxSize: 16GiB}"))
	line := strings.Repeat("x", 60<<10)
	for range 40 { // past 1 MiB, which is lumberjack's unit
		r.Logger().Info(line)
		r.flush()
	}
	if text, backups := r.everything(); backups != 0 || strings.Count(text, line) != 40 {
		t.Errorf("%d backups, %d lines", backups, strings.Count(text, line))
	}
}

// What takes the place of a log file after it was looked at is not written either.
func TestWhatReplacesALogFileIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	target, link, fifo := filepath.Join(dir, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	if err := errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink(target, link), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, fifo} {
		if f, _, err := openLog(path); !errors.Is(err, errNotRegular) {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}
}

// A CRITICAL line and the end make the file durable, by our own descriptor: lumberjack has no sync. A pipe in its place
// cannot be synced, so that each attempt is counted as EINVAL.
func TestCriticalLinesAndTheEndAreSynced(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler(""))
	r.flush()
	read, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	f := r.theFile()
	f.mu.Lock()
	own := f.own
	f.own = pipe
	f.tested = time.Now().Add(time.Hour) // it is not looked for
	f.mu.Unlock()
	defer func() { _ = own.Close() }()
	syncs := func(want uint64) {
		t.Helper()
		if n := r.counter("write_errors_total", "handler main errno EINVAL"); n != want {
			t.Errorf("%d syncs, want %d", n, want)
		}
	}
	r.Logger().Error("ordinary")
	r.flush()
	syncs(0)
	logCritical(r.Logger(), "urgent")
	r.flush()
	syncs(1)
	r.stop()
	syncs(2)
	contains(t, r.read("renewd.log"), "ordinary\nurgent\n")
}

// Backups are named in UTC wherever the process runs, so that no name comes twice when a summer ends. The zone is that
// of a child, since it holds for a whole process.
func TestBackupsAreNamedInUTC(t *testing.T) {
	const key = "LOGPOLICY_TEST_ZONE"
	if os.Getenv(key) == "" {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
		cmd.Env = append(os.Environ(), key+"=1", "TZ=Asia/Seoul")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("in the child: %v\n%s", err, out)
		}
		return
	}
	if _, offset := time.Now().Zone(); offset != 9*3600 {
		t.Fatalf("the zone of the child is %v", time.Local)
	}
	r := newRig(t).run()
	r.apply(fileHandler("rotate: {maxSize: 64KiB}"))
	r.Logger().Info(strings.Repeat("x", 64<<10-10))
	r.Logger().Info("next")
	r.flush()
	list, _ := r.theFile().backups.list()
	if len(list) != 1 || time.Since(list[0].at).Abs() > time.Minute {
		t.Errorf("%+v", list)
	}
}

// FuzzBatches: however lines, rotations and short writes fall, each line is in the file once or counted.
func FuzzBatches(f *testing.F) {
	f.Add(10, 100, 7)
	f.Fuzz(func(t *testing.T, lines, length, room int) {
		lines, length, room = abs(lines)%200, abs(length)%9000, abs(room)%20000
		var got strings.Builder
		w := writerFunc(func(p []byte) (int, error) {
			n := min(room, len(p))
			room -= n
			got.Write(p[:n])
			if n < len(p) {
				return n, fs.ErrInvalid
			}
			return n, nil
		})
		s := New(Options{Areas: areas, Stdout: w, Stderr: writerFunc(func(p []byte) (int, error) { return len(p), nil })})
		k := s.stdout
		k.instead = nil
		from := &output{name: "x"}
		for range lines {
			k.put([]byte(strings.Repeat("x", length)), from, false)
		}
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		written, dropped := 0, 0
		for line := range strings.Lines(got.String()) {
			if line == strings.Repeat("x", length)+"\n" {
				written++
			}
		}
		for _, c := range s.State().Counters {
			if c.Name == "lines_dropped_total" {
				dropped += int(c.Value)
			}
		}
		if written+dropped != lines {
			t.Errorf("%d lines of %d bytes: %d written, %d dropped", lines, length, written, dropped)
		}
	})
}
