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
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestVolumeSwap(t *testing.T) {
	t.Parallel()
	v := &volume{dir: t.TempDir()}
	v.swap(t, "key", "one")
	w, r, s := watching(t, filepath.Join(v.dir, "key"), "one")

	v.swap(t, "key", "two")
	r.wants(t, soon, "one", "two")
	v.swap(t, "key", "three")
	r.wants(t, soon, "one", "two", "three")

	checks := s.count()
	v.swap(t, "key", "three")
	for end := time.Now().Add(soon); s.count() == checks && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	v.swap(t, "key", "")
	r.wants(t, soon, "one", "two", "three", "missing")
	v.swap(t, "key", "four")
	r.wants(t, soon, "one", "two", "three", "missing", "four")
	for kind, n := range w.Errors() {
		if n != 0 {
			t.Errorf("%d errors of kind %s in ordinary swaps", n, kind)
		}
	}
}

// TestSwapStorm swaps while the watcher reads: nothing is ever missing, and the last content arrives.
func TestSwapStorm(t *testing.T) {
	t.Parallel()
	v := &volume{dir: t.TempDir()}
	v.swap(t, "key", "0")
	_, r, _ := watching(t, filepath.Join(v.dir, "key"), "0")
	for i := range 300 {
		v.swap(t, "key", fmt.Sprint(i+1))
	}
	for end := time.Now().Add(soon); ; time.Sleep(time.Millisecond) {
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

func TestRenameOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	_, r, _ := watching(t, path, "one")
	replace(t, path, "two")
	r.wants(t, soon, "one", "two")
	other := filepath.Join(t.TempDir(), "elsewhere")
	write(t, other, "three")
	must(t, os.Rename(other, path))
	r.wants(t, soon, "one", "two", "three")
}

func TestEditors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "one")
	_, r, s := watching(t, path, "one")

	// vim: backup by rename, then a new file.
	must(t, os.Rename(path, path+"~"))
	write(t, path, "vim")
	must(t, os.Chmod(path, 0o600), os.Remove(path+"~"))
	r.ends(t, "vim")

	// emacs: a lock beside the file, a backup, an edit in place.
	lock := filepath.Join(dir, ".#file")
	for round := 0; ; round++ { // a late check of what was before is none for files beside it
		checks := s.count()
		must(t, os.Symlink("user@host.1:2", lock))
		write(t, path+"~", "vim")
		time.Sleep(20 * time.Millisecond)
		if s.count() == checks {
			break
		} else if round == 100 {
			t.Fatal("files beside it are checked")
		}
		must(t, os.Remove(lock), os.Remove(path+"~"))
	}
	write(t, path, "emacs")
	must(t, os.Remove(lock))
	r.ends(t, "emacs")
}

// ends fails unless the last word is said soon. On the way to it the file may be missing: how long that may last without
// being said is a matter of the bubbles.
func (r *record) ends(t *testing.T, word string) {
	t.Helper()
	deadline := time.After(soon)
	for {
		words := r.words()
		if last := len(words) - 1; words[last] == word && !slices.Contains(words[:last], word) {
			return
		}
		select {
		case <-r.came:
		case <-deadline:
			t.Fatalf("it was told %q, want %q at last", words, word)
		}
	}
}

// processorTime is what the process has used: unlike the time of day it says what something costs on a busy machine, too.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestWritersInPlace is the real form of the bubble's table: no part is ever reported, if the writer pauses for less than it
// takes to settle.
func TestWritersInPlace(t *testing.T) {
	tests := []struct {
		name  string
		pause time.Duration // from the first step to the last, at most
		write func(t *testing.T, path string)
	}{
		{"rm and create", quiet + confirm, func(t *testing.T, path string) {
			must(t, os.Remove(path))
			write(t, path, "whole")
			time.Sleep(150 * time.Millisecond)
			appendTo(t, path, " text")
		}},
		{"truncate", quiet + confirmShrunk, func(t *testing.T, path string) {
			must(t, os.Truncate(path, 0))
			time.Sleep(300 * time.Millisecond)
			appendTo(t, path, "whole text")
		}},
		{"truncate to a part", quiet + confirmShrunk, func(t *testing.T, path string) {
			must(t, os.Truncate(path, 3))
			time.Sleep(300 * time.Millisecond)
			write(t, path, "whole text")
		}},
		{"a valid part", quiet + confirm, func(t *testing.T, path string) {
			write(t, path, "whole")
			time.Sleep(150 * time.Millisecond)
			appendTo(t, path, " text")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTime(t, tt.pause, func(path string) { write(t, path, "before") }, func(path string) { tt.write(t, path) })
		})
	}
}

// inTime has change write to the file at path, which held "before", and wants nothing but "whole text" to be reported. It tries
// anew where the machine held up the writer for pause: what stood still for so long is no part, as far as anybody can see.
func inTime(t *testing.T, pause time.Duration, place, change func(path string)) {
	t.Helper()
	for range 100 {
		path := filepath.Join(t.TempDir(), "file")
		place(path)
		_, r, _ := watching(t, path, "before")
		began := time.Now()
		if change(path); time.Since(began) < pause {
			r.wants(t, soon, "before", "whole text")
			return
		}
	}
	t.Errorf("a writer never took less than %v", pause)
}

// atOnce has change put "whole text" at path, which held "before", and wants it reported without the time to settle: in one of
// many rounds, for the machine may be busy.
func atOnce(t *testing.T, place, change func(path string)) {
	t.Helper()
	for range 30 {
		path := filepath.Join(t.TempDir(), "file")
		place(path)
		_, r, _ := watching(t, path, "before")
		began := time.Since(r.start)
		change(path)
		r.wants(t, soon, "before", "whole text")
		if r.times()[1]-began < quiet+confirm {
			return
		}
	}
	t.Errorf("it always took %v or more", quiet+confirm)
}

// TestASymlinkBecomesAFile: a file made where a symlink was is no replacement, unless it was renamed there.
func TestASymlinkBecomesAFile(t *testing.T) {
	place := func(path string) {
		other := filepath.Join(filepath.Dir(path), "other")
		write(t, other, "before")
		must(t, os.Symlink("other", path))
	}
	inPlace := func(away time.Duration) func(*testing.T) {
		return func(t *testing.T) {
			t.Parallel()
			inTime(t, quiet+confirm, place, func(path string) {
				must(t, os.Remove(path))
				time.Sleep(away)
				write(t, path, "whole")
				time.Sleep(150 * time.Millisecond)
				appendTo(t, path, " text")
			})
		}
	}
	t.Run("written in place", inPlace(0))
	t.Run("written in place, seen to be away", inPlace(50*time.Millisecond))
	t.Run("renamed over", func(t *testing.T) {
		t.Parallel()
		atOnce(t, place, func(path string) {
			write(t, path+".tmp", "whole text")
			must(t, os.Rename(path+".tmp", path))
		})
	})
	t.Run("another symlink", func(t *testing.T) {
		t.Parallel()
		atOnce(t, place, func(path string) {
			must(t, os.Symlink("elsewhere", path+".tmp"))
			write(t, filepath.Join(filepath.Dir(path), "elsewhere"), "whole text")
			must(t, os.Rename(path+".tmp", path))
		})
	})
}

// TestDirectoryReplaced: each way of losing the watched directory ends with events working again.
func TestDirectoryReplaced(t *testing.T) {
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
			r.ends(t, "two")
			s.reaches(t, path, Inotify, soon)
			replace(t, path, "three")
			r.ends(t, "three")
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
	r.wants(t, soon, "missing", "there")

	link := filepath.Join(top, "link")
	_, r, _ = watching(t, link, "missing")
	must(t, os.Symlink("x/y", link), os.Mkdir(filepath.Join(top, "x"), 0o755))
	write(t, filepath.Join(top, "x", "y"), "behind")
	r.wants(t, soon, "missing", "behind")
}

func TestPollWithoutEvents(t *testing.T) { // a hard link elsewhere gives no event
	t.Parallel()
	path, elsewhere := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "link")
	write(t, path, "one")
	must(t, os.Link(path, elsewhere))
	_, r, _ := polling(t, path, "one", 200*time.Millisecond)
	appendTo(t, elsewhere, " more")
	r.wants(t, soon, "one", "one more")
}

func TestUnreadable(t *testing.T) {
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
		r.wants(t, soon, "unreadable")
		if !errors.Is(r.lastErr(), tests[i].want) {
			t.Errorf("%s: error %v, want %v", tests[i].path, r.lastErr(), tests[i].want)
		}
	}
	must(t, os.Remove(fifo))
	replace(t, fifo, "a file now")
	records[0].wants(t, soon, "unreadable", "a file now")
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

// TestTornReads: a file that is replaced or written while it is read gives an error. Of one that is written in place within a
// tick of the kernel's clock, the times say nothing: there the second read of settling helps.
func TestTornReads(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		put  func(path string, data []byte) error
	}{
		{"replaced", func(path string, data []byte) error {
			return errors.Join(os.WriteFile(path+".tmp", data, 0o644), os.Rename(path+".tmp", path))
		}},
		{"written in place", func(path string, data []byte) error { return os.WriteFile(path, data, 0o644) }},
	}
	const size = 4 << 20 // long enough to be met at
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "file")
			must(t, tt.put(path, bytes.Repeat([]byte{'0'}, size)))
			ctx, cancel := context.WithCancel(t.Context())
			var group sync.WaitGroup
			defer group.Wait()
			defer cancel()
			group.Go(func() {
				for i := 1; ctx.Err() == nil; i++ {
					if err := tt.put(path, bytes.Repeat([]byte{byte('0' + i%10)}, size)); err != nil {
						t.Error(err)
					}
				}
			})
			var r reader
			torn := 0
			for end := time.Now().Add(10 * time.Second); torn < 5; {
				data, _, err := r.read(path, path, size)
				switch {
				case errors.Is(err, errTorn):
					torn++
				case err != nil:
					t.Fatal(err)
				case tt.name == "replaced" && bytes.Count(data, data[:1]) != size:
					t.Fatal("a mixture was taken for a content")
				}
				if time.Now().After(end) {
					t.Fatalf("%d torn reads", torn)
				}
			}
		})
	}
}

func TestStateOfProc(t *testing.T) {
	t.Parallel()
	_, _, s := watching(t, "/proc/sys/kernel/ostype", "Linux\n")
	s.reaches(t, "/proc/sys/kernel/ostype", Degraded, soon)
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
	rb.wants(t, soon, "b")
	replace(t, a, "a2")
	ra.wants(t, soon, "a", "a2")
}

// TestRunLeavesNothing: of a watcher with real events, stopped while it settles.
func TestRunLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	for range 3 {
		w, r := new(Watcher), newRecord()
		w.Set([]File{{Path: path, Changed: r.changed}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		r.wants(t, soon, "one")
		appendTo(t, path, " more")
		cancel()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(soon):
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
	case <-time.After(soon):
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
	began := processorTime(t)
	w.Set(append(files, File{Path: one, Poll: time.Hour, Known: true, Changed: r.changed}))
	start(t, w)
	for s.count() < 2*many+2 { // the mode, and the check
		time.Sleep(time.Millisecond)
	}
	if took := processorTime(t) - began; took > 4*time.Second {
		t.Errorf("%d files took %v", many, took)
	}
	before := s.count()
	replace(t, one, "2")
	r.wants(t, soon, "2")
	time.Sleep(10 * time.Millisecond)
	if n := s.count() - before; n > 3 {
		t.Errorf("%d checks for one event", n)
	}
	began, at := processorTime(t), time.Now()
	w.Set(files[:1])
	for w.Recheck(); s.of(files[0].Path).LastCheck.Before(at); {
		time.Sleep(time.Millisecond)
	}
	if took := processorTime(t) - began; took > 2*time.Second {
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
		case <-time.After(soon):
			t.Fatal("not told")
		}
	}
}

// A symlink and its target share a directory watch, whichever was watched first; dropping one leaves the other.
func TestAFileAndALinkToIt(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(other, "link")
	write(t, file, "one")
	must(t, os.Symlink(file, link))
	ofFile, ofLink := newRecord(), newRecord()
	w := new(Watcher)
	both := []File{{Path: file, Changed: ofFile.changed}, {Path: link, Changed: ofLink.changed}}
	w.Set(both)
	start(t, w)
	ofFile.wants(t, soon, "one")
	ofLink.wants(t, soon, "one")
	replace(t, file, "two")
	ofFile.wants(t, soon, "one", "two")
	ofLink.wants(t, soon, "one", "two")
	w.Set(both[1:])
	time.Sleep(50 * time.Millisecond) // Run takes the set when it is roused
	replace(t, file, "three")
	ofLink.wants(t, soon, "one", "two", "three")
	w.Set(both[:1])
	ofFile.wants(t, soon, "one", "two", "three") // new to the set, it is told what is there
	replace(t, file, "four")
	ofFile.wants(t, soon, "one", "two", "three", "four")
	for kind, n := range w.Errors() {
		if n > 0 {
			t.Errorf("%d errors of kind %s", n, kind)
		}
	}
}

// Who holds a deleted file open hides its end from a watch on the file; ours is on the directory.
func TestDeletedWhileHeldOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	held, err := os.Open(path)
	must(t, err)
	defer func() { _ = held.Close() }()
	r := newRecord()
	w := new(Watcher)
	w.Set([]File{{Path: path, Changed: r.changed}})
	start(t, w)
	r.wants(t, soon, "one")
	must(t, os.Remove(path))
	r.wants(t, soon, "one", "missing")
	write(t, path, "two")
	r.wants(t, soon, "one", "missing", "two")
}
