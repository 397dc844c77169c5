// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package host

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLifeOfTheDeb installs the package, follows the configuration file's own words, runs the service as the unit does,
// upgrades it while it runs, removes and purges it.
func TestLifeOfTheDeb(t *testing.T) {
	inRoot(t, func(t *testing.T, r root) {
		calls := r.recordSystemctl(t)
		r.run(t, "dpkg", "--install", r.copyIn(t, packaged(t, "v1.0.0", "*.deb")))
		wantCalls(t, calls, "daemon-reload", "try-restart renewd.service")
		if out := r.run(t, "renewd", "version"); !strings.HasPrefix(out, "renewd v1.0.0 ") {
			t.Errorf("it says %q", out)
		}
		if out := r.run(t, "getent", "passwd", "renewd"); !strings.HasSuffix(out, ":/nonexistent:/usr/sbin/nologin\n") {
			t.Errorf("the user is %q", out)
		}
		r.wantOwner(t, "/etc/renewd/keys", "root:renewd 750")
		r.run(t, "bash", "-c", ". /usr/share/bash-completion/completions/renewd")

		makeKey(t, r)
		makeFolders(t, r)
		service := serve(t, r)
		r.wantOwner(t, "/run/renewd/token", "renewd:renewd 640")
		r.run(t, "setpriv", as("nobody", "nogroup", "renewd", "test", "-r", "/run/renewd/token")...)
		if r.command("setpriv", as("nobody", "nogroup", "", "test", "-r", "/run/renewd/token")...).Run() == nil {
			t.Error("who is not in the group renewd can read the token")
		}

		edited := edit(t, r)
		r.run(t, "dpkg", "--install", r.copyIn(t, packaged(t, "v1.0.1", "*.deb")))
		wantCalls(t, calls, "daemon-reload", "daemon-reload", "try-restart renewd.service") // of the old postrm, and of the new postinst
		if out := r.run(t, "renewd", "version"); !strings.HasPrefix(out, "renewd v1.0.1 ") {
			t.Errorf("after the upgrade it says %q", out)
		}
		if data, err := os.ReadFile(r.path("/etc/renewd/config.yaml")); err != nil || string(data) != edited {
			t.Errorf("the upgrade changed the configuration: %v\n%s", err, data)
		}
		service.stop(t)

		r.run(t, "dpkg", "--remove", "renewd")
		wantCalls(t, calls, "disable --now renewd.service", "stop renewd-ready.service", "daemon-reload")
		r.wantFiles(t, true, "/etc/renewd/config.yaml", "/etc/renewd/log-policy.yaml", "/etc/renewd/keys/signing.pem", "/run/renewd/token")
		r.wantFiles(t, false, "/usr/bin/renewd", "/usr/lib/systemd/system/renewd.service")
		r.run(t, "dpkg", "--purge", "renewd")
		r.wantFiles(t, true, "/etc/renewd/keys/signing.pem")
		r.wantFiles(t, false, "/etc/renewd/config.yaml", "/etc/renewd/log-policy.yaml", "/run/renewd", "/var/lib/renewd", "/var/log/renewd")
	})
}

// recordSystemctl puts a systemctl into the root that only writes down what it is told, and the sign that systemd runs.
func (r root) recordSystemctl(t *testing.T) string {
	t.Helper()
	if err := os.MkdirAll(r.path("/run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path("/usr/local/bin/systemctl"), []byte("#!/bin/sh\necho \"$@\" >>/run/systemctl\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return r.path("/run/systemctl")
}

// wantCalls checks what systemctl was told since the last look.
func wantCalls(t *testing.T, file string, want ...string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSpace(string(data)), "\n"); !slices.Equal(got, want) {
		t.Errorf("systemctl was told %q, want %q", got, want)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func (r root) wantOwner(t *testing.T, name, want string) {
	t.Helper()
	if got := strings.TrimSpace(r.run(t, "stat", "--format", "%U:%G %a", name)); got != want {
		t.Errorf("%s is %s, want %s", name, got, want)
	}
}

func (r root) wantFiles(t *testing.T, there bool, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(r.path(name)); (err == nil) != there {
			t.Errorf("%s is there: %v, want %v", name, err == nil, there)
		}
	}
}

// makeKey runs the commands that the comment of the installed configuration gives for it.
func makeKey(t *testing.T, r root) {
	t.Helper()
	data, err := os.ReadFile(r.path("/etc/renewd/config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^#   ((openssl|chgrp|chmod) .*)$`).FindAllStringSubmatch(string(data), -1)
	if len(lines) != 3 {
		t.Fatalf("the comment has the commands %q", lines)
	}
	for _, line := range lines {
		r.run(t, "sh", "-c", line[1])
	}
}

// makeFolders makes what systemd makes for the service.
func makeFolders(t *testing.T, r root) {
	t.Helper()
	for dir, mode := range map[string]string{"/run/renewd": "0750", "/var/lib/renewd": "0700", "/var/log/renewd": "0750"} {
		r.run(t, "install", "-d", "-m", mode, "-o", "renewd", "-g", "renewd", dir)
	}
	r.run(t, "setpriv", as("renewd", "renewd", "", "renewd", "check")...)
}

// service is a `renewd run` inside a root.
type service struct {
	cmd *exec.Cmd
	r   root
}

// serve starts the service, before it ran waits as renewd-ready.service does, and tries what an administrator does.
func serve(t *testing.T, r root) *service {
	t.Helper()
	cmd := r.command("setpriv", as("renewd", "renewd", "", "renewd", "run")...)
	log, err := os.Create(r.path("/tmp/log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	r.run(t, "setpriv", as("renewd", "renewd", "", "renewd", "wait", "--timeout", "2m")...)
	r.run(t, "renewd", "refresh") // root, by the admin socket
	if out := r.run(t, "renewd", "status"); !strings.Contains(out, "example") {
		t.Errorf("status says %q", out)
	}
	return &service{cmd: cmd, r: r}
}

func (s *service) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := s.cmd.Wait()
	data, _ := os.ReadFile(s.r.path("/tmp/log")) // what it said, if anything
	if log := string(data); err != nil || strings.Contains(log, "ERROR") || !strings.Contains(log, "INFO ") {
		t.Errorf("the service ended: %v\n%s", err, log)
	}
}

// edit makes the administrator's change and waits until the service obeys it.
func edit(t *testing.T, r root) string {
	t.Helper()
	text := r.edit(t, "/etc/renewd/config.yaml", "aud: [example]", "aud: [edited]")
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		log, err := os.ReadFile(r.path("/tmp/log"))
		if err == nil && strings.Contains(string(log), "configuration reloaded") {
			return text
		}
		if time.Now().After(end) {
			t.Fatalf("the edit was not obeyed: %v\n%s", err, log)
		}
	}
}

func TestBothPackagesHaveTheSameFiles(t *testing.T) {
	modes := func(lines []string, mode, owner, name int) (files []string) {
		for _, line := range lines {
			f := strings.Fields(line)
			path := strings.TrimPrefix(f[name], ".")
			if strings.HasSuffix(path, "/") && path != "/etc/renewd/keys/" || strings.Contains(path, "/share/zsh/") {
				continue // folders, of which an .rpm lists its own alone; zsh is elsewhere
			}
			files = append(files, fmt.Sprintf("%s %s %s", strings.TrimSuffix(path, "/"), strings.ReplaceAll(f[owner], "/", " "), f[mode]))
		}
		return files
	}
	deb := modes(said(t, "dpkg-deb", "--contents", packaged(t, "v1.0.0", "*.deb")), 0, 1, 5)
	rpm := modes(said(t, "rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]", packaged(t, "v1.0.0", "*.rpm")), 0, 1, 2)
	rpm = slices.DeleteFunc(rpm, func(f string) bool { return strings.Contains(f, "drwxr-xr-x") })
	slices.Sort(deb)
	slices.Sort(rpm)
	if !slices.Equal(deb, rpm) || len(deb) < 10 {
		t.Errorf("the .deb has\n%s\nthe .rpm\n%s", strings.Join(deb, "\n"), strings.Join(rpm, "\n"))
	}
	for _, want := range []string{"/usr/bin/renewd root root -rwxr-xr-x", "/etc/renewd/keys root root drwxr-x---", "/etc/renewd/config.yaml root root -rw-r--r--", "/usr/share/man/man1/renewd.1.gz root root -rw-r--r--"} {
		if !slices.Contains(deb, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestRPM(t *testing.T) {
	rpm := packaged(t, "v1.0.0", "*.rpm")
	if got, want := said(t, "rpm", "-qpc", rpm), []string{"/etc/renewd/config.yaml", "/etc/renewd/log-policy.yaml"}; !slices.Equal(got, want) {
		t.Errorf("configuration files %q, want %q", got, want)
	}
	scripts := strings.Join(said(t, "rpm", "-qp", "--scripts", rpm), "\n")
	for _, want := range []string{"postinstall", "preuninstall", "postuninstall", "useradd", "try-restart"} {
		if !strings.Contains(scripts, want) {
			t.Errorf("no %q in the scripts:\n%s", want, scripts)
		}
	}
	if got := said(t, "rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{ARCH} %{LICENSE} %{BUILDHOST} %{BUILDTIME}", rpm)[0]; got != "renewd 1.0.0 x86_64 Apache-2.0 renewd 0" {
		t.Errorf("it says %q", got)
	}
	said(t, "rpm", "-K", "--nosignature", rpm)
}

// TestPackagesAreReproducible packs the same program again.
func TestPackagesAreReproducible(t *testing.T) {
	again := t.TempDir()
	said(t, "cp", "-r", built+"/v1.0.0/rootfs-amd64", again)
	said(t, checkout+"/manifests/host/package", "v1.0.0", again)
	for _, pattern := range []string{"*.deb", "*.rpm"} {
		first := packaged(t, "v1.0.0", pattern)
		said(t, "cmp", first, again+first[strings.LastIndex(first, "/"):])
	}
}
