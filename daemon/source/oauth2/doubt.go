// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Doubts says what is probably not meant: a refresh token that is kept where it does not outlive the pod or the machine.
// It looks at the mounts of this process.
func (s *Source) Doubts([]string) []string {
	if s.config.StateFile == "" {
		return nil
	}
	path, err := filepath.Abs(s.config.StateFile)
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil // not Linux, or hidden: nothing is known
	}
	if kind := fleeting(string(mounts), path); kind != "" {
		return []string{fmt.Sprintf("stateFile %q lies in %s: when that ends, the refresh token is lost, and the one in refreshTokenFile may be used up", path, kind)}
	}
	return nil
}

// fleeting names the volume that path lies in if it does not last, by the mounts as proc(5) writes them. Of two mounts on
// one point the later is in force.
func fleeting(mounts, path string) (kind string) {
	longest := 0
	for line := range strings.Lines(mounts) {
		place, system, _ := strings.Cut(line, " - ")
		fields, types := strings.Fields(place), strings.Fields(system)
		if len(fields) < 5 || len(types) == 0 {
			continue
		}
		root, point := fields[3], strings.TrimSuffix(fields[4], "/")+"/"
		if !strings.HasPrefix(path, point) || len(point) < longest {
			continue
		}
		longest, kind = len(point), ""
		switch {
		case strings.Contains(root, "/kubernetes.io~empty-dir/"):
			kind = "an emptyDir, which ends with the pod"
		case types[0] == "tmpfs":
			kind = "memory, which ends with the pod or the machine"
		}
	}
	return kind
}
