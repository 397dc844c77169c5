// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package watcher

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// mountTTL is how long a list of mounts is taken for current: reading it for each of 10,000 files would be too much.
const mountTTL = time.Second

// mounts knows which paths are mount points.
type mounts struct {
	points map[string]struct{}
	read   time.Time
}

// has reports whether path, free of symlinks, is a mount point, and whether the answer is from now. Without /proc nothing is.
func (m *mounts) has(path string, now time.Time) (found, fresh bool) {
	if fresh = m.read.IsZero() || now.Sub(m.read) >= mountTTL; fresh {
		info, _ := os.ReadFile("/proc/self/mountinfo")
		m.points, m.read = mountPoints(info), now
	}
	_, found = m.points[path]
	return found, fresh
}

// IsMountPoint reports whether the file that path leads to is itself a mount point, as with a subPath of Kubernetes: a Watcher
// would say StaticMount of it. Of a file that is not there, and where the system does not tell, it reports false.
func IsMountPoint(path string) bool {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return false
	}
	found, _ := new(mounts).has(path, time.Now())
	return found
}

// mountPoints returns the fifth field of each line of a mountinfo file (proc_pid_mountinfo(5)), where a blank, tab,
// newline or backslash is written as a backslash and three octal digits.
func mountPoints(info []byte) map[string]struct{} {
	points := make(map[string]struct{})
	for line := range bytes.Lines(info) {
		fields := bytes.SplitN(line, []byte{' '}, 6)
		if len(fields) < 6 {
			continue
		}
		raw, path := fields[4], make([]byte, 0, len(fields[4]))
		for len(raw) > 0 {
			if raw[0] == '\\' && len(raw) >= 4 {
				if c, err := strconv.ParseUint(string(raw[1:4]), 8, 8); err == nil {
					path, raw = append(path, byte(c)), raw[4:]
					continue
				}
			}
			path, raw = append(path, raw[0]), raw[1:]
		}
		points[string(path)] = struct{}{}
	}
	return points
}

// Magic numbers of file systems that x/sys does not name; from the kernel's headers of each.
const (
	magicCeph   = 0x00c36400
	magicLustre = 0x0bd00bd0
	magicGPFS   = 0x47504653
)

// eventless returns an error that names the file system of dir if changes made elsewhere, by another host or by the
// kernel itself, give no events there.
func eventless(dir string) error {
	if name := eventlessName(dir); name != "" {
		return fmt.Errorf("watch %q: %s gives no events", dir, name)
	}
	return nil
}

// eventlessName returns the name for eventless, or "".
func eventlessName(dir string) string {
	var st unix.Statfs_t
	if err := ignoringEINTR(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return "" // adding the watch will say what is wrong
	}
	switch uint32(st.Type) { // the type of the field differs by architecture; SMB's numbers have the highest bit set
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "smb"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.PROC_SUPER_MAGIC:
		return "proc"
	case unix.SYSFS_MAGIC:
		return "sysfs"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.CODA_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC:
		return "a network file system"
	case magicCeph:
		return "ceph"
	case magicLustre:
		return "lustre"
	case magicGPFS:
		return "gpfs"
	}
	return ""
}
