// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package file

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/sink/internal/sample"
)

// text is a format that can be read back.
type text struct{}

func (text) Encode(t daemon.Token) ([]byte, error) { return []byte(t.Value.Reveal()), nil }
func (text) Decode(b []byte) (daemon.Token, error) {
	return daemon.Token{Value: daemon.NewSecret(string(b))}, nil
}

// opaque is a format that cannot.
type opaque func(t daemon.Token) ([]byte, error)

func (f opaque) Encode(t daemon.Token) ([]byte, error) { return f(t) }

func sink(path string) *Sink { return &Sink{Path: path, Format: text{}, Owner: -1, Group: -1} }

func TestReadReturnsWhatWriteWrote(t *testing.T) {
	dir := sample.Dir(t)
	s := sink(filepath.Join(dir, "token"))
	tok, r := sample.Token(1)
	tok.IssuedAt = tok.IssuedAt.In(time.FixedZone("", 3600))
	r.IssuedAt = tok.IssuedAt
	if err := s.Write(t.Context(), tok, r); err != nil {
		t.Fatal(err)
	}
	got, rec, err := sink(s.Path).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Value.Equal(tok.Value) || got.Type != "Bearer" || !got.IssuedAt.Equal(tok.IssuedAt) || !got.ExpiresAt.Equal(tok.ExpiresAt) {
		t.Errorf("token differs: %v from %v to %v", got, got.IssuedAt, got.ExpiresAt)
	}
	sum := sha256.Sum256([]byte(tok.Value.Reveal()))
	if rec.Token != tok.Digest() || rec.File != hex.EncodeToString(sum[:]) || rec.Draw != 0.25 || !rec.First || rec.Fingerprint != "f1" {
		t.Errorf("record differs: %+v", rec)
	}
	if names := sample.List(t, dir); !slices.Equal(names, []string{".token.renewd", "token"}) {
		t.Errorf("directory holds %q", names)
	}
	record, err := os.ReadFile(filepath.Join(dir, ".token.renewd"))
	if err != nil || bytes.Contains(record, []byte(tok.Value.Reveal())) {
		t.Errorf("the record holds the token, or cannot be read: %v", err)
	}
	if paths := s.Paths(); !slices.Equal(paths, []string{s.Path}) {
		t.Errorf("paths %q", paths)
	}
}

func TestReadWithoutDecoderReturnsTimesOnly(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "token"))
	s.Format = opaque(text{}.Encode)
	sample.Publish(t, s, 1)
	got, rec, err := s.Read(t.Context())
	want, _ := sample.Token(1)
	if err != nil || !got.Value.IsZero() || !got.ExpiresAt.Equal(want.ExpiresAt) || rec.Token != want.Digest() {
		t.Errorf("got %v until %v, record %+v, error %v", got, got.ExpiresAt, rec, err)
	}
}

// A reader in a tight loop finds a whole token at any moment, and so does Read.
func TestReaderSeesOnlyWholeTokens(t *testing.T) {
	// On a busy machine fewer replacements must do, but the reader must have seen some of them.
	const replacements, atLeast, atLeastSeen, budget = 20_000, 1000, 20, time.Second
	s := sink(filepath.Join(sample.Dir(t), "token"))
	sample.Publish(t, s, 0)
	var done atomic.Bool
	var reads int
	var distinct atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for last := ""; !done.Load(); reads++ {
			data, err := os.ReadFile(s.Path)
			if err != nil || !sample.Whole(data) {
				t.Errorf("a reader saw %d bytes, error %v", len(data), err)
				return
			}
			if string(data) != last {
				last = string(data)
				distinct.Add(1)
			}
		}
	})
	n := 0
	for start := time.Now(); n < replacements && (n < atLeast || distinct.Load() < atLeastSeen || time.Since(start) < budget); n++ {
		sample.Publish(t, s, n+1)
	}
	done.Store(true)
	wg.Wait()
	if distinct.Load() < atLeastSeen {
		t.Errorf("only %d replacements, of which %d reads saw %d: this proves little", n, reads, distinct.Load())
	}
}

func TestModeWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0o077, 0o000} {
		for _, mode := range []fs.FileMode{0, 0o600, 0o640, 0o644} {
			t.Run(fmt.Sprintf("umask %03o mode %03o", umask, mode), func(t *testing.T) {
				s := sink(filepath.Join(sample.Dir(t), "token"))
				s.Mode = mode
				defer syscall.Umask(syscall.Umask(umask))
				sample.Publish(t, s, 1)
				want := mode
				if want == 0 {
					want = 0o600
				}
				for _, path := range []string{s.Path, filepath.Join(filepath.Dir(s.Path), ".token.renewd")} {
					if info, err := os.Stat(path); err != nil || info.Mode() != want {
						t.Errorf("%s: mode %v, error %v", path, info.Mode(), err)
					}
				}
			})
		}
	}
}

func TestOwnerOfFileAndRecord(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "token"))
	s.Owner, s.Group = os.Getuid(), os.Getgid()
	if s.Owner == 0 {
		s.Owner, s.Group = 1234, 2345
	}
	sample.Publish(t, s, 1)
	for _, path := range []string{s.Path, filepath.Join(filepath.Dir(s.Path), ".token.renewd")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); int(stat.Uid) != s.Owner || int(stat.Gid) != s.Group {
			t.Errorf("%s belongs to %d:%d", path, stat.Uid, stat.Gid)
		}
	}
	if _, _, err := s.Read(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEqualBytesAreNotWritten(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "token"))
	record := filepath.Join(filepath.Dir(s.Path), ".token.renewd")
	sample.Publish(t, s, 1)
	file, rec := identity(t, s.Path), identity(t, record)
	sample.Publish(t, s, 1)
	if identity(t, s.Path) != file || identity(t, record) != rec {
		t.Error("the same token was written again")
	}

	tok, r := sample.Token(1)
	r.Draw = 0.75
	if err := s.Write(t.Context(), tok, r); err != nil {
		t.Fatal(err)
	}
	if identity(t, s.Path) != file {
		t.Error("the file was written again for another draw")
	}
	if _, r, err := s.Read(t.Context()); err != nil || r.Draw != 0.75 {
		t.Errorf("draw %v, error %v", r.Draw, err)
	}
}

// identity returns what changes when a file is written, in place or by replacement.
func identity(t *testing.T, path string) [2]int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return [2]int64{int64(info.Sys().(*syscall.Stat_t).Ino), info.ModTime().UnixNano()}
}

// What happens to a published file is seen by Read, and put right by the next Write of the same token.
func TestDamageIsSeenAndHealed(t *testing.T) {
	record := func(path string) string { return filepath.Join(filepath.Dir(path), ".token.renewd") }
	for _, c := range []struct {
		name    string
		damage  func(path string) error
		says    string
		missing bool
		trusted bool // the token is still the right one
	}{
		{"deleted", os.Remove, "does not exist", true, false},
		{"truncated", func(p string) error { return os.Truncate(p, 10) }, "does not match its record", false, false},
		{"emptied", func(p string) error { return os.Truncate(p, 0) }, "does not match its record", false, false},
		{"altered", func(p string) error { return os.WriteFile(p, []byte("forged"), 0o600) }, "does not match its record", false, false},
		{"huge", func(p string) error { return os.Truncate(p, 2<<20) }, "larger than 1 MiB", false, false},
		{"mode", func(p string) error { return os.Chmod(p, 0o644) }, "it has mode 0644 instead of 0600", false, true},
		{"record deleted", func(p string) error { return os.Remove(record(p)) }, "no record beside it", false, false},
		{"record torn", func(p string) error { return os.Truncate(record(p), 20) }, "no record beside it", false, false},
		{"record of a later version", func(p string) error {
			return os.WriteFile(record(p), []byte(`{"version":2}`), 0o600)
		}, "no record beside it", false, false},
		{"record's mode", func(p string) error { return os.Chmod(record(p), 0o666) }, "its record has mode 0666", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sink(filepath.Join(sample.Dir(t), "token"))
			sample.Publish(t, s, 0)
			sample.Publish(t, s, 1)
			if err := c.damage(s.Path); err != nil {
				t.Fatal(err)
			}
			want, _ := sample.Token(1)
			tok, _, err := s.Read(t.Context())
			sample.WantFailure(t, err, c.says)
			if errors.Is(err, fs.ErrNotExist) != c.missing || tok.Value.Equal(want.Value) != c.trusted || tok.Value.IsZero() == c.trusted {
				t.Errorf("token %v, error %v", tok, err)
			}
			sample.Publish(t, s, 1)
			if tok, _, err := s.Read(t.Context()); err != nil || !tok.Value.Equal(want.Value) {
				t.Errorf("after healing: token %v, error %v", tok, err)
			}
		})
	}
}

// A process killed between record and file leaves the old file beside a record of both.
func TestRecordDescribesTheFileItReplaces(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "token"))
	sample.Publish(t, s, 1)
	old, err := os.ReadFile(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	sample.Publish(t, s, 2)
	put := func() {
		if err := os.WriteFile(s.Path, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put()
	want, _ := sample.Token(1)
	if tok, r, err := s.Read(t.Context()); err != nil || !tok.Value.Equal(want.Value) || r.Token != want.Digest() {
		t.Errorf("token %v, record %+v, error %v", tok, r, err)
	}
	sample.Publish(t, s, 3)
	put()
	if tok, _, err := s.Read(t.Context()); err != nil || !tok.Value.Equal(want.Value) {
		t.Errorf("the entry of the file that was there was lost: token %v, error %v", tok, err)
	}
}

func TestFormatThatCannotBePublished(t *testing.T) {
	unfit := errors.New("does not fit")
	for _, c := range []struct {
		name, says string
		format     opaque
	}{
		{"empty", "no bytes", func(daemon.Token) ([]byte, error) { return nil, nil }},
		{"too large", "more than 1 MiB", func(daemon.Token) ([]byte, error) { return make([]byte, 1<<20+1), nil }},
		{"error", "does not fit", func(daemon.Token) ([]byte, error) { return nil, unfit }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sink(filepath.Join(sample.Dir(t), "token"))
			sample.Publish(t, s, 1)
			before := identity(t, s.Path)
			s.Format = c.format
			tok, r := sample.Token(2)
			err := s.Write(t.Context(), tok, r)
			if err == nil || daemon.ClassOf(err) != daemon.ClassWrite || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			if c.name == "error" && !errors.Is(err, unfit) {
				t.Error("the format's error is not wrapped")
			}
			if identity(t, s.Path) != before {
				t.Error("the file was touched")
			}
		})
	}
}

func TestReadOfAnotherFormatYieldsNoToken(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "token"))
	s.Format = opaque(func(t daemon.Token) ([]byte, error) { return []byte("X=" + t.Value.Reveal()), nil })
	sample.Publish(t, s, 1)
	s.Format = text{}
	tok, _, err := s.Read(t.Context())
	sample.WantFailure(t, err, "does not match its record")
	if !tok.Value.IsZero() {
		t.Error("a token was made up")
	}
}

func TestLeftoversOfOursAreRemovedAndNothingElse(t *testing.T) {
	const ours, mine = ".token.renewd-tmp-0123456789abcdef", "mine"
	foreign := []string{
		".other.renewd-tmp-0123456789abcdef", ".token.renewd-tmp-0123456789abcdeg", ".token.renewd-tmp-0123456789abcdef0",
		".token.renewd-tmp-", ".token.swp", "token.renewd-tmp-0123456789abcdef", ".token.renewd-tmp-x.renewd-tmp-0123456789abcdef",
	}
	dir := sample.Dir(t)
	s := sink(filepath.Join(dir, "token"))
	sample.Publish(t, s, 1)
	for _, name := range slices.Concat(foreign, []string{ours, mine}) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".token.renewd-tmp-00000000000000aa"), 0o700); err != nil {
		t.Fatal(err)
	}
	all := sample.List(t, dir)
	sample.Publish(t, sink(s.Path), 1)
	if _, _, err := sink(s.Path).Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := sample.List(t, dir); !slices.Equal(got, all) {
		t.Errorf("publishing and reading left %q, want %q: what lies there may be another process's", got, all)
	}
	want := slices.DeleteFunc(all, func(n string) bool { return n == ours })
	Sweep([]*Sink{s, sink(filepath.Join(dir, "another")), sink(filepath.Join(dir, "missing", "token"))})
	if got := sample.List(t, dir); !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(n string) bool { return n == "token" || n == ".token.renewd" })
	if got := sample.List(t, dir); !slices.Equal(got, want) {
		t.Errorf("Remove left %q, want %q", got, want)
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Errorf("a second Remove: %v", err)
	}
}

func TestRemoveLeavesAFileOfSomebodyElse(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "token"))
	sample.Publish(t, s, 1)
	if err := os.WriteFile(s.Path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	sample.WantFailure(t, s.Remove(t.Context()), "does not match its record")
	if data, err := os.ReadFile(s.Path); err != nil || string(data) != "theirs" {
		t.Errorf("%q, %v", data, err)
	}
}

// A process that starts removes what it takes for leftovers: a live one that loses its temporary file so makes another.
func TestTwoProcessesDoNotCorrupt(t *testing.T) {
	dir := sample.Dir(t)
	path := filepath.Join(dir, "token")
	sample.Publish(t, sink(path), 0)
	var wg sync.WaitGroup
	for writer := range 2 {
		wg.Go(func() {
			for n := range 200 {
				tok, r := sample.Token(writer*1000 + n)
				// A new Sink every time: as if the process had just started.
				if err := sink(path).Write(t.Context(), tok, r); err != nil && !strings.Contains(err.Error(), "taken away") {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	for range 1000 {
		if data, err := os.ReadFile(path); err != nil || !sample.Whole(data) {
			t.Fatalf("a reader saw %d bytes, error %v", len(data), err)
		}
	}
	wg.Wait()
	sample.Publish(t, sink(path), 5000)
	if names := sample.List(t, dir); !slices.Equal(names, []string{".token.renewd", "token"}) {
		t.Errorf("directory holds %q", names)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"current":{"token":"a","file":"b","issuedAt":"2026-01-01T00:00:00Z"},"previous":{"file":"c"}}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"current":null,"previous":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc := parse(data)
		if doc.Version != version && doc != (document{}) {
			t.Errorf("half a document: %+v", doc)
		}
		digest := strings.Repeat("0", 64)
		if r := doc.find(digest); r != nil && r.File != digest {
			t.Errorf("found %+v", r)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	s := sink(filepath.Join(sample.Dir(b), "token"))
	tokens := [2]daemon.Token{}
	records := [2]daemon.Record{}
	for n := range tokens {
		tokens[n], records[n] = sample.Token(n)
	}
	for n := 0; b.Loop(); n++ {
		if err := s.Write(b.Context(), tokens[n%2], records[n%2]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	s := sink(filepath.Join(sample.Dir(b), "token"))
	sample.Publish(b, s, 1)
	for b.Loop() {
		if _, _, err := s.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
