// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package logpolicy

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

// backupTime is the form of the time in the name of a backup, as lumberjack writes it, in UTC.
const backupTime = "2006-01-02T15-04-05.000"

// backups is the files that one log file was set aside to: "renewd-2026-11-23T18-00-00.000.log", perhaps with ".gz".
// Files whose whole name has no such form are foreign and never touched.
type backups struct {
	dir, prefix, ext string

	mu     sync.Mutex
	cancel context.CancelFunc // of the goroutine that tidies; nil: there is none
	again  bool
	done   chan struct{}
}

// backup is one of them.
type backup struct {
	at         time.Time
	plain, zip bool // which of the two files exist
	size       int64
}

func newBackups(path string) backups {
	ext := filepath.Ext(path)
	return backups{dir: filepath.Dir(path), prefix: strings.TrimSuffix(filepath.Base(path), ext) + "-", ext: ext}
}

// name returns the path of a backup.
func (b *backups) name(at time.Time) string {
	return filepath.Join(b.dir, b.prefix+at.UTC().Format(backupTime)+b.ext)
}

// parse returns the time in a name, and what follows the name of a backup.
func (b *backups) parse(name string) (at time.Time, rest string, ok bool) {
	stamp, found := strings.CutPrefix(name, b.prefix)
	if !found || len(stamp) < len(backupTime) {
		return at, "", false
	}
	at, err := time.Parse(backupTime, stamp[:len(backupTime)])
	rest, found = strings.CutPrefix(stamp[len(backupTime):], b.ext)
	return at, rest, found && err == nil && at.Format(backupTime) == stamp[:len(backupTime)] // Parse also takes a comma
}

// isBackupEnd reports whether what follows the name of a backup makes another state of it: compressed, or about to be.
func isBackupEnd(rest string) bool { return rest == "" || rest == ".gz" || rest == ".gz.tmp" }

// hasBeside reports whether other is what the log file of a path has beside it: its lock, or a backup in any state.
func hasBeside(path, other string) bool {
	b := newBackups(path)
	_, rest, ok := b.parse(filepath.Base(other))
	return other == lockOf(path) || filepath.Dir(other) == b.dir && ok && isBackupEnd(rest)
}

// list returns the backups, the newest first, and the names of temporary files that a crash left.
func (b *backups) list() (list []backup, leftovers []string) {
	entries, _ := os.ReadDir(b.dir) // what cannot be listed is looked at again after the next rotation
	byTime := map[time.Time]*backup{}
	for _, e := range entries {
		at, rest, ok := b.parse(e.Name())
		if !ok || !e.Type().IsRegular() || !isBackupEnd(rest) {
			continue
		}
		if rest == ".gz.tmp" {
			leftovers = append(leftovers, filepath.Join(b.dir, e.Name()))
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue
		}
		if byTime[at] == nil {
			byTime[at] = &backup{at: at}
		}
		one := byTime[at]
		one.plain, one.zip, one.size = one.plain || rest == "", one.zip || rest == ".gz", one.size+info.Size()
	}
	for _, one := range byTime {
		list = append(list, *one)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].at.After(list[j].at) })
	return list, leftovers
}

// newest returns the time of the newest backup, or the zero time.
func (b *backups) newest() time.Time {
	if list, _ := b.list(); len(list) > 0 {
		return list[0].at
	}
	return time.Time{}
}

// awaitFree waits until lumberjack, which names a backup after the present millisecond and overwrites what is there,
// cannot meet another backup. last is the newest.
func (b *backups) awaitFree(last time.Time) {
	const horizon = 20 * time.Millisecond // by then lumberjack has made its name
	for {
		now := time.Now().Truncate(time.Millisecond)
		wait := time.Duration(0)
		if now.Equal(last) {
			wait = time.Millisecond
		}
		for at := now; now.Before(last) && at.Before(now.Add(horizon)); at = at.Add(time.Millisecond) {
			for _, name := range []string{b.name(at), b.name(at) + ".gz"} {
				if _, err := os.Lstat(name); err == nil {
					wait = at.Add(time.Millisecond).Sub(now)
				}
			}
		}
		if wait == 0 {
			return
		}
		time.Sleep(wait)
	}
}

// settle finds the backup that a file became, and renames it if its name does not sort after the one before it.
func (b *backups) settle(info fs.FileInfo, last time.Time) error {
	list, _ := b.list()
	for _, one := range list {
		got, err := os.Lstat(b.name(one.at))
		if err != nil || !os.SameFile(got, info) {
			continue
		}
		if one.at.After(last) {
			return nil
		}
		return os.Rename(b.name(one.at), b.name(last.Add(time.Millisecond)))
	}
	return nil
}

// tidy applies retention and compression in a goroutine of its own, so that lines need not wait for it.
func (b *backups) tidy(settings func() *fileSettings, report func(error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel != nil {
		b.again = true
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.done = cancel, make(chan struct{})
	go func() {
		defer close(b.done)
		for {
			if err := b.retain(ctx, settings()); err != nil && ctx.Err() == nil {
				report(err)
			}
			b.mu.Lock()
			if !b.again || ctx.Err() != nil {
				b.cancel()
				b.cancel, b.again = nil, false
				b.mu.Unlock()
				return
			}
			b.again = false
			b.mu.Unlock()
		}
	}()
}

// stop ends the goroutine of tidy.
func (b *backups) stop() {
	b.mu.Lock()
	cancel, done := b.cancel, b.done
	b.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

// retain removes what is too many, too old or too much, and then compresses the rest.
func (b *backups) retain(ctx context.Context, s *fileSettings) error {
	list, leftovers := b.list()
	var errs []error
	for _, name := range leftovers {
		errs = append(errs, os.Remove(name))
	}
	total, r := int64(0), s.rotate
	for i, one := range list {
		if total += one.size; i >= int(r.Keep) || r.MaxAge > 0 && time.Since(one.at) > time.Duration(r.MaxAge) || total > int64(r.MaxTotal) {
			errs = append(errs, b.remove(one.at, one.plain, one.zip))
			total -= one.size
			r.Keep = keep(min(int(r.Keep), i)) // what is older goes too
			continue
		}
		switch {
		case one.plain && one.zip: // the .gz is whole, since it is renamed into place
			errs = append(errs, b.remove(one.at, true, false))
		case one.plain && r.Compress:
			errs = append(errs, b.compress(ctx, b.name(one.at), s.mode))
		}
	}
	return errors.Join(errs...)
}

func (b *backups) remove(at time.Time, plain, zip bool) error {
	var errs []error
	if plain {
		errs = append(errs, os.Remove(b.name(at)))
	}
	if zip {
		errs = append(errs, os.Remove(b.name(at)+".gz"))
	}
	return errors.Join(errs...)
}

// compress replaces a backup by its .gz: write a temporary file, fsync, rename, fsync the directory, remove the original.
func (b *backups) compress(ctx context.Context, name string, perm mode) (err error) {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	temporary := name + ".gz.tmp"
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary)
		}
	}()
	zip := gzip.NewWriter(out)
	_, err = io.Copy(zip, whileRunning{ctx, in})
	err = errors.Join(err, zip.Close(), out.Chmod(fs.FileMode(perm)), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(temporary, name+".gz")
	}
	if err == nil {
		err = syncDir(b.dir)
	}
	if err != nil {
		return err
	}
	return os.Remove(name)
}

// whileRunning reads until ctx ends.
type whileRunning struct {
	ctx context.Context
	in  io.Reader
}

// Read implements io.Reader.
func (r whileRunning) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
