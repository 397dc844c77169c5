// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// everything returns the content of the log and its backups, oldest first, and how many backups there are.
func (r *rig) everything() (text string, backups int) {
	r.t.Helper()
	names, err := filepath.Glob(r.path("renewd-*"))
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		text += r.read(filepath.Base(name))
	}
	return text + r.read("renewd.log"), len(names)
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// theFile returns the file behind the log.
func (r *rig) theFile() *file {
	r.Switch.mu.Lock()
	defer r.Switch.mu.Unlock()
	return r.files[r.path("renewd.log")].writer.(*file)
}

// trust keeps the file from testing whether it is still there, however long the rest of a test takes.
func (f *file) trust() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tested = time.Now().Add(time.Hour)
}

// forget makes the file test at once whether it is still there.
func (f *file) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tested = time.Time{}
}

// Reloads and rotations under load lose nothing and leak nothing.
func TestEveryLineOnceThroughReloadsAndRotations(t *testing.T) {
	const writers, each, reloads = 8, 6000, 40
	r := newRig(t).run()
	policy := func(i int) string {
		return fileHandler(fmt.Sprintf("maxLine: %dKiB, rotate: {maxSize: %dKiB, keep: 10000, maxTotal: 16GiB}", 1+i%64, 64+i%3))
	}
	r.apply(policy(0))
	log := r.Logger()
	log.Warn("warm up")
	r.flush()
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				log.Info(fmt.Sprintf("%d-%d %s", w, i, strings.Repeat("x", 20)))
				for i%100 == 99 && r.Sync() != nil { // so that no line is dropped because the queue is full
				}
			}
		})
	}
	for i := range reloads {
		r.apply(policy(i + 1))
		time.Sleep(5 * time.Millisecond)
	}
	group.Wait()
	r.flush()
	text, backups := r.everything()
	seen := map[string]int{}
	for line := range strings.Lines(text) {
		if word, rest, ok := strings.Cut(line, " "); ok && rest == strings.Repeat("x", 20)+"\n" {
			seen[word]++
		} else if !strings.HasPrefix(line, "policy reloaded") && line != "warm up\n" {
			t.Fatalf("torn: %q", line)
		}
	}
	for w := range writers {
		for i := range each {
			if n := seen[fmt.Sprintf("%d-%d", w, i)]; n != 1 {
				t.Fatalf("line %d-%d is there %d times; %v", w, i, n, r.State().Counters)
			}
		}
	}
	if backups < 10 || r.State().Generation != reloads+1 {
		t.Errorf("%d backups, generation %d", backups, r.State().Generation)
	}
	eventually(t, "goroutines and descriptors flat", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors(t) <= fds
	})
}

// Paths that come and go have one lumberjack each, and nothing is lost when a handler leaves the policy.
func TestReloadsAreFlat(t *testing.T) {
	reloads := 10_000 * 4 / slow // fewer with the race detector
	r := newRig(t).run()
	policy := func(i int) string {
		return fmt.Sprintf("level: INFO\nformats: {text: {pattern: '%%(message)s'}}\nhandlers: {main: {type: file, path: DIR, name: f%d.log, maxLine: %dKiB, rotate: {keep: 10000, maxTotal: 16GiB, maxSize: 1GiB}}}\n", i/50%3, 1+i%64)
	}
	log := r.Logger()
	var goroutines, fds int
	for i := range reloads {
		r.apply(policy(i))
		if log.Info("line"); i%200 == 199 {
			r.flush()
		}
		if i == reloads/10 {
			r.flush()
			time.Sleep(20 * time.Millisecond)
			goroutines, fds = runtime.NumGoroutine(), descriptors(t)
		}
	}
	r.flush()
	eventually(t, "goroutines and descriptors flat", func() bool { return runtime.NumGoroutine() <= goroutines && descriptors(t) <= fds })
	n := 0
	for i := range 3 {
		n += strings.Count(r.read(fmt.Sprintf("f%d.log", i)), "line\n")
	}
	if n != reloads {
		t.Errorf("%d of %d lines; %v", n, reloads, r.State().Counters)
	}
}

// Rotations as fast as possible overwrite nothing.
func TestFastRotationsKeepEveryLine(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler("maxLine: 64KiB, rotate: {maxSize: 64KiB, keep: 10000, maxTotal: 16GiB}"))
	big := strings.Repeat("x", 40<<10)
	for i := range 200 {
		r.Logger().Info(fmt.Sprintf("%03d %s", i, big))
		r.flush()
	}
	text, backups := r.everything()
	if backups != 199 { // the first holds the line about the policy and line 0
		t.Errorf("%d backups", backups)
	}
	for i := range 200 {
		if strings.Count(text, fmt.Sprintf("%03d x", i)) != 1 {
			t.Fatalf("line %d", i)
		}
	}
	if r.counter("rotations_total", "handler main reason size result ok") != 199 {
		t.Error(r.State().Counters)
	}
}

// If the clock went back, backups still sort as they were written, and none is overwritten.
func TestBackupsSortWhenTheClockWentBack(t *testing.T) {
	r := newRig(t).run()
	future := time.Now().UTC().Add(time.Hour).Truncate(time.Millisecond)
	taken := r.path("renewd-" + future.Format(backupTime) + ".log")
	if err := os.WriteFile(taken, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	near := time.Now().UTC().Add(30 * time.Millisecond).Truncate(time.Millisecond)
	for i := range 60 { // names that lumberjack is about to choose
		if err := os.WriteFile(r.path("renewd-"+near.Add(time.Duration(i)*time.Millisecond).Format(backupTime)+".log"), []byte("near\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.apply(fileHandler("rotate: {maxSize: 64KiB, keep: 10000}"))
	time.Sleep(time.Until(near))
	r.Logger().Info("one")
	r.Logger().Info("two " + strings.Repeat("x", 64<<10-10))
	r.Logger().Info("three " + strings.Repeat("x", 64<<10-10))
	r.flush()
	text, backups := r.everything()
	if backups != 63 || strings.Count(text, "near\n") != 60 || strings.Count(text, "old\n") != 1 {
		t.Errorf("%d backups", backups)
	}
	for i, want := range []string{"one", "two"} {
		name := "renewd-" + future.Add(time.Duration(i+1)*time.Millisecond).Format(backupTime) + ".log"
		contains(t, r.read(name), want)
	}
}

// A deleted file is made again by the first line over a second later; lost lines are counted.
func TestADeletedFileIsMadeAgain(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler("mode: '0600', dirMode: '0711', path: DIR/sub"))
	r.Logger().Info("before")
	r.flush()
	r.theFileAt("sub/renewd.log").forget()
	r.Logger().Info("tested")
	r.flush()
	r.theFileAt("sub/renewd.log").trust()
	if err := os.RemoveAll(r.path("sub")); err != nil {
		t.Fatal(err)
	}
	r.Logger().Info("lost")
	r.flush()
	r.theFileAt("sub/renewd.log").forget()
	r.Logger().Info("after")
	r.flush()
	if got := r.read("sub/renewd.log"); got != "after\n" {
		t.Errorf("%q", got)
	}
	if n := r.counter("lines_dropped_total", "handler main reason deleted"); n != 2 { // "tested" was written after the test
		t.Error(n)
	}
	wantMode(t, r.path("sub"), 0o711)
	wantMode(t, r.path("sub/renewd.log"), 0o600)
}

func (r *rig) theFileAt(name string) *file {
	r.Switch.mu.Lock()
	defer r.Switch.mu.Unlock()
	return r.files[r.path(name)].writer.(*file)
}

// The test of the path happens by itself, once a second.
func TestThePathIsTestedAfterASecond(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler(""))
	r.flush()
	if err := os.Remove(r.path("renewd.log")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(testEvery + 10*time.Millisecond)
	r.Logger().Info("after")
	r.flush()
	contains(t, r.read("renewd.log"), "after\n")
}

// Logrotate renames the file; nothing is lost.
func TestARenamedFileLosesNothing(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler(""))
	r.Logger().Info("before")
	r.flush()
	r.theFile().trust()
	if err := os.Rename(r.path("renewd.log"), r.path("renewd.log.1")); err != nil {
		t.Fatal(err)
	}
	r.Logger().Info("between")
	r.flush()
	r.theFile().forget()
	r.Logger().Info("after")
	r.flush()
	contains(t, r.read("renewd.log.1"), "before\nbetween\n")
	if got := r.read("renewd.log"); got != "after\n" || r.counter("lines_dropped_total") != 0 {
		t.Errorf("%q %v", got, r.State().Counters)
	}
}

// Logrotate's "create" puts a new file in the place of the old one, with a mode of its own.
func TestAFilePutInItsPlaceIsTheLog(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler(""))
	r.Logger().Info("before")
	r.flush()
	if err := errors.Join(os.Rename(r.path("renewd.log"), r.path("renewd.log.1")), os.WriteFile(r.path("renewd.log"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r.theFile().forget()
	r.Logger().Info("after")
	r.flush()
	if got := r.read("renewd.log"); got != "after\n" || r.counter("lines_dropped_total") != 0 {
		t.Errorf("%q %v", got, r.State().Counters)
	}
	lacks(t, r.read("renewd.log.1"), "after")
	wantMode(t, r.path("renewd.log"), 0o640)
}

// An external truncate leaves no hole, also after a rotation.
func TestAnExternalTruncateLeavesNoHole(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler("rotate: {maxSize: 64KiB}"))
	r.Logger().Info(strings.Repeat("x", 64<<10-10))
	r.Logger().Info("in the new file")
	r.flush()
	if err := os.Truncate(r.path("renewd.log"), 0); err != nil {
		t.Fatal(err)
	}
	r.Logger().Info("after")
	r.flush()
	if got := r.read("renewd.log"); got != "after\n" {
		t.Errorf("%q", got)
	}
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
		t.Errorf("%s: %v %v, want %v", path, info.Mode(), err, want)
	}
}

// Modes are exact under any umask, for the file, its directory, backups and compressed backups.
func TestModesAreExact(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	r := newRig(t).run()
	r.apply(fileHandler("path: DIR/a/b, mode: '0646', dirMode: '0777', rotate: {maxSize: 64KiB, compress: true}"))
	r.Logger().Info(strings.Repeat("x", 64<<10-10))
	r.Logger().Info("next")
	r.flush()
	var zipped []string
	eventually(t, "a compressed backup alone", func() bool {
		zipped, _ = filepath.Glob(r.path("a/b/renewd-*"))
		return len(zipped) == 1 && strings.HasSuffix(zipped[0], ".log.gz")
	})
	for path, want := range map[string]fs.FileMode{r.path("a"): 0o777, r.path("a/b"): 0o777, r.path("a/b/renewd.log"): 0o646, zipped[0]: 0o646} {
		wantMode(t, path, want)
	}
	in, err := os.Open(zipped[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	unzip, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(unzip); err != nil || string(data) != "policy reloaded\n" {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	r.apply(fileHandler("path: DIR/a/b, mode: '0600'")) // a reload changes the mode of the open file
	eventually(t, "the new mode", func() bool {
		info, err := os.Stat(r.path("a/b/renewd.log"))
		return err == nil && info.Mode().Perm() == 0o600
	})
}

// What is no regular file is refused, and nothing is renamed; a symlink is resolved once.
func TestOnlyRegularFilesAreWritten(t *testing.T) {
	for name, place := range map[string]func(path string) error{
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"device":    func(path string) error { return os.Symlink("/dev/null", path) },
		"to fifo": func(path string) error {
			return errors.Join(unix.Mkfifo(path+".fifo", 0o600), os.Symlink(path+".fifo", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).run()
			r.apply("level: DEBUG")
			if err := place(r.path("renewd.log")); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(r.path("renewd.log"))
			if got := r.Check("p", r.text(fileHandler("")), true); got == nil || !strings.Contains(got.Error(), "error[LP102]") {
				t.Error(got)
			}
			err := r.Apply("p", r.text(fileHandler("")), "test")
			if e, ok := errors.AsType[*Rejected](err); !ok || !e.Again || !strings.Contains(err.Error(), "error[LP102]") {
				t.Error(err)
			}
			after, _ := os.Lstat(r.path("renewd.log"))
			if list, _ := filepath.Glob(r.path("renewd-*")); !os.SameFile(before, after) || len(list) > 0 || r.State().Generation != 1 {
				t.Error("something changed", list)
			}
		})
	}
	t.Run("symlink", func(t *testing.T) {
		r := newRig(t).run()
		if err := errors.Join(os.Mkdir(r.path("real"), 0o700), os.WriteFile(r.path("real/x.log"), nil, 0o600), os.Symlink(r.path("real/x.log"), r.path("renewd.log"))); err != nil {
			t.Fatal(err)
		}
		r.apply(fileHandler("rotate: {maxSize: 64KiB}"))
		r.Logger().Info(strings.Repeat("x", 64<<10-10))
		r.Logger().Info("next")
		r.flush()
		contains(t, r.read("real/x.log"), "next\n")
		if info, err := os.Lstat(r.path("renewd.log")); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Error("the symlink was touched")
		}
		if list, _ := filepath.Glob(r.path("real/x-*.log")); len(list) != 1 {
			t.Error(list)
		}
	})
}

// LP103: two spellings of one file, and of what stands beside it.
func TestTwoHandlersCannotShareAFile(t *testing.T) {
	for name, second := range map[string]string{"symlinked directory": "path: DIR/link", "hard link": "path: DIR, name: hard.log", "symlink": "path: DIR, name: soft.log",
		"below a symlinked directory": "path: DIR/link/new}, c: {type: file, path: DIR/new",
		"lock":                        "path: DIR/link, name: renewd.log.lock", "backup": "path: DIR/link, name: renewd-2026-11-23T18-00-00.000.log"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).run()
			r.apply("level: INFO")
			if err := errors.Join(os.Symlink(r.dir, r.path("link")), os.WriteFile(r.path("renewd.log"), nil, 0o640), os.Link(r.path("renewd.log"), r.path("hard.log")),
				os.Symlink("renewd.log", r.path("soft.log"))); err != nil {
				t.Fatal(err)
			}
			policy := r.text("handlers: {a: {type: file, path: DIR}, b: {type: file, " + second + "}}")
			if found := r.Check("p", policy, true); found == nil || !strings.Contains(found.Error(), "error[LP103]") {
				t.Errorf("check: %v", found)
			}
			err := r.Apply("p", policy, "test")
			if err == nil || !strings.Contains(err.Error(), "error[LP103]") || r.State().Generation != 1 {
				t.Error(err)
			}
		})
	}
}

// One writing process. The lock is of an open file, so a second Switch stands for a second process.
func TestASecondProcessIsRefused(t *testing.T) {
	first, second := newRig(t).run(), newRig(t).run()
	second.dir = first.dir
	first.apply(fileHandler(""))
	changed := second.Follow("p.yaml", false)
	if err := changed(second.text(fileHandler("")), nil); err == nil || !strings.Contains(err.Error(), "error[LP104]") {
		t.Fatal(err)
	}
	second.Logger().Info("from the second")
	second.flush()
	contains(t, second.err.String(), "from the second\n") // at start its lines go to stderr
	if s := second.State(); s.Successful || s.Reloads[applyFailed] != 1 || s.Generation != 1 {
		t.Errorf("%+v", s)
	}
	first.stop() // lets go of the file
	if err := changed(second.text(fileHandler("")), nil); err != nil {
		t.Fatal(err)
	}
	second.Logger().Info("now in the file")
	second.flush()
	contains(t, first.read("renewd.log"), "now in the file\n")
	if s := second.State(); !s.Successful || s.Generation != 2 {
		t.Errorf("%+v", s)
	}
}

// Time rotation without writes makes one backup, and none of an empty file; a clock that steps back makes none.
func TestRotationByTime(t *testing.T) {
	if left := time.Until(time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)); left < time.Minute {
		time.Sleep(left) // midnight would come in between
	}
	r := newRig(t).run()
	r.apply(fileHandler("rotate: {every: 24h}"))
	r.Logger().Info("yesterday")
	r.flush()
	f := r.theFile()
	f.mu.Lock()
	defer f.mu.Unlock()
	today := f.period
	if today != time.Now().Unix()/86400 {
		t.Fatal("periods begin at midnight UTC")
	}
	s := f.settings.Load()
	f.period = today - 1
	f.care(s)
	f.care(s)
	f.period = today - 1
	f.care(s) // the file is empty
	f.period = today + 1
	f.writeHere(t, "kept\n")
	f.care(s) // the clock stepped back
	if got, backups := r.everything(); backups != 1 || !strings.HasSuffix(got, "yesterday\nkept\n") {
		t.Errorf("%d backups: %q", backups, got)
	}
	if r.counter("rotations_total", "reason time result ok") != 1 {
		t.Error(r.State().Counters)
	}
	if due := time.Until(time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)); f.due() > min(due, maxAsleep) || f.due() <= 0 {
		t.Error(f.due())
	}
}

func (f *file) writeHere(t *testing.T, text string) {
	if _, err := writeLines((*counted)(f), []byte(text), &f.torn); err != nil {
		t.Error(err)
	}
}

// A file of an earlier period is rotated when it is opened.
func TestAFileOfYesterdayIsRotatedAtStart(t *testing.T) {
	r := newRig(t).run()
	if err := os.WriteFile(r.path("renewd.log"), []byte("yesterday\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(r.path("renewd.log"), old, old); err != nil {
		t.Fatal(err)
	}
	r.apply(fileHandler("rotate: {every: 24h}"))
	r.flush()
	if text, backups := r.everything(); backups != 1 || !strings.HasPrefix(text, "yesterday\n") {
		t.Errorf("%d backups", backups)
	}
}

// Retention by count, age and total; foreign files stay.
func TestRetentionRemovesOnlyBackups(t *testing.T) {
	now := time.Now().UTC()
	for _, c := range []struct {
		rotate string
		want   int // of the newest
	}{{"keep: 3", 3}, {"keep: none", 0}, {"maxAge: 90m", 2}, {"maxTotal: 64KiB", 2}, {"keep: 10000, maxAge: 36500d", 6}} {
		r := newRig(t).run()
		var names []string
		for i := range 6 { // 30 KiB each, an hour apart, the newest first
			name := "renewd-" + now.Add(-time.Duration(i)*time.Hour-time.Minute).Format(backupTime) + ".log"
			if i%2 == 1 {
				name += ".gz"
			}
			if names = append(names, name); os.WriteFile(r.path(name), make([]byte, 30<<10), 0o600) != nil {
				t.Fatal()
			}
		}
		foreign := []string{"renewd-notes.log", "renewd-2020-01-01T00-00-00.000.log.bak", "renewd-2020-01-01T00-00-00.log", "x-2020-01-01T00-00-00.000.log", "renewd-2020-13-01T00-00-00.000.log"}
		for _, name := range foreign {
			if err := os.WriteFile(r.path(name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(r.path("renewd-2020-01-01T00-00-00.000.log"), 0o700); err != nil {
			t.Fatal(err)
		}
		r.apply(fileHandler("rotate: {" + c.rotate + "}"))
		left := func() (list []string) {
			for _, name := range names {
				if _, err := os.Stat(r.path(name)); err == nil {
					list = append(list, name)
				}
			}
			return list
		}
		eventually(t, fmt.Sprint(c.rotate, " leaves ", c.want), func() bool { return slices.Equal(left(), names[:c.want]) })
		for _, name := range append(foreign, "renewd-2020-01-01T00-00-00.000.log") {
			if _, err := os.Stat(r.path(name)); err != nil {
				t.Error(err)
			}
		}
	}
}

// What a crash left of a compression is removed and redone.
func TestLeftoversOfACrashAreRedone(t *testing.T) {
	r := newRig(t).run()
	name := r.path("renewd-2026-11-23T18-00-00.000.log")
	both := r.path("renewd-2026-11-23T19-00-00.000.log")
	for path, text := range map[string]string{name: "whole", name + ".gz.tmp": "ha", both: "again", both + ".gz": "zipped"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.apply(fileHandler("rotate: {compress: true}"))
	eventually(t, "two compressed backups", func() bool {
		list, _ := filepath.Glob(r.path("renewd-*"))
		return slices.Equal(list, []string{name + ".gz", both + ".gz"})
	})
}

func TestSyncMeansWritten(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler(""))
	for range 20 {
		for i := range 500 {
			r.Logger().Info("line", zap.Int("i", i))
		}
		eventually(t, "all lines written", func() bool { return r.Logger().Sync() == nil })
	}
	logCritical(r.Logger(), "the end") // makes the file durable
	r.stop()
	if got := r.read("renewd.log"); strings.Count(got, "line\n") != 10_000 || !strings.HasSuffix(got, "the end\n") {
		t.Errorf("%d bytes", len(got))
	}
}

// These need another user than root, so the test runs again as a child.
func TestWithoutPrivileges(t *testing.T) {
	if dir := os.Getenv("LOGPOLICY_CHILD_DIR"); dir != "" {
		r := newRig(t).run()
		r.dir = dir
		r.apply(fileHandler("mode: '0666', rotate: {maxSize: 64KiB}"))
		r.Logger().Info("one " + strings.Repeat("x", 64<<10-10))
		r.Logger().Info("two " + strings.Repeat("x", 64<<10-10))
		r.Logger().Info("three")
		r.flush()
		fmt.Printf("COUNTERS %v\n", r.State().Counters)
		return
	}
	for _, c := range []struct {
		name    string
		dir     fs.FileMode
		want    string
		backups int
	}{
		{"file of another user", 0o777, "reason size result ok", 3},
		{"directory not writable", 0o755, "reason size result failed", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			for dir := r.dir; dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.WriteFile(r.path("renewd.log"), []byte("root\n"), 0o666), os.Chmod(r.path("renewd.log"), 0o666),
				os.WriteFile(r.path("renewd.log.lock"), nil, 0o666), os.Chmod(r.path("renewd.log.lock"), 0o666), os.Chmod(r.dir, c.dir)); err != nil {
				t.Fatal(err)
			}
			exe := filepath.Join(t.TempDir(), "child")
			for dir := filepath.Dir(exe); dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile("/proc/self/exe")
			if err == nil {
				err = errors.Join(os.WriteFile(exe, data, 0o755), os.Chmod(exe, 0o755))
			}
			if err != nil {
				t.Fatal(err)
			}
			home := t.TempDir()
			if err := os.Chmod(home, 0o777); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestWithoutPrivileges$", "-test.v")
			cmd.Dir = "/"
			cmd.Env = append(os.Environ(), "LOGPOLICY_CHILD_DIR="+r.dir, "TMPDIR="+home)
			if os.Getuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, out)
			}
			contains(t, string(out), c.want)
			lacks(t, string(out), "lines_dropped_total")
			text, backups := r.everything()
			contains(t, text, "root\n", "one x", "two x", "three\n")
			if backups != c.backups {
				t.Errorf("%d backups\n%.500s", backups, out)
			}
		})
	}
}

// A full disk is survived. /dev/full stands for it below the file's descriptor.
func TestAFullDiskIsSurvived(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler(""))
	r.flush()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(r.path("renewd.log"))
	if err != nil {
		t.Fatal(err)
	}
	small := syscall.Rlimit{Cur: uint64(info.Size()) + 3, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil { // EFBIG after three bytes
		t.Fatal(err)
	}
	r.Logger().Info("first")
	r.Logger().Info("second")
	r.flush()
	r.flush()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	r.Logger().Info("third")
	r.flush()
	r.flush()
	if got := r.read("renewd.log"); !strings.HasSuffix(got, "\nfir\nthird\n") {
		t.Errorf("%q", got)
	}
	contains(t, r.err.String(), "first\nsecond\n", "log handler main: ") // onError: stderr
	if r.counter("write_errors_total", "handler main errno EFBIG") != 2 || r.counter("lines_dropped_total") != 0 {
		t.Error(r.State().Counters)
	}
}

// A file that cannot be made again costs one attempt for each line, and none while nothing is written.
func TestAnUnreachableFileDoesNotSpin(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler("path: DIR/sub"))
	r.flush()
	if err := errors.Join(os.RemoveAll(r.path("sub")), os.WriteFile(r.path("sub"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	f := r.theFileAt("sub/renewd.log")
	f.forget()
	f.untidy.Store(true)
	r.file(f.path).rouse() // to look after backups
	time.Sleep(50 * time.Millisecond)
	r.Logger().Info("to stderr")
	r.flush()
	r.flush()
	contains(t, r.err.String(), "to stderr\n", "log handler main: ")
	if n := r.counter("write_errors_total"); n < 2 || n > 5 {
		t.Error(n)
	}
}

// What a file could not take at the end of Run still reaches stderr.
func TestTheLastLinesOfABrokenFileReachStderr(t *testing.T) {
	r := newRig(t).run()
	r.apply(fileHandler("path: DIR/sub"))
	r.flush()
	if err := errors.Join(os.RemoveAll(r.path("sub")), os.WriteFile(r.path("sub"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r.theFileAt("sub/renewd.log").forget()
	for i := range 100 {
		r.Logger().Info(fmt.Sprint("last-", i))
	}
	r.stop()
	if n := strings.Count(r.err.String(), "last-"); n != 100 {
		t.Error(n)
	}
}
