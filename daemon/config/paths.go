// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/renewd/renewd/daemon"
)

// path checks what can be said of a path without looking at the disk. file: it must not end in a slash.
func (c *checker) path(path, value string, file bool) bool {
	key := path[strings.LastIndexByte(path, '.')+1:]
	switch {
	case strings.ContainsRune(value, 0):
		c.fail(path, "", "%s must not hold a NUL", key)
	case file && strings.HasSuffix(value, "/"):
		c.fail(path, "leave the slash out, or add a file name", "%s must be a file, and ends in a slash", key)
	case file && (filepath.Base(value) == "." || filepath.Base(value) == ".."):
		c.fail(path, "", "%s must end in a file name", key)
	default:
		return true
	}
	return false
}

// fileName checks the name of a further file of a directory.
func (c *checker) fileName(path, name string) {
	switch {
	case name == "", strings.ContainsAny(name, "/\x00"), strings.HasPrefix(name, ".."), name == ".":
		c.fail(path, "a plain file name", "%q is no file name", name)
	case name == "token", name == "token.json", name == ".renewd":
		c.fail(path, "choose another name", "%q is written into every directory", name)
	}
}

// place is what one entry under publish takes for itself.
type place struct {
	path      string // in the document
	absolute  string // cleaned; links are not followed
	directory bool
}

// places returns every place that is published to and whose entry has no mistake.
func (c *checker) places() []place {
	var all []place
	for i, t := range c.file.Tokens {
		for j, p := range t.Publish {
			path := fmt.Sprintf("tokens[%d].publish[%d]", i, j)
			if c.Failed(path) {
				continue
			}
			name := p.File + p.Directory // exactly one is set
			absolute, err := filepath.Abs(name)
			if err != nil {
				c.fail(path, "write an absolute path", "%s", err)
				continue
			}
			key := ".file"
			if p.Directory != "" {
				key = ".directory"
			}
			all = append(all, place{path: path + key, absolute: absolute, directory: p.Directory != ""})
		}
	}
	return all
}

// collisions reports entries that publish to one path, into a published directory, over the record of another file, or over
// a file that is read.
func (c *checker) collisions(tokens []Token) {
	taken := map[string]place{}
	all := c.places()
	read := c.inputs(tokens)
	for _, p := range all {
		if by := read[p.absolute]; by != "" && !p.directory {
			c.fail(p.path, "publish somewhere else; to make one token of another, let a second renewd read the published one",
				"%q is read by %s: whatever is in it would be lost", p.absolute, by)
		}
	}
	for _, p := range all {
		if other, ok := taken[p.absolute]; ok {
			c.collide(p, other, "both are %q", p.absolute)
			continue
		}
		taken[p.absolute] = p
	}
	for _, p := range all {
		for inner := p.absolute; inner != filepath.Dir(inner); inner = filepath.Dir(inner) {
			if other := taken[filepath.Dir(inner)]; other.directory {
				c.collide(p, other, "%q lies inside %q", p.absolute, other.absolute)
			}
		}
		record := filepath.Join(filepath.Dir(p.absolute), "."+filepath.Base(p.absolute)+".renewd")
		if other, ok := taken[record]; ok && !p.directory {
			c.collide(other, p, "%q is where the record of the other is kept", record)
		}
	}
}

// inputs returns the files that are read, by whom: a publish over one of them would destroy it. The token that a source
// reads back is not among them.
func (c *checker) inputs(tokens []Token) map[string]string {
	read := map[string]string{}
	add := func(path, by string) {
		if absolute, err := filepath.Abs(path); err == nil && path != "" {
			read[absolute] = by
		}
	}
	for _, t := range tokens {
		in, ok := t.Source.(daemon.Inputs)
		if !ok {
			continue
		}
		back, _ := t.Source.(daemon.Rereader)
		for _, path := range in.Inputs() {
			if back == nil || path != back.Rereads() {
				add(path, "the source of "+t.Name)
			}
		}
	}
	add(c.file.LogPolicy, "logPolicy")
	add(c.title, "renewd: it is the configuration")
	return read
}

// collide reports two entries that get into each other's way.
func (c *checker) collide(p, other place, format string, args ...any) {
	line, column := c.Position(other.path)
	c.fail(p.path, fmt.Sprintf("the other is at %d:%d", line, column), "published twice: "+format, args...)
}
