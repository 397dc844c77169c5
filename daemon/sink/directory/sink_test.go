// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package directory

import (
	"context"
	"encoding/json"
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

// header is a further file.
type header struct{}

func (header) Encode(t daemon.Token) ([]byte, error) {
	return []byte("Bearer " + t.Value.Reveal()), nil
}

func sink(path string) *Sink {
	return &Sink{Path: path, Name: "orders", Files: map[string]daemon.Format{"header": header{}}, Owner: -1, Group: -1}
}

// check fails unless exactly token n is published, in all files.
func check(t testing.TB, s *Sink, n int) {
	t.Helper()
	want, _ := sample.Token(n)
	tok, r, err := s.Read(t.Context())
	if err != nil || !tok.Value.Equal(want.Value) || r.Token != want.Digest() || !tok.ExpiresAt.Equal(want.ExpiresAt) || r.Fingerprint != "f1" {
		t.Errorf("read: token %v, record %+v, error %v", tok, r, err)
	}
	for name, text := range map[string]string{"token": want.Value.Reveal(), "header": "Bearer " + want.Value.Reveal()} {
		if data, err := os.ReadFile(filepath.Join(s.Path, name)); err != nil || string(data) != text {
			t.Errorf("%s: %d bytes, error %v", name, len(data), err)
		}
	}
}

func metaOf(t testing.TB, s *Sink) (m metadata) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.Path, "token.json"))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// generations returns the names in dir that are generations, and the others.
func generations(t testing.TB, dir string) (found, others []string) {
	for _, name := range sample.List(t, dir) {
		if isGeneration(name) {
			found = append(found, name)
		} else {
			others = append(others, name)
		}
	}
	return found, others
}

func inForce(t testing.TB, s *Sink) string {
	t.Helper()
	name, err := os.Readlink(filepath.Join(s.Path, "..data"))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLayout(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "orders"))
	sample.Publish(t, s, 1)
	check(t, s, 1)
	first := inForce(t, s)
	sample.Publish(t, s, 2)
	check(t, s, 2)
	second := inForce(t, s)
	if found, others := generations(t, s.Path); !slices.Contains(found, first) || !slices.Contains(found, second) || len(found) != 2 ||
		!slices.Equal(others, []string{"..data", "header", "token", "token.json"}) {
		t.Errorf("generations %q, others %q", found, others)
	}
	sample.Publish(t, s, 3)
	if found, _ := generations(t, s.Path); slices.Contains(found, first) || !slices.Contains(found, second) || len(found) != 2 {
		t.Errorf("generations %q", found)
	}
	for _, name := range []string{"token", "token.json", "header"} {
		if target, err := os.Readlink(filepath.Join(s.Path, name)); err != nil || target != "..data/"+name {
			t.Errorf("%s -> %q, %v", name, target, err)
		}
	}
	want := []string{filepath.Join(s.Path, "token"), filepath.Join(s.Path, "token.json"), filepath.Join(s.Path, "header")}
	if got := s.Paths(); !slices.Equal(got, want) {
		t.Errorf("paths %q", got)
	}
	record, err := os.ReadFile(filepath.Join(s.Path, inForce(t, s), ".renewd"))
	tok, _ := sample.Token(3)
	if err != nil || strings.Contains(string(record), tok.Value.Reveal()) {
		t.Errorf("the record holds the token, or cannot be read: %v", err)
	}
}

func TestGenerationCountsAcrossRestarts(t *testing.T) {
	path := filepath.Join(sample.Dir(t), "orders")
	for n := range 3 {
		s := sink(path)
		sample.Publish(t, s, n)
		tok, _ := sample.Token(n)
		want := metadata{"Bearer", tok.IssuedAt, tok.ExpiresAt, "orders", int64(n + 1)}
		if got := metaOf(t, s); got != want {
			t.Errorf("token.json is %+v, want %+v", got, want)
		}
	}
}

// A reader finds a whole token at any moment; one that has resolved ..data finds its generation until the second switch
// after that.
func TestReaderSeesOnlyWholeGenerations(t *testing.T) {
	// On a busy machine fewer replacements must do, but the reader must have seen some of them.
	const replacements, atLeast, atLeastSeen, budget = 20_000, 300, 20, time.Second
	s := sink(filepath.Join(sample.Dir(t), "orders"))
	sample.Publish(t, s, 0)
	var begun, ended atomic.Int64
	var done atomic.Bool
	var resolved int
	var distinct atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for last := ""; !done.Load(); resolved++ {
			before := ended.Load()
			target, err := os.Readlink(filepath.Join(s.Path, "..data"))
			if err != nil {
				t.Errorf("..data: %v", err)
				return
			}
			raw, err := os.ReadFile(filepath.Join(s.Path, target, "token"))
			line, err2 := os.ReadFile(filepath.Join(s.Path, target, "header"))
			switch err := errors.Join(err, err2); {
			case err != nil && begun.Load() < before+2, err != nil && !errors.Is(err, fs.ErrNotExist):
				t.Errorf("after %d switches: %v", begun.Load()-before, err)
				return
			case err == nil && (!sample.Whole(raw) || string(line) != "Bearer "+string(raw)):
				t.Errorf("a reader saw %d and %d bytes that do not belong together", len(raw), len(line))
				return
			case target != last:
				last = target
				distinct.Add(1)
			}
			before = ended.Load()
			raw, err = os.ReadFile(filepath.Join(s.Path, "token"))
			if err != nil && begun.Load() < before+2 || err == nil && !sample.Whole(raw) {
				t.Errorf("a reader by name saw %d bytes, error %v", len(raw), err)
				return
			}
		}
	})
	n := 0
	for start := time.Now(); n < replacements && (n < atLeast || distinct.Load() < atLeastSeen || time.Since(start) < budget); n++ {
		begun.Add(1)
		sample.Publish(t, s, n+1)
		ended.Add(1)
	}
	done.Store(true)
	wg.Wait()
	if distinct.Load() < atLeastSeen {
		t.Errorf("only %d replacements, of which %d reads saw %d: this proves little", n, resolved, distinct.Load())
	}
}

func TestModeWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0o077, 0o000} {
		for mode, dirMode := range map[fs.FileMode]fs.FileMode{0: 0o700, 0o600: 0o700, 0o640: 0o750, 0o644: 0o755} {
			t.Run(fmt.Sprintf("umask %03o mode %03o", umask, mode), func(t *testing.T) {
				s := sink(filepath.Join(sample.Dir(t), "orders"))
				s.Mode = mode
				defer syscall.Umask(syscall.Umask(umask))
				sample.Publish(t, s, 1)
				if mode == 0 {
					mode = 0o600
				}
				for name, want := range map[string]fs.FileMode{
					".": fs.ModeDir | dirMode, "..data/.": fs.ModeDir | dirMode, "token": mode, "token.json": mode, "header": mode, "..data/.renewd": mode,
				} {
					if info, err := os.Stat(filepath.Join(s.Path, name)); err != nil || info.Mode() != want {
						t.Errorf("%s: mode %v, error %v", name, info.Mode(), err)
					}
				}
			})
		}
	}
}

func TestOwnerOfAllThatIsMade(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "orders"))
	s.Owner, s.Group = os.Getuid(), os.Getgid()
	if s.Owner == 0 {
		s.Owner, s.Group = 1234, 2345
	}
	sample.Publish(t, s, 1)
	for _, name := range []string{".", "..data/.", "token", "token.json", "header", "..data/.renewd"} {
		info, err := os.Stat(filepath.Join(s.Path, name))
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); int(stat.Uid) != s.Owner || int(stat.Gid) != s.Group {
			t.Errorf("%s belongs to %d:%d", name, stat.Uid, stat.Gid)
		}
	}
	check(t, s, 1)
}

func TestEqualBytesMakeNoGeneration(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "orders"))
	sample.Publish(t, s, 1)
	before := inForce(t, s)
	record := filepath.Join(s.Path, before, ".renewd")
	info, err := os.Stat(record)
	if err != nil {
		t.Fatal(err)
	}
	sample.Publish(t, s, 1)
	if again, err := os.Stat(record); err != nil || !os.SameFile(info, again) || inForce(t, s) != before {
		t.Errorf("the same token was written again, error %v", err)
	}

	tok, r := sample.Token(1)
	r.Draw = 0.75
	if err := s.Write(t.Context(), tok, r); err != nil {
		t.Fatal(err)
	}
	if inForce(t, s) != before {
		t.Error("a generation was made for another draw")
	}
	if _, r, err := s.Read(t.Context()); err != nil || r.Draw != 0.75 {
		t.Errorf("draw %v, error %v", r.Draw, err)
	}
	check(t, s, 1)
}

func TestFormatsAreAddedAndTakenAway(t *testing.T) {
	path := filepath.Join(sample.Dir(t), "orders")
	s := sink(path)
	sample.Publish(t, s, 1)
	if err := errors.Join(os.Symlink("elsewhere", filepath.Join(path, "their-link")), os.Symlink("..data/gone", filepath.Join(path, "gone"))); err != nil {
		t.Fatal(err)
	}

	s = sink(path)
	s.Files = map[string]daemon.Format{"other": header{}}
	if _, _, err := s.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `"other" is missing`) {
		t.Errorf("read before: %v", err)
	}
	sample.Publish(t, s, 1)
	if _, others := generations(t, path); !slices.Equal(others, []string{"..data", "other", "their-link", "token", "token.json"}) {
		t.Errorf("names %q", others)
	}
	if _, _, err := s.Read(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDamageIsSeenAndHealed(t *testing.T) {
	for _, c := range []struct {
		name    string
		damage  func(dir string) error
		says    string
		missing bool
		trusted bool // the token is still the right one
	}{
		{"token deleted", func(d string) error { return os.Remove(d + "/..data/token") }, `"token" is missing`, true, false},
		{"token truncated", func(d string) error { return os.Truncate(d+"/token", 10) }, `"token" does not match`, false, false},
		{"token altered", func(d string) error { return os.WriteFile(d+"/token", []byte("forged"), 0o600) }, `"token" does not match`, false, false},
		{"header altered", func(d string) error { return os.WriteFile(d+"/header", []byte("forged"), 0o600) }, `"header" does not match`, false, true},
		{"token.json emptied", func(d string) error { return os.Truncate(d+"/token.json", 0) }, `"token.json" does not match`, false, true},
		{"mode", func(d string) error { return os.Chmod(d+"/header", 0o644) }, `"header" has mode 0644 instead of 0600`, false, true},
		{"mode of generation", func(d string) error { return os.Chmod(d+"/..data/.", 0o777) }, `has mode 0777 instead of 0700`, false, true},
		{"mode of record", func(d string) error { return os.Chmod(d+"/..data/.renewd", 0o644) }, `its record has mode 0644`, false, true},
		{"record deleted", func(d string) error { return os.Remove(d + "/..data/.renewd") }, "no record beside it", false, false},
		{"record torn", func(d string) error { return os.Truncate(d+"/..data/.renewd", 20) }, "no record beside it", false, false},
		{"link deleted", func(d string) error { return os.Remove(d + "/token") }, `the link "token" is missing`, true, true},
		{"link elsewhere in ..data", func(d string) error {
			return errors.Join(os.Remove(d+"/token"), os.Symlink("..data/header", d+"/token"))
		}, `the link "token" does not match`, false, true},
		{"..data deleted", func(d string) error { return os.Remove(d + "/..data") }, "does not exist", true, false},
		{"generation deleted", func(d string) error {
			name, err := os.Readlink(d + "/..data")
			return errors.Join(err, os.RemoveAll(filepath.Join(d, name)))
		}, "does not exist", true, false},
		{"directory deleted", os.RemoveAll, "does not exist", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sink(filepath.Join(sample.Dir(t), "orders"))
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
			check(t, s, 1)
			if found, _ := generations(t, s.Path); len(found) > 2 {
				t.Errorf("generations %q", found)
			}
		})
	}
}

func TestForeignThingsAreLeftAlone(t *testing.T) {
	dir := sample.Dir(t)
	s := sink(dir)
	foreign := []string{
		"..2026_11_23_04_05_06.1234567890", "..2026_11_23_04_05_06.0123456789abcdeg", "..2026_13_23_04_05_06.0123456789abcdef",
		"2026_11_23_04_05_06.0123456789abcdef", "..data_tmp", "..data_tmp-0", "notes", ".renewd",
	}
	for _, name := range foreign {
		if err := os.MkdirAll(filepath.Join(dir, name, "kept"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// Leftovers of ours: a half-built generation and a temporary link.
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "..2026_11_23_04_05_06.0123456789abcdef", "token"), 0o700),
		os.Symlink("x", filepath.Join(dir, "..data_tmp-0123456789abcdef"))); err != nil {
		t.Fatal(err)
	}
	sample.Publish(t, s, 1)
	sample.Publish(t, s, 2)
	if err := s.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(foreign)
	if got := sample.List(t, dir); !slices.Equal(got, foreign) {
		t.Errorf("left %q, want %q", got, foreign)
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Errorf("a second Remove: %v", err)
	}
	if err := sink(filepath.Join(dir, "no")).Remove(t.Context()); err != nil {
		t.Errorf("Remove without a directory: %v", err)
	}
}

// A generation that another process is building is locked, and no leftover.
func TestLockedGenerationIsLeftAlone(t *testing.T) {
	dir := sample.Dir(t)
	building := filepath.Join(dir, "..2026_11_23_04_05_06.0123456789abcdef")
	if err := os.Mkdir(building, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(building)
	if err != nil {
		t.Fatal(err)
	}
	if locked(f) {
		t.Fatal("locked already")
	}
	sample.Publish(t, sink(dir), 1)
	if _, err := os.Stat(building); err != nil {
		t.Error(err)
	}
	_ = f.Close()
	sample.Publish(t, sink(dir), 1)
	if _, err := os.Stat(building); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

func TestTwoProcessesDoNotCorrupt(t *testing.T) {
	path := filepath.Join(sample.Dir(t), "orders")
	sample.Publish(t, sink(path), 0)
	var wg sync.WaitGroup
	for writer := range 2 {
		wg.Go(func() {
			for n := range 100 {
				tok, r := sample.Token(writer*1000 + n)
				// A new Sink every time: as if the process had just started.
				if err := sink(path).Write(context.Background(), tok, r); err != nil {
					if _, ok := errors.AsType[*daemon.Failure](err); !ok {
						t.Errorf("write: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	sample.Publish(t, sink(path), 5000)
	check(t, sink(path), 5000)
	if found, _ := generations(t, path); len(found) != 2 {
		t.Errorf("generations %q", found)
	}
}

func TestPathsThatCannotBePublishedTo(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(dir string) (*Sink, error)
		says    string
	}{
		{"parent missing", func(dir string) (*Sink, error) { return sink(dir + "/no/orders"), nil }, "does not exist"},
		{"a file", func(dir string) (*Sink, error) {
			return sink(dir + "/f"), os.WriteFile(dir+"/f", nil, 0o600)
		}, "part of its path is not a directory"},
		{"a file for a link", func(dir string) (*Sink, error) {
			return sink(dir), os.WriteFile(dir+"/token", []byte("theirs"), 0o600)
		}, `its "token" is not renewd's`},
		{"a link of theirs", func(dir string) (*Sink, error) {
			return sink(dir), os.Symlink("elsewhere", dir+"/header")
		}, `its "header" is not renewd's`},
		{"..data of the kubelet", func(dir string) (*Sink, error) {
			return sink(dir), os.Symlink("..2026_11_23_04_05_06.1234567890", dir+"/..data")
		}, "its ..data is not renewd's"},
		{"..data a directory", func(dir string) (*Sink, error) {
			return sink(dir), os.Mkdir(dir+"/..data", 0o700)
		}, "its ..data is not renewd's"},
		{"a file named ..data", func(dir string) (*Sink, error) {
			s := sink(dir)
			s.Files = map[string]daemon.Format{"..data": header{}}
			return s, nil
		}, `of the name "..data"`},
		{"a file named token", func(dir string) (*Sink, error) {
			s := sink(dir)
			s.Files = map[string]daemon.Format{"token": header{}}
			return s, nil
		}, `of the name "token"`},
		{"a file with a slash", func(dir string) (*Sink, error) {
			s := sink(dir)
			s.Files = map[string]daemon.Format{"a/b": header{}}
			return s, nil
		}, `of the name "a/b"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := sample.Dir(t)
			s, err := c.prepare(dir)
			if err != nil {
				t.Fatal(err)
			}
			before := sample.List(t, dir)
			tok, r := sample.Token(1)
			sample.WantFailure(t, s.Check(), c.says)
			sample.WantFailure(t, s.Write(t.Context(), tok, r), c.says)
			if after := sample.List(t, dir); !slices.Equal(before, after) {
				t.Errorf("left %q", after)
			}
		})
	}
}

func TestFormatThatCannotBePublished(t *testing.T) {
	s := sink(filepath.Join(sample.Dir(t), "orders"))
	sample.Publish(t, s, 1)
	before := inForce(t, s)
	tok, r := sample.Token(2)
	tok.Value = daemon.Secret{}
	sample.WantFailure(t, s.Write(t.Context(), tok, r), "no bytes")
	if inForce(t, s) != before {
		t.Error("a generation was made")
	}
	check(t, s, 1)
}

func TestCheckLeavesNothing(t *testing.T) {
	parent := sample.Dir(t)
	s := sink(filepath.Join(parent, "orders"))
	if err := s.Check(); err != nil || len(sample.List(t, parent)) != 0 {
		t.Errorf("%v, left %q", err, sample.List(t, parent))
	}
	sample.Publish(t, s, 1)
	before := sample.List(t, s.Path)
	if err := s.Check(); err != nil || !slices.Equal(sample.List(t, s.Path), before) {
		t.Errorf("%v, left %q", err, sample.List(t, s.Path))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"current":{"token":"a","file":"b","issuedAt":"2026-01-01T00:00:00Z"},"files":{"token":"a"},"replaced":"x"}`))
	f.Add([]byte(`{"version":1,"files":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc := parse(data)
		if doc.Version != version && (doc.Files != nil || doc.Replaced != "" || doc.Current != daemon.Record{}) {
			t.Errorf("half a document: %+v", doc)
		}
	})
}

func FuzzIsGeneration(f *testing.F) {
	f.Add("..2026_11_23_04_05_06.0123456789abcdef")
	f.Add("..2026_11_23_04_05_06.1234567890")
	f.Add("..")
	f.Fuzz(func(t *testing.T, name string) {
		if isGeneration(name) && (len(name) != 38 || !strings.HasPrefix(name, "..") || strings.ContainsAny(name[2:], "/\x00") || strings.Contains(name[2:], "..")) {
			t.Errorf("%q counts as ours", name)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	s := sink(filepath.Join(sample.Dir(b), "orders"))
	n := 0
	for b.Loop() {
		n++
		sample.Publish(b, s, n%2)
	}
}
