// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"time"

	"golang.org/x/sys/unix"
)

// PlacedAt returns when a file was put where the path leads: the latest time of a symlink on the way and of the file. It is
// later after a rename over, after writing in place, also of the same bytes, and after a volume was switched, but not after
// a restart of the process. An error wraps fs.ErrNotExist or is what the kernel says.
//
// Of a file that no symlink leads to it is the time of the inode, which a rename moves on; a chmod does too. Where there are
// symlinks that time counts for nothing, since the kubelet may set owners of a volume again at any moment.
func PlacedAt(path string) (time.Time, error) {
	hops, _, err := resolve(absolute(path), nil)
	if err != nil {
		return time.Time{}, err
	}
	var latest time.Time
	for _, h := range hops {
		var st unix.Stat_t
		if err := ignoringEINTR(func() error { return unix.Lstat(join(h.dir, h.name), &st) }); err != nil {
			return time.Time{}, err
		}
		at := st.Mtim
		if len(hops) == 1 {
			at = st.Ctim
		}
		if t := time.Unix(at.Unix()); t.After(latest) {
			latest = t
		}
	}
	return latest, nil
}
