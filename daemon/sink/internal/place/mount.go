// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package place

import (
	"os"
	"path/filepath"
	"strings"
)

// mountHint is the remedy for a file that is itself a mount point.
const mountHint = "mount its directory instead of the single file: no subPath, no bind mount of the file"

// CheckMount returns a Refusal if path is a mount point: a rename onto it would fail. Where the system does not tell, it
// returns nil.
func CheckMount(path string) error {
	if isMountPoint(path) {
		return &Refusal{Text: "it is a mount point, which cannot be replaced", Hint: mountHint}
	}
	return nil
}

func isMountPoint(path string) bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	return err == nil && mounted(string(table), filepath.Join(dir, filepath.Base(path)))
}

// mounted reports whether one of the mounts in table, which has the form that proc_pid_mountinfo(5) describes, is at path.
func mounted(table, path string) bool {
	// The kernel writes these four bytes, and no others, in octal.
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 4 && plain.Replace(fields[4]) == path {
			return true
		}
	}
	return false
}
