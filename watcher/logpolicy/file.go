// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

const (
	testEvery  = time.Second // how long a file is believed to be where it was
	retryAfter = time.Minute // of a rotation that failed
	maxAsleep  = time.Minute // so that a step of the wall clock is noticed
)

// file is a log file behind lumberjack, which appends and renames. We make the file, count its bytes, decide when to
// rotate, and look after the backups: lumberjack forgets O_APPEND and the mode, overwrites backups of one millisecond, and
// loses lines when it cannot rotate. There is one per real path for the life of the process, because lumberjack keeps a
// goroutine for good.
type file struct {
	path     string // without symlinks
	lumber   *lumberjack.Logger
	settings atomic.Pointer[fileSettings]
	untidy   atomic.Bool // the backups want a look
	counts   *counters
	complain func(handler string, err error)
	backups  backups

	mu      sync.Mutex // held by the sink's goroutine while it writes, and by prepare
	own     *os.File   // the file as we opened it; nil: closed
	lock    *os.File
	info    fs.FileInfo // of own
	perm    mode        // of own, or what could not be set
	size    int64
	tested  time.Time // when path last was own
	since   uint64    // lines written since
	torn    bool
	retryAt time.Time
	period  int64     // the latest period of rotate.every that has begun
	every   span      // that it was counted with
	last    time.Time // of the newest backup
}

// fileSettings is what may change while the file stays open.
type fileSettings struct {
	handler       string
	mode, dirMode mode
	rotate        rotate
}

func newFile(path string, counts *counters) *file {
	const terabytes = 1 << 40 // in megabytes: more than any file, and less than overflows
	return &file{path: path, lumber: &lumberjack.Logger{Filename: path, MaxSize: terabytes}, counts: counts,
		backups: newBackups(path)}
}

// prepare opens the file unless it is open.
func (f *file) prepare() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.own != nil {
		return nil
	}
	return f.open()
}

// open claims, makes and opens the file. The caller holds mu.
func (f *file) open() error {
	s := f.settings.Load()
	dir, err := makeDir(filepath.Dir(f.path), s.dirMode)
	if err == nil && dir != filepath.Dir(f.path) {
		err = fmt.Errorf("the directory now leads to %.200q", dir)
	}
	if err == nil && f.lock == nil {
		f.lock, err = lockLog(f.path, s.mode)
	}
	if err != nil {
		return err
	}
	own, info, err := openLog(f.path)
	if err != nil {
		f.unlock()
		return err
	}
	f.own, f.info, f.perm, f.size, f.tested, f.since = own, info, mode(info.Mode().Perm()), info.Size(), time.Now(), 0
	f.last = f.backups.newest()
	if every := time.Duration(s.rotate.Every); every > 0 {
		written := time.Now()
		if f.size > 0 {
			written = info.ModTime()
		}
		f.period, f.every = max(f.period, periodOf(written, every)), s.rotate.Every
	}
	f.untidy.Store(true)
	return nil
}

func (f *file) unlock() {
	if f.lock != nil {
		_ = f.lock.Close()
		f.lock = nil
	}
}

// report counts and says an error that costs no line.
func (f *file) report(err error) {
	handler := f.settings.Load().handler
	f.counts.add("write_errors_total", 1, "handler", handler, "errno", errno(err))
	f.complain(handler, err)
}

// write appends the lines that fit, and first does what is due: find the file if it was moved, rotate.
func (f *file) write(text []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.verify(false); err != nil {
		return 0, err
	}
	s := f.settings.Load()
	f.care(s)
	fit := func() int { return wholeLines(text, int(max(int64(s.rotate.MaxSize)-f.size, 0))) }
	if f.size > 0 && f.size+int64(fit()) > int64(s.rotate.MaxSize) {
		f.rotate("size")
	}
	if f.own == nil {
		return 0, errors.New("the file could not be made again after a rotation")
	}
	n, err := writeLines((*counted)(f), text[:fit()], &f.torn)
	f.since += uint64(bytes.Count(text[:n], []byte{'\n'}))
	return n, err
}

// configure changes the settings; the goroutine of the sink obeys them when it is roused.
func (f *file) configure(s *fileSettings) {
	if old := f.settings.Swap(s); old == nil || *old != *s {
		f.untidy.Store(true)
	}
}

// care does what is due apart from lines: the mode, rotation by time, the backups.
func (f *file) care(s *fileSettings) {
	f.setMode(s)
	f.rotateByTime(s)
	if f.untidy.CompareAndSwap(true, false) {
		f.backups.tidy(f.settings.Load, f.report)
	}
}

// setMode gives the file the mode of its handler, whatever the umask. That it cannot, because the file belongs to someone
// else, is said once.
func (f *file) setMode(s *fileSettings) {
	if f.own == nil || f.perm == s.mode {
		return
	}
	f.perm = s.mode
	if err := f.own.Chmod(fs.FileMode(s.mode)); err != nil {
		f.report(fmt.Errorf("set mode: %w", err))
	}
}

// counted is the file as an io.Writer that counts.
type counted file

// Write implements io.Writer. After a rotation that failed lumberjack opens the file again, which a volume that has turned
// read-only does not allow; ours is open still.
func (f *counted) Write(p []byte) (int, error) {
	n, err := f.lumber.Write(p)
	if err != nil && n == 0 {
		n, err = f.own.Write(p)
	}
	f.size += int64(n)
	return n, err
}

// verify finds out whether the path still leads to the open file, and makes the file again if not. It believes a recent
// test unless now is set.
func (f *file) verify(now bool) error {
	if f.own == nil {
		return f.open()
	}
	if !now && time.Since(f.tested) <= testEvery {
		return nil
	}
	info, err := os.Lstat(f.path)
	if err == nil && os.SameFile(info, f.info) {
		f.size, f.tested, f.since = info.Size(), time.Now(), 0
		return nil
	}
	if stat, err := f.own.Stat(); err == nil && stat.Sys().(*syscall.Stat_t).Nlink == 0 && f.since > 0 {
		f.counts.add("lines_dropped_total", f.since, "handler", f.settings.Load().handler, "reason", "deleted")
	}
	f.shut()
	return f.open()
}

// shut closes the file but keeps the lock.
func (f *file) shut() {
	_ = f.lumber.Close()
	if f.own != nil {
		_ = f.own.Close()
		f.own = nil
	}
}

// rotate sets the file aside and makes a new one:
//
//  1. see that the file is there and not empty
//  2. wait for a millisecond that no backup has
//  3. let lumberjack rename it
//  4. see what happened, whatever lumberjack says: it may rename and then fail
//  5. give the backup a later name if the clock went back
//  6. close lumberjack, whose new file has neither our mode nor O_APPEND
//  7. make the file ours, for the next write to open, and look after the backups
//
// If it cannot, the file goes on to grow, and the next attempt is made a minute later.
func (f *file) rotate(reason string) {
	if time.Now().Before(f.retryAt) || f.verify(true) != nil || f.size == 0 {
		return
	}
	f.backups.awaitFree(f.last)
	err := f.lumber.Rotate()
	handler := f.settings.Load().handler
	info, statErr := os.Lstat(f.path)
	if err != nil {
		f.report(fmt.Errorf("rotate: %w", err))
	}
	if statErr == nil && os.SameFile(info, f.info) {
		f.retryAt = time.Now().Add(retryAfter)
		f.counts.add("rotations_total", 1, "handler", handler, "reason", reason, "result", "failed")
		return
	}
	if err := f.backups.settle(f.info, f.last); err != nil {
		f.report(fmt.Errorf("name the backup: %w", err))
	}
	f.shut()
	f.torn = false
	f.counts.add("rotations_total", 1, "handler", handler, "reason", reason, "result", "ok")
	if err := f.open(); err != nil {
		f.report(err)
	}
	f.setMode(f.settings.Load())
}

func periodOf(t time.Time, every time.Duration) int64 { return t.UnixNano() / int64(every) }

// rotateByTime rotates once in each period, also if the clock steps back.
func (f *file) rotateByTime(s *fileSettings) {
	every := time.Duration(s.rotate.Every)
	if every <= 0 {
		f.every = 0
		return
	}
	now := periodOf(time.Now(), every)
	if s.rotate.Every != f.every {
		f.period, f.every = now, s.rotate.Every
	}
	if now <= f.period || time.Now().Before(f.retryAt) {
		return
	}
	if f.rotate("time"); !time.Now().Before(f.retryAt) {
		f.period = now
	}
}

// due returns when tick has something to do.
func (f *file) due() time.Duration {
	s := f.settings.Load()
	if f.untidy.Load() {
		return time.Millisecond
	}
	if every := time.Duration(s.rotate.Every); every > 0 {
		return min(every-time.Duration(time.Now().UnixNano()%int64(every)), maxAsleep)
	}
	if s.rotate.MaxAge > 0 {
		return time.Hour
	}
	return 0
}

// tick does what is due without a line.
func (f *file) tick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.settings.Load()
	f.untidy.CompareAndSwap(false, s.rotate.MaxAge > 0)
	if err := f.verify(false); err != nil {
		f.untidy.Store(false) // until it can be opened
		f.report(err)
		return
	}
	f.care(s)
}

// sync makes what was written durable.
func (f *file) sync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.own != nil {
		if err := f.own.Sync(); err != nil {
			f.report(fmt.Errorf("sync: %w", err))
		}
	}
}

// close lets go of the file. The next write opens it again.
func (f *file) close() {
	f.sync()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shut()
	f.unlock()
	f.backups.stop()
}
