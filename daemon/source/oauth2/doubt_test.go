// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package oauth2

import (
	"strings"
	"testing"
)

func TestFleetingVolumes(t *testing.T) {
	const mounts = `22 1 0:20 / / rw - overlay overlay rw
30 22 0:30 / /run rw,nosuid shared:1 - tmpfs tmpfs rw
31 22 8:1 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/state /scratch rw - ext4 /dev/sda rw
32 30 8:2 / /run/durable rw - ext4 /dev/sdb rw
torn
`
	for path, want := range map[string]string{
		"/var/state": "", "/run/state": "memory", "/scratch/state": "emptyDir", "/run/durable/state": "", "/runner/state": "",
	} {
		if got := fleeting(mounts, path); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
