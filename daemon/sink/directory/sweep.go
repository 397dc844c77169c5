// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package directory

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/renewd/renewd/daemon/sink/internal/place"
)

// sweep removes leftovers of killed processes and all generations but the one in force and the one before it. The error
// is for Remove alone: for anybody else a leftover is no reason to refuse a token.
func sweep(d *place.Dir) error {
	d.Sweep(func(prefix string) bool { return prefix == tempPrefix })
	names, err := d.Names()
	if err != nil {
		return err
	}
	kept, known := needed(d)
	for _, name := range names {
		if known && isGeneration(name) && !slices.Contains(kept, name) {
			err = errors.Join(err, discard(d, name))
		}
	}
	return err
}

// discard removes a generation unless another process is building it or has just switched to it.
func discard(d *place.Dir, name string) error {
	sub, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sub.Close()
	lock, err := sub.File()
	if err != nil {
		return err
	}
	defer lock.Close()
	if locked(lock) {
		return nil
	}
	// Looked at again: until it was locked, the other process could still switch to it.
	if kept, known := needed(d); !known || slices.Contains(kept, name) {
		return nil
	}
	return d.Root().RemoveAll(name)
}

// needed returns the generation in force and the one before it. Unless they are known for certain nothing may be removed.
func needed(d *place.Dir) (names []string, known bool) {
	current, err := dataTarget(d)
	if err != nil {
		return nil, errors.Is(err, fs.ErrNotExist)
	}
	sub, err := d.Open(current)
	if err != nil {
		return nil, false
	}
	defer sub.Close()
	data, _, err := sub.Read(recordName)
	doc := parse(data)
	return []string{current, doc.Replaced}, err == nil && doc.Version == version
}

// nameLayout and 16 hexadecimal digits are the name of a generation.
const nameLayout = "..2006_01_02_15_04_05."

// isGeneration reports whether name has exactly the form of ours.
func isGeneration(name string) bool {
	if len(name) <= len(nameLayout) || !place.IsRandom(name[len(nameLayout):]) {
		return false
	}
	_, err := time.Parse(nameLayout, name[:len(nameLayout)])
	return err == nil
}
