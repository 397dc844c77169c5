// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package host

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServiceUnderSystemd boots systemd itself inside the root, with the package's units and the example's application and
// nothing else, and lives through what happens to a service.
func TestServiceUnderSystemd(t *testing.T) {
	inRoot(t, func(t *testing.T, r root) {
		r.run(t, "dpkg", "--install", r.copyIn(t, packaged(t, "v1.0.0", "*.deb")))
		makeKey(t, r)
		example, err := os.ReadFile(checkout + "/manifests/examples/host/orders.service")
		if err != nil {
			t.Fatal(err)
		}
		r.write(t, "etc/systemd/system/orders.service", string(example))
		s := boot(t, r)

		s.until(t, "the application runs after the first token", func() bool { return s.ask("systemctl", "is-active", "orders.service") == "active" })
		s.until(t, "it reads the token", func() bool {
			log, _ := os.ReadFile(r.path("/var/log/orders.service")) // not there yet
			return regexp.MustCompile(`(?m)^[1-9][0-9]+ /run/renewd/token$`).Match(log)
		})
		r.wantOwner(t, "/run/renewd", "renewd:renewd 750")
		r.wantOwner(t, "/var/lib/renewd", "renewd:renewd 700")
		first := s.ask("systemctl", "show", "--property", "MainPID", "--value", "renewd.service")
		status := s.ask("grep", "-E", "^(CapBnd|CapEff|NoNewPrivs|Seccomp):", "/proc/"+first+"/status")
		if got, want := strings.Join(strings.Fields(status), " "), "CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2"; got != want {
			t.Errorf("the service has %s, want %s", got, want)
		}
		before := r.read(t, "/run/renewd/token")
		if said := s.ask("renewd", "refresh"); !strings.HasPrefix(said, "example: refreshed; it expires in ") {
			t.Errorf("renewd refresh says %q", said)
		}
		s.until(t, "the token is refreshed", func() bool { return r.read(t, "/run/renewd/token") != before })
		s.mustSay(t, "", "systemctl", "reload", "renewd.service")

		r.edit(t, "/etc/renewd/config.yaml", "ES256", "ES999")
		if said := s.ask("systemctl", "reload", "renewd.service"); !strings.Contains(said, "failed") {
			t.Errorf("a reload of a wrong configuration says %q", said)
		}
		r.edit(t, "/etc/renewd/config.yaml", "ES999", "ES256")

		token := r.read(t, "/run/renewd/token")
		s.mustSay(t, "", "kill", "-KILL", first)
		s.until(t, "the service is started again", func() bool {
			pid := s.ask("systemctl", "show", "--property", "MainPID", "--value", "renewd.service")
			return pid != "0" && pid != first && strings.Contains(r.read(t, "/var/log/renewd.service"), "token adopted")
		})
		s.mustSay(t, "", "systemctl", "stop", "renewd.service")
		s.mustSay(t, "0", "systemctl", "show", "--property", "ExecMainStatus", "--value", "renewd.service")
		s.mustSay(t, "active", "systemctl", "is-active", "orders.service")
		if r.read(t, "/run/renewd/token") != token {
			t.Error("the token was replaced by a crash and a stop")
		}
	})
}

// booted is a systemd that runs inside a root.
type booted struct {
	r   root
	pid int
}

// boot starts systemd in namespaces and a control group of its own. Of the machine's units it starts none.
func boot(t *testing.T, r root) *booted {
	t.Helper()
	r.run(t, "sh", "-c", "rm -rf /usr/lib/systemd/system/*.wants /etc/systemd/system/*.wants")
	for _, target := range []string{"sysinit", "local-fs", "basic"} {
		r.write(t, "etc/systemd/system/"+target+".target", "[Unit]\nDefaultDependencies=no\n")
	}
	r.write(t, "etc/systemd/system/test.target", "[Unit]\nDefaultDependencies=no\nWants=renewd.service orders.service\n")
	for _, unit := range []string{"systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket", "tmp.mount"} {
		r.run(t, "ln", "-sf", "/dev/null", "/etc/systemd/system/"+unit)
	}
	for _, unit := range []string{"renewd.service", "renewd-ready.service", "orders.service"} {
		r.write(t, "etc/systemd/system/"+unit+".d/log.conf", "[Service]\nStandardOutput=append:/var/log/"+unit+"\nStandardError=append:/var/log/"+unit+"\n")
	}
	kind := ownGroup(t)
	cmd := r.command("sh", "-c", `set -e
		mount -t proc proc /proc
		mount -o bind,ro /proc/sys /proc/sys
		mount -t sysfs -o ro sysfs /sys
		if [ `+kind+` = v2 ]; then mount -t cgroup2 cgroup2 /sys/fs/cgroup; else
			mount -t tmpfs tmpfs /sys/fs/cgroup
			mkdir /sys/fs/cgroup/systemd
			mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
		fi
		exec /lib/systemd/systemd --system --log-target=console --show-status=no --unit=test.target`)
	cmd.Env = append(cmd.Env, "container=test")
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWCGROUP | syscall.CLONE_NEWNS
	log, err := os.Create(r.path("/var/log/boot"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it everything in its namespace
		_ = cmd.Wait()
		if t.Failed() {
			for _, name := range []string{"boot", "renewd.service", "orders.service"} {
				text, _ := os.ReadFile(r.path("/var/log/" + name)) // it may not have come so far
				t.Logf("%s:\n%s", name, text)
			}
		}
	})
	return &booted{r: r, pid: cmd.Process.Pid}
}

// ownGroup moves this process, which is a test's own, into a new control group of systemd's hierarchy, and says of which
// version it is. What systemd makes stays inside.
func ownGroup(t *testing.T) string {
	t.Helper()
	version, top, controller := "v2", "/sys/fs/cgroup", ""
	if _, err := os.Stat("/sys/fs/cgroup/systemd"); err == nil {
		version, top, controller = "v1", "/sys/fs/cgroup/systemd", "name=systemd"
	}
	own, err := os.Open("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	before := ""
	for lines := bufio.NewScanner(own); lines.Scan(); {
		if f := strings.SplitN(lines.Text(), ":", 3); len(f) == 3 && f[1] == controller {
			before = filepath.Join(top, f[2])
		}
	}
	group, err := os.MkdirTemp(before, "renewd-test-")
	if err != nil {
		t.Fatal(err)
	}
	enter := func(group string) error {
		return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err := enter(group); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := enter(before); err != nil {
			t.Error(err)
		}
		var err error
		for range 600 { // those that were killed are still leaving
			if err = exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run(); err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error(err)
	})
	return version
}

// ask runs a command beside systemd and returns what it says, whatever its exit code.
func (s *booted) ask(args ...string) string {
	line := append([]string{"--target", strconv.Itoa(s.pid), "--mount", "--pid", "--root", "--wd", "timeout", "60"}, args...)
	out, _ := exec.Command("nsenter", line...).CombinedOutput() // is-active says no by its code, too
	return strings.TrimSpace(string(out))
}

// mustSay runs a command that must say exactly this.
func (s *booted) mustSay(t *testing.T, want string, args ...string) {
	t.Helper()
	if got := s.ask(args...); got != want {
		t.Errorf("%s says %q, want %q", strings.Join(args, " "), got, want)
	}
}

// until waits for something, at most two minutes.
func (s *booted) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("within two minutes it did not happen that %s:\n%s", what, s.ask("systemctl", "--no-pager", "list-units", "--all"))
		}
	}
}
