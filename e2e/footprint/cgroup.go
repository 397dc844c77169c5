// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// group is a memory cgroup of our own, of either version.
type group struct {
	dir, usage, limit, peak string // names of its files
}

// newGroup makes a group where the machine allows it.
func newGroup() (*group, error) {
	name := fmt.Sprintf("renewd-footprint-%d", os.Getpid())
	var errs []error
	for _, g := range []group{
		{"/sys/fs/cgroup", "memory.current", "memory.max", "memory.peak"},
		{"/sys/fs/cgroup/memory", "memory.usage_in_bytes", "memory.limit_in_bytes", "memory.max_usage_in_bytes"},
	} {
		g.dir = filepath.Join(g.dir, name)
		if err := os.Mkdir(g.dir, 0o755); err != nil {
			errs = append(errs, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(g.dir, g.limit)); err == nil {
			return &g, nil
		}
		errs = append(errs, fmt.Errorf("%s has no memory controller", g.dir), os.Remove(g.dir))
	}
	return nil, errors.Join(errs...)
}

// command returns a command that runs in the group, or an ordinary one if g is nil. A shell joins the group and becomes the
// program, so that all its memory is charged there.
func (g *group) command(binary string, args ...string) *exec.Cmd {
	if g == nil {
		return exec.Command(binary, args...)
	}
	join := `echo $$ > "$0" && exec "$@"`
	return exec.Command("sh", append([]string{"-c", join, filepath.Join(g.dir, "cgroup.procs"), binary}, args...)...)
}

func (g *group) read(name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// charged measures what a cgroup of its own is charged, idle, and whether the process lives in ten MiB.
func (b *bench) charged() ([]row, error) {
	g, err := newGroup()
	if err != nil {
		why := strings.ReplaceAll(err.Error(), "\n", "; ")
		return []row{{"charged to a cgroup", "<= 2.6 MiB idle", "not measured", "no memory cgroup can be made: " + why}}, nil
	}
	defer os.Remove(g.dir)
	p, err := b.begin(1, 1, g)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	time.Sleep(settled)
	idle, err := g.read(g.usage)
	if err != nil {
		return nil, err
	}
	rows := []row{{"charged to a cgroup, idle", "<= 2.6 MiB", mib(idle), g.usage + ", user and kernel memory, binary in the page cache already"}}
	if err := p.Stop(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(g.dir, g.limit), []byte(strconv.Itoa(10<<20)), 0o600); err != nil {
		return nil, err
	}
	limited, err := b.begin(busyTokens, 1, g)
	if err != nil {
		return nil, err
	}
	defer limited.Kill()
	result := "survived"
	n, err := refresh(limited, 1000)
	if limited.Over() {
		result = "killed"
	} else if err != nil {
		return nil, err
	} else if peak, err := g.read(g.peak); err == nil {
		result += ", peak " + mib(peak)
	}
	rows = append(rows, row{"1,000 refreshes in 10 MiB", "survives", result, fmt.Sprintf("hard limit of the cgroup, %d refreshes", n)})
	limited.Kill()
	return rows, nil
}
