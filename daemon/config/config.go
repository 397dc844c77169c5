// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package config reads the configuration file: its types, defaults and checks, and the mistakes with their positions. It
// learns the options of each source, format and notifier from their maps. It reads no other file than the text it is
// handed, and starts nothing.
package config

import (
	"io/fs"
	"strconv"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/notify"
	"github.com/renewd/renewd/daemon/schedule"
)

// Config is a configuration without mistakes. It is not changed after Load.
type Config struct {
	Tokens    []Token
	Shutdown  Shutdown
	Status    Status
	LogPolicy string // path; empty: not configured
	SHA256    string // of the text, in hexadecimal digits
	Warnings  []Warning
}

// Shutdown says what happens at the end.
type Shutdown struct{ KeepFor time.Duration }

// Status says where the daemon can be asked. Both may be empty.
type Status struct{ Listen, Socket string }

// Token is one token to keep fresh.
type Token struct {
	Name              string // a DNS label, unique
	Kind              string // of the source
	Source            daemon.Source
	SourceFingerprint string // SHA-256 of the source's kind and configuration, variables expanded, in hexadecimal digits
	Fingerprint       string // SHA-256 of the whole entry: equal if a reload changed nothing
	Timeout           time.Duration
	Check             daemon.Check
	Policy            schedule.Policy
	Publish           []Publish         // at least one
	Notify            []notify.Notifier // in order
	RemoveOnExit      bool
}

// Publish is one place where a token goes: a file or a directory, of which exactly one is set, as a cleaned path.
type Publish struct {
	File, Directory string
	Format          daemon.Format            // of a file; nil for a directory
	FormatName      string                   // its kind
	Files           map[string]daemon.Format // further files of a directory, by name
	Mode            fs.FileMode
	Owner, Group    int // -1: unchanged
}

// Warning is something that is allowed and probably not meant.
type Warning struct {
	Name         string // of the configuration
	Line, Column int    // from 1
	Text         string
}

// String returns the warning with its position, on one line.
func (w Warning) String() string {
	return w.Name + ":" + strconv.Itoa(w.Line) + ":" + strconv.Itoa(w.Column) + ": warning: " + w.Text
}
