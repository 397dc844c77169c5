// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// PlacedAt returns when a file was put where the path leads: the latest time of a symlink on the way and of the file. It is
// later after a rename over, after writing in place, also of the same bytes, and after a volume was switched, but not after
// a restart of the process. inVolume says that the kubelet put it there, as a ConfigMap or the like. An error wraps
// fs.ErrNotExist or is what the kernel says.
//
// It is the time of the inode, which a rename moves on; a chmod does too. In a volume that time counts for nothing, since the
// kubelet may set owners again at any moment, and there all is switched at once, also when another file changed.
func PlacedAt(path string) (at time.Time, inVolume bool, err error) {
	hops, _, err := resolve(absolute(path), nil)
	if err != nil {
		return time.Time{}, false, err
	}
	inVolume = slices.ContainsFunc(hops, func(h hop) bool { return h.name == "..data" })
	for _, h := range hops {
		var st unix.Stat_t
		if err := ignoringEINTR(func() error { return unix.Lstat(join(h.dir, h.name), &st) }); err != nil {
			return time.Time{}, inVolume, err
		}
		changed := st.Ctim
		if inVolume {
			changed = st.Mtim
		}
		if t := time.Unix(changed.Unix()); t.After(at) {
			at = t
		}
	}
	return at, inVolume, nil
}
