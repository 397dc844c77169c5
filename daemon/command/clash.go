// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"fmt"
	"path/filepath"

	"github.com/renewd/renewd/daemon"
)

// clash finds what the configuration's text does not show: by links, two tokens are published to one file, or one over a
// file that a source reads, such as its own key.
func clash(list []*kept) error {
	published := map[string]string{} // who publishes, by where the path leads
	for _, k := range list {
		for _, path := range k.paths() {
			at := leadsTo(path)
			if other, taken := published[at]; taken && other != k.Name {
				return &exit{code: exitConfig, err: fmt.Errorf("tokens %s and %s are both published to %q", other, k.Name, at)}
			}
			published[at] = k.Name
		}
	}
	for _, k := range list {
		back, _ := k.Source.(daemon.Rereader)
		for _, path := range k.inputs() {
			by, lost := published[resolve(path)]
			if lost && (back == nil || back.Rereads() != path) {
				return &exit{
					code: exitConfig,
					err:  fmt.Errorf("token %s is published to %q, which the source of %s reads: whatever is in it would be lost", by, path, k.Name),
					help: "publish somewhere else; to make one token of another, let a second renewd read the published one",
				}
			}
		}
	}
	return nil
}

// leadsTo follows the links among a path's parents, as publishing does.
func leadsTo(path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, filepath.Base(path))
}

// resolve follows all links of a path, as reading does.
func resolve(path string) string {
	if all, err := filepath.EvalSymlinks(absolute(path)); err == nil {
		return all
	}
	return leadsTo(absolute(path))
}

// absolute returns the path as another process can use it; "" stays.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != "" {
		return abs
	}
	return path
}
