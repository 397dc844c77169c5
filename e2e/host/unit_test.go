// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package host

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// exposed is the worst that `systemd-analyze security` may say of a unit, of 10; one without any setting has 9.6.
var exposed = map[string]string{"renewd.service": "1.4", "renewd-ready.service": "0.6"}

func TestUnitsAreValidAndAllowLittle(t *testing.T) {
	inRoot(t, func(t *testing.T, r root) {
		r.run(t, "dpkg", "--install", r.copyIn(t, packaged(t, "v1.0.0", "*.deb")))
		for unit, limit := range exposed {
			if out := r.run(t, "systemd-analyze", "verify", "--man=no", unit); out != "" {
				t.Errorf("%s: systemd complains: %s", unit, out)
			}
			out := r.run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "/usr/lib/systemd/system/"+unit)
			found := regexp.MustCompile(`exposure level for \S+: ([0-9.]+) `).FindStringSubmatch(out)
			if found == nil || len(found[1]) != len(limit) || found[1] > limit {
				t.Errorf("%s is exposed %q, want at most %s:\n%s", unit, found, limit, out)
			}
		}
	})
}

// TestTheUnitAllowsWhatTheServiceCalls lists the system calls of a service that starts, publishes, reloads, is asked and stops,
// and looks for each of them in the filter of the unit.
func TestTheUnitAllowsWhatTheServiceCalls(t *testing.T) {
	inRoot(t, func(t *testing.T, r root) {
		r.run(t, "dpkg", "--install", r.copyIn(t, packaged(t, "v1.0.0", "*.deb")))
		makeKey(t, r)
		makeFolders(t, r)
		traced := `strace -f -qq -o /tmp/calls setpriv --reuid renewd --regid renewd --clear-groups renewd run & strace=$!
			renewd wait --timeout 5m && renewd refresh && renewd status >&2 &&
			sed -i 's/ttl: 30m/ttl: 20m/' /etc/renewd/config.yaml &&
			pid=$(pgrep -P $strace) && kill -HUP $pid && sleep 1 && renewd healthcheck --live && kill -TERM $pid; wait $strace`
		r.run(t, "sh", "-c", traced)
		data, err := os.ReadFile(r.path("/tmp/calls"))
		if err != nil {
			t.Fatal(err)
		}
		_, service, _ := strings.Cut(string(data), `execve("/usr/bin/renewd"`)
		allowed, calls := filter(t), map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(service, -1) {
			calls[m[1]] = true
		}
		if !calls["renameat"] || !calls["inotify_add_watch"] || !calls["accept4"] {
			t.Errorf("the service did not do its work: %v", calls)
		}
		for call := range calls {
			if !allowed[call] {
				t.Errorf("the service calls %s, which its unit forbids", call)
			}
		}
	})
}

// filter returns the system calls that renewd.service may make.
func filter(t *testing.T) map[string]bool {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join(checkout, "manifests/host/renewd.service"))
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string][]string{}
	group := ""
	for _, line := range said(t, "systemd-analyze", "syscall-filter", "--no-pager") {
		switch name := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "@"):
			group = name
		case strings.HasPrefix(line, "  ") && !strings.HasPrefix(name, "#"):
			groups[group] = append(groups[group], name)
		}
	}
	allowed := map[string]bool{}
	var set func(name string, to bool)
	set = func(name string, to bool) {
		if !strings.HasPrefix(name, "@") {
			allowed[name] = to
		}
		for _, member := range groups[name] {
			set(member, to)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(string(unit), -1) {
		for name := range strings.FieldsSeq(m[2]) {
			set(name, m[1] == "")
		}
	}
	set("@default", true) // systemd.exec(5): always permitted
	return allowed
}
