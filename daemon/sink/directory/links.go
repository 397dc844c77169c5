// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package directory

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/renewd/renewd/daemon/sink/internal/place"
)

const foreignHint = "publish to a directory of its own, or remove what is there"

// openOrMake opens the directory, or makes it in a parent that must exist. The first time it clears up after a killed
// process.
func (s *Sink) openOrMake() (*place.Dir, error) {
	d, err := place.Open(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.makeDir(); err != nil {
			return nil, err
		}
		d, err = place.Open(s.Path)
	}
	if err != nil {
		return nil, err
	}
	if !s.swept.Swap(true) {
		_ = sweep(d)
	}
	return d, nil
}

// makeDir makes the directory. On any error it is gone again.
func (s *Sink) makeDir() error {
	parent, err := place.Open(filepath.Dir(s.Path))
	if err != nil {
		return err
	}
	defer parent.Close()
	base := filepath.Base(s.Path)
	if err := parent.Root().Mkdir(base, 0o700); err != nil {
		return err
	}
	f, err := parent.Root().Open(base)
	if err == nil {
		err = s.dirLook().Give(f)
		_ = f.Close()
	}
	if err != nil {
		_ = parent.Root().Remove(base)
		return err
	}
	return parent.Sync()
}

// dataTarget returns the name of the generation in force. The error is fs.ErrNotExist if there is none, and a Refusal if
// another program keeps its own there.
func dataTarget(d *place.Dir) (string, error) {
	info, err := d.Root().Lstat(dataLink)
	if err != nil {
		return "", err
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = d.Root().Readlink(dataLink); err != nil {
			return "", err
		}
	}
	if !isGeneration(target) {
		return "", &place.Refusal{Text: "its ..data is not renewd's", Hint: foreignHint}
	}
	return target, nil
}

// foreign returns a Refusal if something that is not ours stands where ..data or a visible link must be.
func (s *Sink) foreign(d *place.Dir) error {
	if _, err := dataTarget(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range s.names() {
		_, err := d.Root().Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !ours(d, name) {
			return &place.Refusal{Text: "its " + strconv.Quote(name) + " is not renewd's", Hint: foreignHint}
		}
	}
	return nil
}

// ours reports whether name is a symlink into ..data.
func ours(d *place.Dir, name string) bool {
	target, err := d.Root().Readlink(name)
	return err == nil && strings.HasPrefix(target, dataLink+"/")
}

// link makes the visible links that are missing or lead to another file, and reports whether there were any.
func (s *Sink) link(d *place.Dir) (changed bool, err error) {
	for _, name := range s.names() {
		target := dataLink + "/" + name
		if found, err := d.Root().Readlink(name); err == nil && found == target {
			continue
		}
		if err := d.Link(name, tempPrefix, target); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

// unlink removes the visible links of ours except those to keep, and reports whether there were any.
func unlink(d *place.Dir, keep []string) (changed bool, err error) {
	names, err := d.Names()
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if slices.Contains(keep, name) || !ours(d, name) {
			continue
		}
		if err := d.Root().Remove(name); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

// unlinked returns a Refusal if a visible link is missing or is not what was made.
func (s *Sink) unlinked(d *place.Dir) error {
	for _, name := range s.names() {
		target, err := d.Root().Readlink(name)
		label := "the link " + strconv.Quote(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &place.Refusal{Text: label + " is missing", Hint: "let nothing but renewd delete there", Err: fs.ErrNotExist}
		case err != nil || target != dataLink+"/"+name:
			return place.Altered(label)
		}
	}
	return nil
}

func (s *Sink) look() place.Look    { return place.NewLook(s.Mode, s.Owner, s.Group) }
func (s *Sink) dirLook() place.Look { return s.look().ForDir() }
