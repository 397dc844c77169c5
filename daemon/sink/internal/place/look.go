// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package place

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Look is how a published file must look: its permission bits and its owner.
type Look struct {
	Mode         fs.FileMode
	Owner, Group int // -1: whatever the file gets when it is made
}

// NewLook returns the Look of a sink's fields. A mode of zero means 0600; bits that are not permissions are dropped.
func NewLook(mode fs.FileMode, owner, group int) Look {
	if mode == 0 {
		mode = 0o600
	}
	return Look{mode.Perm(), owner, group}
}

// ForDir returns the Look of a directory for such files: whoever may read them may search it, only the owner may write.
func (l Look) ForDir() Look {
	read := l.Mode & 0o444
	l.Mode = 0o700 | read | read>>2
	return l
}

// Fault returns a Refusal that says what is wrong with the mode or the owner of a file, which the sentence calls what, or
// nil.
func (l Look) Fault(what string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode != l.Mode {
		return changed("%s has mode %04o instead of %04o", what, mode, l.Mode)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && l.Owner >= 0 && stat.Uid != uint32(l.Owner):
		return changed("%s belongs to user %d instead of %d", what, stat.Uid, l.Owner)
	case ok && l.Group >= 0 && stat.Gid != uint32(l.Group):
		return changed("%s belongs to group %d instead of %d", what, stat.Gid, l.Group)
	}
	return nil
}

func changed(format string, args ...any) error {
	return &Refusal{Text: fmt.Sprintf(format, args...), Hint: "find out what else changes it; renewd puts it right"}
}

// Give sets mode and owner of an open file. The mode comes first: a file that was given away can no longer be changed.
func (l Look) Give(f *os.File) error {
	if err := f.Chmod(l.Mode); err != nil {
		return err
	}
	if l.Owner < 0 && l.Group < 0 {
		return nil
	}
	return f.Chown(l.Owner, l.Group)
}
