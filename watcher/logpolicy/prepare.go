// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/renewd/renewd/daemon/config/strict"
)

var (
	errSame   = errors.New("another handler writes to the same file")
	errBeside = errors.New("another handler's lock or backups have the name of this file")
)

// prepare makes the outputs of a generation, and opens what they need. Mistakes go to doc, and the handlers that have one
// write to stderr. undo takes back what was made.
func (s *Switch) prepare(g *generation, doc *strict.Document) (undo func()) {
	g.outputs = map[string]*output{}
	var made []string
	for _, name := range slices.Sorted(maps.Keys(g.policy.Handlers)) {
		h := g.policy.Handlers[name]
		to := s.stderr
		if h.Stream == "stdout" {
			to = s.stdout
		}
		if h.Type == "file" {
			k, err := s.openFile(g, name, h, &made)
			if to = k; err != nil {
				refuse(doc, name, err)
				to = s.stderr
			}
		}
		g.outputs[name] = newOutput(name, g.policy, to)
	}
	return func() {
		s.retire(g, s.current.Load())
		for _, path := range slices.Backward(made) {
			_ = os.Remove(path) // a directory that is not empty stays
		}
	}
}

// openFile returns the sink of a file handler with its file open. made gets what it creates.
func (s *Switch) openFile(g *generation, name string, h handler, made *[]string) (*sink, error) {
	for dir := h.Path; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		*made = slices.Insert(*made, 0, dir)
	}
	dir, err := makeDir(h.Path, h.DirMode)
	if err != nil {
		return nil, err
	}
	path, err := realPath(dir, h.Name)
	if err != nil {
		return nil, err
	}
	for _, o := range g.outputs {
		if err := clash(o.sink.key, path); err != nil {
			return nil, err
		}
	}
	k := s.file(path)
	f := k.writer.(*file)
	if slices.Contains(s.inUse(s.current.Load()), k) {
		return k, nil // the settings change at the commit
	}
	for _, name := range []string{lockOf(path), path} {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			*made = append(*made, name)
		}
	}
	k.hold() // it may have left an earlier policy, and be about to close
	f.configure(settingsOf(name, h))
	err = f.prepare()
	if err == nil && f.sameAsAny(g.outputs) {
		err = errSame
	}
	if err != nil {
		k.stop(false)
	}
	return k, err
}

// sameAsAny reports whether the file is one that an output writes already, under another name.
func (f *file) sameAsAny(outputs map[string]*output) bool {
	for _, o := range outputs {
		if other, ok := o.sink.writer.(*file); ok && other.sameAs(f.opened()) {
			return true
		}
	}
	return false
}

func (f *file) opened() fs.FileInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.info
}

func (f *file) sameAs(info fs.FileInfo) bool { return os.SameFile(f.opened(), info) }

func settingsOf(name string, h handler) *fileSettings {
	return &fileSettings{handler: name, mode: h.Mode, dirMode: h.DirMode, rotate: *h.Rotate}
}

// file returns the one sink of a path.
func (s *Switch) file(path string) *sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[path] == nil {
		f := newFile(path, s.counts)
		k := s.newSink(path, f, s.stderr)
		f.complain = k.complain
		s.files[path] = k
	}
	return s.files[path]
}

// clash says why two handlers cannot have these files. "stderr" and "stdout" go with any, since a file has a whole path.
func clash(a, b string) error {
	switch {
	case a == b:
		return errSame
	case hasBeside(a, b) || hasBeside(b, a):
		return errBeside
	}
	return nil
}

// probeAll reports to doc what prepare would, but for LP104: whoever checks a policy is not the process that will write.
func probeAll(p *policy, doc *strict.Document) {
	var files []string
	for _, name := range slices.Sorted(maps.Keys(p.Handlers)) {
		h := p.Handlers[name]
		if h.Type != "file" {
			continue
		}
		file, err := probe(h.Path, h.Name)
		for _, other := range files {
			if err == nil && sameFile(other, file) {
				err = errSame
			}
			if err == nil {
				err = clash(other, file)
			}
		}
		if err != nil {
			refuse(doc, name, err)
		}
		files = append(files, file)
	}
}

// refuse reports why a handler cannot be had.
func refuse(doc *strict.Document, handler string, err error) {
	code := "LP101"
	for sentinel, c := range map[error]string{errNotRegular: "LP102", errSame: "LP103", errBeside: "LP103", errTaken: "LP104"} {
		if errors.Is(err, sentinel) {
			code = c
		}
	}
	doc.Report("handlers."+handler+".path", strict.Mistake{Rule: strict.Rule(code), Problem: fmt.Sprintf("handler %q: %v", handler, err)})
}

// commit puts a generation in force: its sinks run, one pointer changes, and what left the policy goes.
func (s *Switch) commit(g, old *generation) {
	s.changing.Lock()
	defer s.changing.Unlock()
	for name, o := range g.outputs {
		if f, ok := o.sink.writer.(*file); ok {
			f.configure(settingsOf(name, g.policy.Handlers[name]))
		}
	}
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	for _, k := range s.inUse(g) {
		if running {
			k.start()
		}
	}
	s.current.Store(s.evaluate(g))
	s.retire(old, g)
}

// retire stops the sinks of one generation that another does not use. They write what is queued and close; the lines of a
// caller that is still inside open them once more.
func (s *Switch) retire(old, g *generation) {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	used := s.inUse(g)
	for _, k := range s.inUse(old) {
		if !slices.Contains(used, k) {
			k.stop(running)
		}
	}
}
