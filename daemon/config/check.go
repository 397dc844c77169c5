// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package config

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/config/strict"
	"github.com/renewd/renewd/daemon/format"
	"github.com/renewd/renewd/daemon/notify"
	"github.com/renewd/renewd/daemon/schedule"
	"github.com/renewd/renewd/daemon/source"
)

// checker checks the meaning of a decoded document, part by part, and builds the Config. A part that was not decoded
// without mistakes is not checked further.
type checker struct {
	*strict.Document
	version string
	lookup  func(name string) (string, bool)
	title   string // of the document: a path, or what stands for one
	file    *file
}

// fail reports a mistake of meaning.
func (c *checker) fail(path, help, format string, args ...any) {
	c.Report(path, strict.Mistake{Rule: strict.RuleValue, Problem: fmt.Sprintf(format, args...), Help: help})
}

// config checks everything.
func (c *checker) config() *Config {
	f := c.file
	out := &Config{Shutdown: Shutdown{KeepFor: f.Shutdown.KeepFor}, Status: Status(f.Status), LogPolicy: f.LogPolicy}
	c.within("shutdown.keepFor", f.Shutdown.KeepFor, 0, longest)
	c.status()
	if f.LogPolicy != "" && c.path("logPolicy", f.LogPolicy, true) {
		out.LogPolicy = filepath.Clean(f.LogPolicy)
	}
	if len(f.Tokens) == 0 && !c.Failed("tokens") {
		c.fail("tokens", "", "tokens must have at least one token")
	}
	names := map[string]string{}
	for i := range f.Tokens {
		path := fmt.Sprintf("tokens[%d]", i)
		out.Tokens = append(out.Tokens, c.token(path, &f.Tokens[i], names))
	}
	c.collisions(out.Tokens)
	return out
}

// status checks the form of the listener and the socket.
func (c *checker) status() {
	s := c.file.Status
	if s.Listen != "" {
		_, port, err := net.SplitHostPort(s.Listen)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
			c.fail("status.listen", "for example 127.0.0.1:9736", "listen must be host:port with a number as port")
		}
	}
	if s.Socket == "" || !c.path("status.socket", s.Socket, true) {
		return
	}
	// The kernel's sockaddr_un holds 108 bytes, the last of them NUL.
	if !filepath.IsAbs(s.Socket) || len(s.Socket) > 107 {
		c.fail("status.socket", "for example /run/renewd/admin.sock", "socket must be an absolute path of at most 107 bytes")
	}
}

// label is RFC 1123 §2.1 as Kubernetes reads it.
var label = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
})

// token checks one token. names holds the path of each name seen before.
func (c *checker) token(path string, t *token, names map[string]string) Token {
	if c.Failed(path) && t.Name == "" && t.Source.Kind == "" && t.Publish == nil {
		return Token{} // no mapping at all: that was said, and more would only repeat it
	}
	out := Token{Name: t.Name, Kind: t.Source.Kind, Timeout: t.Timeout, RemoveOnExit: t.OnExit == "remove", Policy: t.Refresh.policy(),
		Check: daemon.Check{Issuer: t.Expect.Issuer, Audience: t.Expect.Audience, Visible: t.Expect.Characters == "visible", MaxBytes: t.Expect.MaxBytes}}
	c.name(path+".name", t.Name, names)
	c.within(path+".timeout", t.Timeout, time.Second, 10*time.Minute)
	if n := t.Expect.MaxBytes; n < 1 || n > 1<<20 {
		c.fail(path+".expect.maxBytes", "", "maxBytes must be within 1 and 1048576")
	}
	c.refresh(path+".refresh", t.Refresh)
	if len(t.Publish) == 0 && !c.Failed(path+".publish") {
		c.fail(path+".publish", "", "publish must have at least one file or directory")
	}
	context := format.Context{Name: t.Name, Keep: t.Refresh.Keep}
	for i := range t.Publish {
		out.Publish = append(out.Publish, c.publish(fmt.Sprintf("%s.publish[%d]", path, i), &t.Publish[i], context))
	}
	for i, n := range t.Notify {
		out.Notify = append(out.Notify, c.notifier(fmt.Sprintf("%s.notify[%d]", path, i), n))
	}
	out.Source = c.source(path, t, rawFile(out.Publish))
	out.SourceFingerprint = c.fingerprint(path+".source", t.Source)
	out.Fingerprint = c.fingerprint(path, t)
	return out
}

// rawFile returns the first file in the raw format.
func rawFile(list []Publish) string {
	for _, p := range list {
		if p.File != "" && p.FormatName == "raw" {
			return p.File
		}
	}
	return ""
}

// name checks that a name is a DNS label and new.
func (c *checker) name(path, name string, names map[string]string) {
	if c.Failed(path) {
		return
	}
	if len(name) > 63 || !label().MatchString(name) {
		c.fail(path, "lower-case letters, digits and -, at most 63, the first and last no -", "name is no DNS label")
		return
	}
	if first, ok := names[name]; ok {
		line, column := c.Position(first)
		c.fail(path, fmt.Sprintf("the other is at %d:%d", line, column), "two tokens are called %q", name)
		return
	}
	names[name] = path
}

// refresh checks the bounds of a schedule.
func (c *checker) refresh(path string, r refresh) {
	c.within(path+".before", r.Before, 0, longest)
	c.within(path+".interval", r.Interval, 0, longest)
	c.within(path+".keep", r.Keep, 0, longest)
	c.within(path+".outage", r.Outage, 0, longest)
	c.within(path+".floor", r.Floor, 100*time.Millisecond, time.Hour)
	c.within(path+".defaultTTL", r.DefaultTTL, time.Second, longest)
}

// longest bounds every duration: ten years, as for a token's life.
const longest = 3650 * 24 * time.Hour

// within checks that a duration lies within its bounds.
func (c *checker) within(path string, d, least, most time.Duration) {
	if least <= d && d <= most || c.Failed(path) {
		return
	}
	key := path[strings.LastIndexByte(path, '.')+1:]
	c.fail(path, "", "%s must be within %s and %s", key, strict.FormatDuration(least), strict.FormatDuration(most))
}

// source makes the source of a token and warns of a schedule that its lifetime cannot hold.
func (c *checker) source(path string, t *token, rawFile string) daemon.Source {
	kind, ok := source.Kinds()[t.Source.Kind]
	if !ok || c.Failed(path+".source") {
		return nil
	}
	inner := path + ".source." + t.Source.Kind
	made, err := kind.New(t.Source.Config, source.Context{RawFile: rawFile, Version: c.version, Lookup: c.lookup})
	if err != nil {
		c.reportAll(inner, err)
		return nil
	}
	s, ok := made.(interface{ Lifetime() time.Duration })
	if !ok || c.Failed(path+".refresh") {
		return made
	}
	// Any beginning will do: the schedule depends on the length alone.
	issued := time.Unix(0, 0)
	for _, text := range t.Refresh.policy().Notices(schedule.Life{Issued: issued, Expires: issued.Add(s.Lifetime())}) {
		c.Warn(path+".refresh", strict.Mistake{Problem: text})
	}
	return made
}

// notifier makes one notifier.
func (c *checker) notifier(path string, n strict.OneOf) notify.Notifier {
	kind, ok := notify.Kinds()[n.Kind]
	if !ok || c.Failed(path) {
		return nil
	}
	made, err := kind.New(n.Config)
	if err != nil {
		c.reportAll(path+"."+n.Kind, err)
	}
	return made
}

// format makes one format; nil stands for raw.
func (c *checker) format(path string, f *strict.OneOf, context format.Context) (daemon.Format, string) {
	if f == nil {
		f = &strict.OneOf{Kind: "raw"}
	}
	kind, ok := format.Kinds()[f.Kind]
	if !ok || c.Failed(path) {
		return nil, f.Kind
	}
	made, err := kind.New(f.Config, context)
	if err != nil {
		c.reportAll(path+"."+f.Kind, err)
	}
	return made, f.Kind
}

// publish checks one place and makes its formats.
func (c *checker) publish(path string, p *publish, context format.Context) Publish {
	out := Publish{Mode: p.Mode.Perm, Owner: p.Owner.N, Group: p.Group.N}
	file, directory := p.File != "", p.Directory != ""
	switch {
	case file == directory && !c.Failed(path):
		c.fail(path, "", "%s must have exactly one of file and directory", path[strings.LastIndexByte(path, '.')+1:])
	case directory && p.Format != nil:
		c.fail(path+".format", "write files: {NAME: FORMAT}", "format belongs to a file; a directory has token, token.json and files")
	case file && p.Files != nil:
		c.fail(path+".files", "", "files belong to a directory; for another file write another entry under publish")
	case file && c.path(path+".file", p.File, true):
		out.File = filepath.Clean(p.File)
	case directory && c.path(path+".directory", p.Directory, false):
		out.Directory = filepath.Clean(p.Directory)
	}
	if file {
		out.Format, out.FormatName = c.format(path+".format", p.Format, context)
	}
	for name, f := range p.Files {
		c.fileName(path+".files."+name, name)
		made, _ := c.format(path+".files."+name, &f, context)
		if out.Files == nil {
			out.Files = map[string]daemon.Format{}
		}
		out.Files[name] = made
	}
	return out
}
