// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inMountNamespace reports true in a child process that runs this test alone and may mount. In the parent it runs that child.
func inMountNamespace(t *testing.T) bool {
	t.Helper()
	const key = "LOGPOLICY_TEST_MOUNTS"
	if os.Getenv(key) == t.Name() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), key+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in the child: %v\n%s", err, out)
	}
	return false
}

// mount mounts, and says what if it cannot.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Fatalf("mount %s %#x: %v", kind, flags, err)
	}
}

// lasted logs a line and fails if that was held up. How long a log call may take at most is a matter of the bubbles.
func (r *rig) lasted(line string) {
	r.t.Helper()
	began := time.Now()
	r.Logger().Named("token").Info(line)
	if took := time.Since(began); took > 100*maxWait {
		r.t.Errorf("%s took %v", line, took)
	}
	r.flush()
	r.flush()
}

// The log volume turns read-only while its file is open, and while it is not. The first costs rotations, the second
// lines, which are counted; neither costs the caller anything; and both end when the volume is writable again.
//
// The kernel refuses to make a file system read-only that has files open for writing (EBUSY), so the first is a read-only
// mount over the same directory, and the second one of a volume that was unmounted, as a node does it that lost its disk.
func TestAVolumeThatTurnsReadOnly(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	r := newRig(t).run()
	mount(t, "tmpfs", r.dir, "tmpfs", 0, "size=4m")
	r.apply(fileHandler("onError: drop, rotate: {maxSize: 64KiB}"))
	large := strings.Repeat("x", 40<<10)
	r.lasted("before " + large)
	if err := unix.Mount("", r.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != unix.EBUSY {
		t.Errorf("remount with an open file: %v", err)
	}

	mount(t, r.dir, r.dir, "", unix.MS_BIND, "")
	mount(t, "", r.dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	for i := range 3 {
		r.lasted(fmt.Sprintf("over-%d %s", i, large))
	}
	if text, backups := r.everything(); backups != 0 || strings.Count(text, "over-") != 3 || r.counter("lines_dropped_total") != 0 {
		t.Errorf("%d backups, %v", backups, r.State().Counters)
	}
	if n := r.counter("rotations_total", "reason size result failed"); n != 1 { // the next attempt is a minute later
		t.Errorf("%d attempts to rotate", n)
	}
	mount(t, "", r.dir, "", unix.MS_REMOUNT|unix.MS_BIND, "")
	f := r.theFile()
	f.mu.Lock()
	f.retryAt = time.Now() // the minute is over
	f.mu.Unlock()
	r.lasted("writable")
	if text, backups := r.everything(); backups != 1 || !strings.HasSuffix(text, "writable\n") {
		t.Errorf("%d backups", backups)
	}

	for range 2 { // the mount over it, and the volume
		if err := unix.Unmount(r.dir, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, "tmpfs", r.dir, "tmpfs", unix.MS_RDONLY, "size=4m")
	f.forget()
	for i := range 5 {
		r.lasted(fmt.Sprint("lost-", i))
	}
	if r.counter("lines_dropped_total", "handler main reason error") != 5 || r.counter("write_errors_total", "handler main errno EROFS") < 5 {
		t.Error(r.State().Counters)
	}
	contains(t, r.err.String(), "log handler main: ", "read-only file system")
	lacks(t, r.err.String(), "lost-")
	mount(t, "", r.dir, "", unix.MS_REMOUNT, "")
	r.lasted("back")
	if got := r.read("renewd.log"); got != "back\n" {
		t.Errorf("%q", got)
	}
	if err := unix.Unmount(r.dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
}
