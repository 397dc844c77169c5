// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/config"
	"github.com/renewd/renewd/daemon/notify"
	"github.com/renewd/renewd/daemon/schedule"
	"github.com/renewd/renewd/daemon/sink/directory"
	"github.com/renewd/renewd/daemon/sink/file"
	"github.com/renewd/renewd/daemon/status"
)

// place is a sink and what the command line does with it besides.
type place interface {
	daemon.Sink
	Paths() []string
	Check() error
	Remove(ctx context.Context) error
}

// What a source may be able to do besides. What the daemon itself makes use of is in package daemon: Inputs, Rereader, Remote.

// checkable is implemented by a source that can find what would make an attempt fail, without making one.
type checkable interface {
	// Check reads what an attempt would read, and asks nobody. Its errors are those of the attempt.
	Check() error
}

// lifetime is implemented by a source that decides how long its tokens live.
type lifetime interface {
	// Lifetime returns the life that is configured.
	Lifetime() time.Duration
}

// doubtful is implemented by a source whose configuration may be right and probably is not.
type doubtful interface {
	// Doubts says what is probably not meant, given the absolute paths that the token is published to.
	Doubts(published []string) []string
}

// publicKeys is implemented by a source that signs with a key of its own.
type publicKeys interface {
	// PublicKeys reads the key and returns its public side, one JWK each (RFC 7517 §4); nothing for a shared secret.
	PublicKeys() ([]json.RawMessage, error)
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

// named returns the tokens of these names in the order of the names, or all.
func named(list []*kept, names ...string) ([]*kept, error) {
	if len(names) == 0 {
		return list, nil
	}
	found := make([]*kept, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(list, func(k *kept) bool { return k.Name == name })
		if i < 0 {
			return nil, unknownToken(name)
		}
		found = append(found, list[i])
	}
	return found, nil
}

func unknownToken(name string) error {
	return &exit{code: exitUsage, err: fmt.Errorf("no token is named %.64q", name), help: "`renewd status` lists them"}
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

// note is what consumers of a token are told: everything but the token.
func (k *kept) note(t daemon.Token) notify.Note {
	return notify.Note{Name: k.Name, Path: absolute(k.paths()[0]), IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt, Digest: t.Digest()[:8]}
}

// removeOnExit removes what was published, if the configuration asks for it.
func (k *kept) removeOnExit(log *zap.Logger) {
	if !k.conf.RemoveOnExit {
		return
	}
	for _, p := range k.places {
		if err := p.Remove(context.Background()); err != nil {
			log.Error("published token not removed", zap.String("token", k.Name), zap.Error(err))
		}
	}
}

func lifeOf(r daemon.Record) schedule.Life {
	return schedule.Life{Issued: r.IssuedAt, Expires: r.ExpiresAt, First: r.First}
}
