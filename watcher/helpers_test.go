// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// soon is longer than the busiest machine takes, and shorter than the poll of a file that is told by events.
const soon = 30 * time.Second

// record collects what a File was told, in words: the content, or "missing", or "unreadable".
type record struct {
	mu    sync.Mutex
	start time.Time
	said  []string
	errs  []error
	at    []time.Duration
	came  chan struct{}
	fail  bool // Changed returns an error
}

func newRecord() *record { return &record{start: time.Now(), came: make(chan struct{}, 1024)} }

func (r *record) changed(data []byte, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	word := string(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		word = "missing"
	case err != nil:
		word = "unreadable"
	}
	r.said, r.errs, r.at = append(r.said, word), append(r.errs, err), append(r.at, time.Since(r.start))
	r.came <- struct{}{}
	if r.fail {
		return errors.New("refused")
	}
	return nil
}

func (r *record) words() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.said)
}

func (r *record) times() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.at)
}

func (r *record) lastErr() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) == 0 {
		return nil
	}
	return r.errs[len(r.errs)-1]
}

// wants fails unless the last word is said within the limit, and what was said by then is exactly words.
func (r *record) wants(t *testing.T, limit time.Duration, words ...string) {
	t.Helper()
	deadline := time.After(limit)
	for len(r.words()) < len(words) {
		select {
		case <-r.came:
		case <-deadline:
			t.Fatalf("after %v it was told %q, want %q", limit, r.words(), words)
		}
	}
	if got := r.words(); !slices.Equal(got, words) {
		t.Fatalf("it was told %q, want %q", got, words)
	}
}

// states keeps the latest State of each path.
type states struct {
	mu    sync.Mutex
	last  map[string]State
	calls int
	then  func() // called once, within the next call
}

func (s *states) observe(st State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = make(map[string]State)
	}
	s.last[st.Path] = st
	s.calls++
	if f := s.then; f != nil {
		s.then = nil
		f()
	}
}

func (s *states) of(path string) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[path]
}

func (s *states) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// reaches fails unless path is in mode within the limit.
func (s *states) reaches(t *testing.T, path string, mode Mode, limit time.Duration) State {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		st := s.of(path)
		if st.Mode == mode && !st.LastCheck.IsZero() {
			return st
		}
		if time.Now().After(end) {
			t.Fatalf("%s is %q (%v), want %q", path, st.Mode, st.Cause, mode)
		}
	}
}

// start runs w against the kernel until the test ends, and fails if it does not end then.
func start(t *testing.T, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(soon):
			t.Error("Run did not end")
		}
	})
}

// watching starts a watcher of one file and waits for its first report.
func watching(t *testing.T, path, first string) (*Watcher, *record, *states) {
	t.Helper()
	return polling(t, path, first, time.Minute)
}

func polling(t *testing.T, path, first string, poll time.Duration) (*Watcher, *record, *states) {
	t.Helper()
	r, s := newRecord(), new(states)
	w := &Watcher{Observe: s.observe}
	w.Set([]File{{Path: path, Poll: poll, Changed: r.changed}})
	start(t, w)
	r.wants(t, soon, first)
	return w, r, s
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// replace renames a new file over path and returns when.
func replace(t testing.TB, path, text string) time.Time {
	t.Helper()
	tmp := path + ".tmp"
	err := os.WriteFile(tmp, []byte(text), 0o644)
	at := time.Now()
	if err := errors.Join(err, os.Rename(tmp, path)); err != nil {
		t.Fatal(err)
	}
	return at
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err, f.Close())
}

// volume is a directory laid out as the kubelet does.
type volume struct {
	dir string
	n   int
}

// swap switches to a new generation of file and returns when; without text the file is not in it.
func (v *volume) swap(t testing.TB, file, text string) time.Time {
	t.Helper()
	v.n++
	old, _ := os.Readlink(filepath.Join(v.dir, "..data"))
	gen := fmt.Sprintf("..v%d", v.n)
	errs := []error{os.Mkdir(filepath.Join(v.dir, gen), 0o755)}
	if text != "" {
		errs = append(errs, os.WriteFile(filepath.Join(v.dir, gen, file), []byte(text), 0o644))
	}
	tmp := filepath.Join(v.dir, "..data_tmp")
	errs = append(errs, os.Symlink(gen, tmp))
	at := time.Now()
	errs = append(errs, os.Rename(tmp, filepath.Join(v.dir, "..data")))
	link := filepath.Join(v.dir, file)
	if text == "" {
		errs = append(errs, os.Remove(link))
	} else if _, err := os.Lstat(link); err != nil {
		errs = append(errs, os.Symlink("..data/"+file, link))
	}
	if old != "" {
		errs = append(errs, os.RemoveAll(filepath.Join(v.dir, old)))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return at
}
