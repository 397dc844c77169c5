// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestVolumeSwap(t *testing.T) { // W1, W3, W4
	t.Parallel()
	v := &volume{dir: t.TempDir()}
	v.swap(t, "key", "one")
	w, r, s := watching(t, filepath.Join(v.dir, "key"), "one")

	v.swap(t, "key", "two")
	r.wants(t, time.Second, "one", "two")
	v.swap(t, "key", "three")
	r.wants(t, time.Second, "one", "two", "three")

	checks := s.count()
	v.swap(t, "key", "three")
	for end := time.Now().Add(time.Second); s.count() == checks && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	v.swap(t, "key", "")
	r.wants(t, time.Second, "one", "two", "three", "missing")
	v.swap(t, "key", "four")
	r.wants(t, time.Second, "one", "two", "three", "missing", "four")
	for kind, n := range w.Errors() {
		if n != 0 {
			t.Errorf("%d errors of kind %s in ordinary swaps", n, kind)
		}
	}
}

// TestSwapStorm swaps while the watcher reads: nothing is ever missing, and the last content arrives.
func TestSwapStorm(t *testing.T) { // W2
	t.Parallel()
	v := &volume{dir: t.TempDir()}
	v.swap(t, "key", "0")
	_, r, _ := watching(t, filepath.Join(v.dir, "key"), "0")
	for i := range 300 {
		v.swap(t, "key", fmt.Sprint(i+1))
	}
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		words := r.words()
		if words[len(words)-1] == "300" {
			if slices.Contains(words, "missing") || slices.Contains(words, "unreadable") {
				t.Errorf("told %q", words)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the last word is %q", words[len(words)-1])
		}
	}
}

func TestRenameOver(t *testing.T) { // W5
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	_, r, _ := watching(t, path, "one")
	replace(t, path, "two")
	r.wants(t, 250*time.Millisecond, "one", "two")
	other := filepath.Join(t.TempDir(), "elsewhere")
	write(t, other, "three")
	must(t, os.Rename(other, path))
	r.wants(t, 250*time.Millisecond, "one", "two", "three")
}

func TestEditors(t *testing.T) { // W6, W8
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "one")
	_, r, s := watching(t, path, "one")

	// vim: backup by rename, then a new file.
	must(t, os.Rename(path, path+"~"))
	write(t, path, "vim")
	must(t, os.Chmod(path, 0o600), os.Remove(path+"~"))
	r.wants(t, time.Second, "one", "vim")

	// emacs: a lock beside the file, a backup, an edit in place.
	time.Sleep(20 * time.Millisecond) // the check that reported ends after its report
	checks := s.count()
	must(t, os.Symlink("user@host.1:2", filepath.Join(dir, ".#file")))
	write(t, path+"~", "vim")
	time.Sleep(20 * time.Millisecond)
	if n := s.count(); n != checks {
		t.Errorf("%d checks for files beside it", n-checks)
	}
	write(t, path, "emacs")
	must(t, os.Remove(filepath.Join(dir, ".#file")))
	r.wants(t, time.Second, "one", "vim", "emacs")
}

// TestWritersInPlace is the real form of the bubble's table: no part is ever reported.
func TestWritersInPlace(t *testing.T) { // W7, W9, W10
	tests := []struct {
		name  string
		write func(t *testing.T, path string)
	}{
		{"rm and create", func(t *testing.T, path string) {
			must(t, os.Remove(path))
			write(t, path, "whole")
			time.Sleep(150 * time.Millisecond)
			appendTo(t, path, " text")
		}},
		{"truncate", func(t *testing.T, path string) {
			must(t, os.Truncate(path, 0))
			time.Sleep(300 * time.Millisecond)
			appendTo(t, path, "whole text")
		}},
		{"truncate to a part", func(t *testing.T, path string) {
			must(t, os.Truncate(path, 3))
			time.Sleep(300 * time.Millisecond)
			write(t, path, "whole text")
		}},
		{"a valid part", func(t *testing.T, path string) {
			write(t, path, "whole")
			time.Sleep(150 * time.Millisecond)
			appendTo(t, path, " text")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, "before")
			_, r, _ := watching(t, path, "before")
			tt.write(t, path)
			r.wants(t, 1500*time.Millisecond, "before", "whole text")
		})
	}
}

// TestASymlinkBecomesAFile: a file made where a symlink was is no replacement, unless it was renamed there.
func TestASymlinkBecomesAFile(t *testing.T) {
	tests := []struct {
		name   string
		within time.Duration
		write  func(t *testing.T, path string)
	}{
		{"written in place", 1500 * time.Millisecond, func(t *testing.T, path string) {
			must(t, os.Remove(path))
			write(t, path, "whole")
			time.Sleep(150 * time.Millisecond)
			appendTo(t, path, " text")
		}},
		{"written in place, seen to be away", 1500 * time.Millisecond, func(t *testing.T, path string) {
			must(t, os.Remove(path))
			time.Sleep(50 * time.Millisecond)
			write(t, path, "whole")
			time.Sleep(150 * time.Millisecond)
			appendTo(t, path, " text")
		}},
		{"renamed over", 90 * time.Millisecond, func(t *testing.T, path string) {
			write(t, path+".tmp", "whole text")
			must(t, os.Rename(path+".tmp", path))
		}},
		{"another symlink", 90 * time.Millisecond, func(t *testing.T, path string) {
			must(t, os.Symlink("elsewhere", path+".tmp"))
			write(t, filepath.Join(filepath.Dir(path), "elsewhere"), "whole text")
			must(t, os.Rename(path+".tmp", path))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "link")
			write(t, filepath.Join(dir, "file"), "before")
			must(t, os.Symlink("file", path))
			_, r, _ := watching(t, path, "before")
			tt.write(t, path)
			r.wants(t, tt.within, "before", "whole text")
		})
	}
}

// TestDirectoryReplaced: each way of losing the watched directory ends with events working again.
func TestDirectoryReplaced(t *testing.T) { // W18, W19, W20, FS1
	tests := []struct {
		name   string
		change func(t *testing.T, top, dir string)
		stale  bool // without any event
	}{
		{"removed and made again", func(t *testing.T, _, dir string) {
			must(t, os.RemoveAll(dir), os.Mkdir(dir, 0o755))
		}, false},
		{"renamed away", func(t *testing.T, _, dir string) {
			must(t, os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o755))
		}, false},
		{"ancestor renamed away", func(t *testing.T, top, dir string) {
			must(t, os.Rename(top, top+".old"), os.MkdirAll(dir, 0o755))
		}, true},
		{"renamed away and back", func(t *testing.T, _, dir string) {
			must(t, os.Rename(dir, dir+".old"), os.Rename(dir+".old", dir))
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			top := filepath.Join(t.TempDir(), "top")
			dir := filepath.Join(top, "dir")
			path := filepath.Join(dir, "file")
			must(t, os.MkdirAll(dir, 0o755))
			write(t, path, "one")
			poll := time.Minute
			if tt.stale {
				poll = 200 * time.Millisecond
			}
			w, r, s := polling(t, path, "one", poll)
			tt.change(t, top, dir)
			replace(t, path, "two")
			r.wants(t, 2*time.Second, "one", "two")
			s.reaches(t, path, Inotify, time.Second)
			replace(t, path, "three")
			r.wants(t, 250*time.Millisecond, "one", "two", "three")
			if n := w.Errors()[kindStale]; n > 0 != tt.stale {
				t.Errorf("counted %d stale watches", n)
			}
		})
	}
}

// TestDirectoriesAppear: the nearest existing ancestor is watched, and each one that appears.
func TestDirectoriesAppear(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	path := filepath.Join(top, "a", "b", "file")
	_, r, _ := watching(t, path, "missing")
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	write(t, path, "there")
	r.wants(t, time.Second, "missing", "there")

	link := filepath.Join(top, "link")
	_, r, _ = watching(t, link, "missing")
	must(t, os.Symlink("x/y", link), os.Mkdir(filepath.Join(top, "x"), 0o755))
	write(t, filepath.Join(top, "x", "y"), "behind")
	r.wants(t, time.Second, "missing", "behind")
}

func TestPollWithoutEvents(t *testing.T) { // W24: a hard link elsewhere gives none
	t.Parallel()
	path, elsewhere := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "link")
	write(t, path, "one")
	must(t, os.Link(path, elsewhere))
	_, r, _ := polling(t, path, "one", 200*time.Millisecond)
	appendTo(t, elsewhere, " more")
	r.wants(t, time.Second, "one", "one more")
}

func TestUnreadable(t *testing.T) { // W15
	t.Parallel()
	dir := t.TempDir()
	fifo, big, loop := filepath.Join(dir, "fifo"), filepath.Join(dir, "big"), filepath.Join(dir, "loop")
	must(t, unix.Mkfifo(fifo, 0o644), os.WriteFile(big, make([]byte, 2<<20), 0o644), os.Symlink("loop", loop))
	tests := []struct {
		path string
		want error
	}{{fifo, ErrNotRegular}, {dir, ErrNotRegular}, {big, ErrTooLarge}, {loop, unix.ELOOP}, {big + "/x", unix.ENOTDIR}}
	w, records := new(Watcher), make([]*record, len(tests))
	files := make([]File, len(tests))
	for i, tt := range tests {
		records[i] = newRecord()
		files[i] = File{Path: tt.path, MaxBytes: 1 << 20, Poll: 50 * time.Millisecond, Changed: records[i].changed}
	}
	w.Set(files)
	start(t, w)
	for i, r := range records {
		r.wants(t, time.Second, "unreadable")
		if !errors.Is(r.lastErr(), tests[i].want) {
			t.Errorf("%s: error %v, want %v", tests[i].path, r.lastErr(), tests[i].want)
		}
	}
	must(t, os.Remove(fifo))
	replace(t, fifo, "a file now")
	records[0].wants(t, time.Second, "unreadable", "a file now")
	for i, r := range records[1:] {
		if words := r.words(); len(words) != 1 {
			t.Errorf("%s: told %q, want it once", tests[i+1].path, words)
		}
	}
}

// TestExactSizes: the limit itself is allowed, and files that say size 0 are read whole.
func TestExactSizes(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, firstBuffer - 1, firstBuffer, firstBuffer + 1, 3 * firstBuffer, 1 << 20} {
		path := filepath.Join(dir, fmt.Sprint(size))
		want := bytes.Repeat([]byte{'x'}, size)
		must(t, os.WriteFile(path, want, 0o644))
		var r reader
		got, _, err := r.read(path, path, int64(max(size, 1)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("size %d: read %d bytes, %v", size, len(got), err)
		}
		if _, _, err := r.read(path, path, int64(size-1)); size > 0 && !errors.Is(err, ErrTooLarge) {
			t.Errorf("size %d, one too many: %v", size, err)
		}
	}
	var r reader
	const proc = "/proc/self/mountinfo"
	want, err := os.ReadFile(proc)
	must(t, err)
	if got, _, err := r.read(proc, proc, 1<<20); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: read %d bytes of %d, %v", proc, len(got), len(want), err)
	}
}

func TestStateOfProc(t *testing.T) {
	t.Parallel()
	_, _, s := watching(t, "/proc/sys/kernel/ostype", "Linux\n")
	s.reaches(t, "/proc/sys/kernel/ostype", Degraded, time.Second)
}

// TestSetWithinChanged: a configuration file that replaces the set from its own report.
func TestSetWithinChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, "a")
	write(t, b, "b")
	w, ra, rb := new(Watcher), newRecord(), newRecord()
	w.Set([]File{{Path: a, Changed: func(data []byte, err error) error {
		w.Set([]File{{Path: a, Changed: ra.changed}, {Path: b, Changed: rb.changed}})
		return ra.changed(data, err)
	}}})
	start(t, w)
	rb.wants(t, time.Second, "b")
	replace(t, a, "a2")
	ra.wants(t, time.Second, "a", "a2")
}

// TestRunLeavesNothing: of a watcher with real events, stopped while it settles.
func TestRunLeavesNothing(t *testing.T) { // W27
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	for range 3 {
		w, r := new(Watcher), newRecord()
		w.Set([]File{{Path: path, Changed: r.changed}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		r.wants(t, time.Second, "one")
		appendTo(t, path, " more")
		cancel()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(time.Second):
			t.Fatal("Run did not end")
		}
		must(t, os.WriteFile(path, []byte("one"), 0o644))
	}
	var stacks bytes.Buffer
	must(t, pprof.Lookup("goroutine").WriteTo(&stacks, 1))
	for _, left := range []string{"fsnotify", "watcher.(*inotify)", "watcher.(*loop)"} {
		if bytes.Contains(stacks.Bytes(), []byte(left)) {
			t.Errorf("a goroutine of %s is left:\n%s", left, &stacks)
		}
	}
}

// TestErrorsNeverBlock provokes the error that fsnotify sends with its lock held, while the loop adds and removes.
func TestErrorsNeverBlock(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	n, err := openInotify()
	must(t, err)
	go func() {
		for range n.Events() {
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			dir := filepath.Join(top, fmt.Sprint(i))
			must(t, os.Mkdir(dir, 0o755), n.Add(dir), os.Rename(dir, dir+"x"), os.Remove(dir+"x"))
			_ = n.Add(top)
			_ = n.Remove(dir)
		}
		_ = n.Close()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("blocked")
	}
}

// TestManyFiles: what is checked after an event does not depend on how many files there are.
func TestManyFiles(t *testing.T) {
	const many = 10_000
	dir := t.TempDir()
	files, r, s := make([]File, many), newRecord(), new(states)
	for i := range files { // none of them exists: that needs the same watches, and no disk
		files[i] = File{Path: filepath.Join(dir, fmt.Sprint("f", i)), Poll: time.Hour, Known: true, Changed: r.changed}
	}
	one := filepath.Join(dir, "one")
	write(t, one, "1")
	w := &Watcher{Observe: s.observe}
	began := time.Now()
	w.Set(append(files, File{Path: one, Poll: time.Hour, Known: true, Changed: r.changed}))
	start(t, w)
	for s.count() < 2*many+2 { // the mode, and the check
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("%d files took %v", many, took)
	}
	before := s.count()
	replace(t, one, "2")
	r.wants(t, time.Second, "2")
	time.Sleep(10 * time.Millisecond)
	if n := s.count() - before; n > 3 {
		t.Errorf("%d checks for one event", n)
	}
	began = time.Now()
	w.Set(files[:1])
	for w.Recheck(); s.of(files[0].Path).LastCheck.Before(began); {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("taking %d files out took %v", many, took)
	}
}

// TestEventTellsAtOnce: whoever looks for himself is told of each event, also of what came and went before it settled, and of
// nothing as long as nothing happens.
func TestEventTellsAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	told := make(chan struct{}, 1000)
	armed := make(chan struct{}, 1000)
	w := Watcher{Observe: func(State) { armed <- struct{}{} }}
	w.Set([]File{{Path: path, Known: true, Poll: 200 * time.Millisecond, Event: func() { told <- struct{}{} }}})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = w.Run(ctx) }()
	<-armed
	for len(told) > 0 {
		<-told
	}
	select {
	case <-told:
		t.Error("told, though nothing happened")
	case <-time.After(500 * time.Millisecond): // two polls
	}
	began := time.Now()
	for _, step := range []func() error{
		func() error { return os.WriteFile(path, []byte("x"), 0o600) },
		func() error { return os.Chmod(path, 0o666) },
		func() error { return os.Remove(path) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
		case <-time.After(5 * time.Second):
			t.Fatal("not told")
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A symlink and its target share a directory watch, whichever was watched first; dropping one leaves the other.
func TestAFileAndALinkToIt(t *testing.T) { // FS4
	dir, other := t.TempDir(), t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(other, "link")
	write(t, file, "one")
	must(t, os.Symlink(file, link))
	ofFile, ofLink := newRecord(), newRecord()
	w := new(Watcher)
	both := []File{{Path: file, Changed: ofFile.changed}, {Path: link, Changed: ofLink.changed}}
	w.Set(both)
	start(t, w)
	ofFile.wants(t, time.Second, "one")
	ofLink.wants(t, time.Second, "one")
	replace(t, file, "two")
	ofFile.wants(t, 250*time.Millisecond, "one", "two")
	ofLink.wants(t, 250*time.Millisecond, "one", "two")
	w.Set(both[1:])
	time.Sleep(50 * time.Millisecond) // Run takes the set when it is roused
	replace(t, file, "three")
	ofLink.wants(t, 250*time.Millisecond, "one", "two", "three")
	w.Set(both[:1])
	ofFile.wants(t, time.Second, "one", "two", "three") // new to the set, it is told what is there
	replace(t, file, "four")
	ofFile.wants(t, 250*time.Millisecond, "one", "two", "three", "four")
	for kind, n := range w.Errors() {
		if n > 0 {
			t.Errorf("%d errors of kind %s", n, kind)
		}
	}
}

// Who holds a deleted file open hides its end from a watch on the file; ours is on the directory.
func TestDeletedWhileHeldOpen(t *testing.T) { // FS6
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	held, err := os.Open(path)
	must(t, err)
	defer func() { _ = held.Close() }()
	r := newRecord()
	w := new(Watcher)
	w.Set([]File{{Path: path, Changed: r.changed}})
	start(t, w)
	r.wants(t, time.Second, "one")
	must(t, os.Remove(path))
	r.wants(t, time.Second, "one", "missing")
	write(t, path, "two")
	r.wants(t, time.Second, "one", "missing", "two")
}
