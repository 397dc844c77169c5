// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/config"
	"github.com/renewd/renewd/daemon/sink/directory"
	"github.com/renewd/renewd/daemon/sink/file"
	"github.com/renewd/renewd/daemon/status"
)

// loader returns the reader of configurations.
func loader() config.Loader {
	return config.Loader{Lookup: os.LookupEnv, Version: version()}
}

// place is a sink and what the command line does with it besides.
type place interface {
	daemon.Sink
	Paths() []string
	Check() error
	Remove(ctx context.Context) error
}

// kept is one configured token and the Keeper that was made of it.
type kept struct {
	*daemon.Keeper
	conf   *config.Token
	places []place
}

// keep makes a Keeper of each configured token.
func keep(conf *config.Config, log *zap.Logger) []*kept {
	list := make([]*kept, 0, len(conf.Tokens))
	for i := range conf.Tokens {
		list = append(list, keepOne(&conf.Tokens[i], log))
	}
	return list
}

func keepOne(t *config.Token, log *zap.Logger) *kept {
	k := &kept{conf: t, places: make([]place, 0, len(t.Publish))}
	sinks := make(daemon.Sinks, 0, len(t.Publish))
	for _, p := range t.Publish {
		var made place = &file.Sink{Path: absolute(p.File), Format: p.Format, Mode: p.Mode, Owner: p.Owner, Group: p.Group}
		if p.Directory != "" {
			made = &directory.Sink{Path: absolute(p.Directory), Name: t.Name, Files: p.Files, Mode: p.Mode, Owner: p.Owner, Group: p.Group}
		}
		k.places = append(k.places, made)
		sinks = append(sinks, made)
	}
	var sink daemon.Sink = sinks
	if len(sinks) == 1 {
		sink = sinks[0]
	}
	back, rereads := t.Source.(daemon.Rereader)
	k.Keeper = &daemon.Keeper{
		Name: t.Name, Source: t.Source, Sink: sink, Policy: t.Policy, Check: t.Check, Timeout: t.Timeout,
		Fingerprint: t.SourceFingerprint, Distrust: rereads && back.Rereads() != "", Log: log.Named("token." + t.Name),
	}
	return k
}

// sweep removes what killed processes left beside the published files.
func sweep(list []*kept) {
	var sinks []*file.Sink
	for _, k := range list {
		for _, p := range k.places {
			if s, ok := p.(*file.Sink); ok {
				sinks = append(sinks, s)
			}
		}
	}
	file.Sweep(sinks)
}

// paths returns the published paths that readers use.
func (k *kept) paths() (paths []string) {
	for _, p := range k.places {
		paths = append(paths, p.Paths()...)
	}
	return paths
}

// inputs returns the files that the source reads.
func (k *kept) inputs() []string {
	if in, ok := k.Source.(daemon.Inputs); ok {
		return in.Inputs()
	}
	return nil
}

// publishes reports whether path leads to one of the published files, by whatever way.
func (k *kept) publishes(path string) bool {
	info, err := os.Stat(path)
	return err == nil && slices.ContainsFunc(k.paths(), func(own string) bool {
		other, err := os.Stat(own)
		return err == nil && os.SameFile(info, other)
	})
}

// describe says what can be known of a token from its configuration, the disk and the clock alone.
func (k *kept) describe(now time.Time) status.Token {
	_, record, err := k.Sink.Read(context.Background())
	t := status.Token{
		Name: k.Name, Source: k.conf.Kind,
		Valid:     err == nil && (record.ExpiresAt.IsZero() || record.ExpiresAt.After(now)),
		IssuedAt:  record.IssuedAt,
		ExpiresAt: record.ExpiresAt,
	}
	for _, p := range k.conf.Publish {
		path := p.File
		if path == "" {
			path = p.Directory
		}
		t.Files = append(t.Files, status.File{Path: path, Mode: fmt.Sprintf("0%o", p.Mode), Format: p.FormatName})
	}
	if err != nil {
		t.LastError, t.LastErrorClass, t.Hint = err.Error(), string(daemon.ClassOf(err)), daemon.HintOf(err)
	}
	if !record.IssuedAt.IsZero() {
		life := lifeOf(record)
		w := k.Policy.Window(life)
		t.WindowStart, t.WindowEnd = w.Start, w.End
		t.Guarantee = k.Policy.Promise(life).Seconds()
		t.TokenDigest = status.DigestOf(record.Token)
	}
	return t
}

// errno names what the kernel said, for the metric.
func errno(err error) string {
	if n, ok := errors.AsType[syscall.Errno](err); ok {
		return unix.ErrnoName(n)
	}
	return "other"
}
