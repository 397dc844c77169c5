// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package file_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/file"
	"github.com/renewd/renewd/daemon/source/internal/contract"
)

const canary = "canary-90cd"

func jwt(payload string) string {
	b := base64.RawURLEncoding
	return b.EncodeToString([]byte(`{"alg":"ES256"}`)) + "." + b.EncodeToString([]byte(payload)) + "." + b.EncodeToString([]byte("sig"))
}

func source(t *testing.T, path, field string) *file.Source {
	t.Helper()
	c := file.Default()
	c.Path, c.Field = path, field
	s, err := file.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestContract(t *testing.T) {
	good := write(t, "opaque-token\n")
	failing := func(class daemon.Class, text, field string) contract.Failing {
		return contract.Failing{Class: class, Source: source(t, write(t, text), field)}
	}
	contract.Test(t, contract.Case{
		Source: source(t, good, ""),
		Inputs: []string{good},
		Failing: map[string]contract.Failing{
			"absent":       {Class: daemon.ClassUnavailable, Source: source(t, good+"-absent", "")},
			"empty":        failing(daemon.ClassUnavailable, "", ""),
			"white space":  failing(daemon.ClassUnavailable, " \r\n\t", ""),
			"expired":      failing(daemon.ClassUnavailable, jwt(`{"exp":1700000000,"sub":"`+canary+`"}`), ""),
			"torn JSON":    failing(daemon.ClassUnavailable, `{"access_token":"`+canary, "access_token"),
			"no JSON":      failing(daemon.ClassMalformed, canary, "access_token"),
			"other member": failing(daemon.ClassMalformed, `{"Access_Token":"`+canary+`"}`, "access_token"),
			"twice":        failing(daemon.ClassMalformed, `{"access_token":"`+canary+`","access_token":"x"}`, "access_token"),
			"no text":      failing(daemon.ClassMalformed, `{"access_token":["`+canary+`"]}`, "access_token"),
			"exp twice":    failing(daemon.ClassMalformed, jwt(`{"exp":1,"exp":2}`), ""),
			"directory":    {Class: daemon.ClassConfig, Source: source(t, filepath.Dir(good), "")},
			"too large":    failing(daemon.ClassConfig, strings.Repeat(canary, 1<<17), ""),
		},
		Secrets: []string{canary},
	})
}

func TestWhiteSpaceAroundIsDropped(t *testing.T) {
	for text, want := range map[string]string{
		"token": "token", "token\n": "token", "\t token \r\n\r\n\v\f": "token", "a b": "a b",
		"token\u00a0": "token\u00a0", // not ASCII: the checks refuse it, nothing is repaired in silence
	} {
		token, err := source(t, write(t, text), "").Token(t.Context())
		if err != nil || token.Value.Reveal() != want {
			t.Errorf("%q: %q, %v", text, token.Value.Reveal(), err)
		}
	}
}

func TestFieldIsAMember(t *testing.T) {
	token, err := source(t, write(t, `{"expires_in":1,"access_token":"abc","expires_at":"2001-01-01T00:00:00Z"}`+"\n"), "access_token").Token(t.Context())
	if err != nil || token.Value.Reveal() != "abc" || !token.ExpiresAt.IsZero() {
		t.Errorf("got %q, %v, %v", token.Value.Reveal(), token.ExpiresAt, err)
	}
}

func TestLifeIsThatOfTheClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour) // so that an earlier iat is after the year 2000
		now := time.Now().Round(0)
		unix := func(d time.Duration) int64 { return now.Add(d).Unix() }
		for name, tt := range map[string]struct {
			text            string
			issued, expires time.Time
			notice          string
		}{
			"opaque":         {"opaque", now, time.Time{}, ""},
			"exp":            {jwt(fmt.Sprintf(`{"exp":%d}`, unix(time.Hour))), now, now.Add(time.Hour), ""},
			"earlier iat":    {jwt(fmt.Sprintf(`{"iat":%d,"exp":%d}`, unix(-time.Hour), unix(time.Hour))), now.Add(-time.Hour), now.Add(time.Hour), ""},
			"iat ahead":      {jwt(fmt.Sprintf(`{"iat":%d,"exp":%d}`, unix(time.Minute), unix(time.Hour))), now, now.Add(time.Hour), ""},
			"iat, no exp":    {jwt(fmt.Sprintf(`{"iat":%d}`, unix(-time.Hour))), now.Add(-time.Hour), time.Time{}, ""},
			"iat no number":  {jwt(fmt.Sprintf(`{"iat":"x","exp":%d}`, unix(time.Hour))), now, now.Add(time.Hour), "iat"},
			"exp far ahead":  {jwt(`{"exp":1e400}`), now, time.Time{}, "ten years"},
			"exp not a date": {jwt(`{"exp":{}}`), now, time.Time{}, "exp is not a number"},
		} {
			token, err := source(t, write(t, tt.text), "").Token(t.Context())
			if err != nil || !token.IssuedAt.Equal(tt.issued) || !token.ExpiresAt.Equal(tt.expires) {
				t.Errorf("%s: %v to %v, %v", name, token.IssuedAt, token.ExpiresAt, err)
			}
			if got := strings.Join(token.Notices, "; "); (tt.notice == "") != (got == "") || !strings.Contains(got, tt.notice) {
				t.Errorf("%s: notices %q", name, got)
			}
		}
	})
}

// The kubelet replaces a projected token by renaming a symbolic link to a new directory over ..data.
func TestReplacedFileIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	generation := func(name, text string) {
		if err := errors.Join(
			os.Mkdir(filepath.Join(dir, name), 0o700),
			os.WriteFile(filepath.Join(dir, name, "token"), []byte(text), 0o600),
			os.Symlink(name, filepath.Join(dir, "..data_tmp")),
			os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")),
		); err != nil {
			t.Fatal(err)
		}
	}
	generation("..1", "first")
	if err := os.Symlink("..data/token", filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	s := source(t, filepath.Join(dir, "token"), "")
	for i, want := range []string{"first", "second"} {
		if i > 0 {
			generation("..2", want)
		}
		token, err := s.Token(t.Context())
		if err != nil || token.Value.Reveal() != want {
			t.Errorf("got %q, %v; want %q", token.Value.Reveal(), err, want)
		}
	}
}

func TestNamedPipeDoesNotHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := source(t, path, "").Token(t.Context()); daemon.ClassOf(err) != daemon.ClassConfig {
		t.Errorf("got %v", err)
	}
}

func TestFailureNamesFileAndRemedy(t *testing.T) {
	path := write(t, jwt(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(-time.Hour).Unix())))
	_, err := source(t, path, "").Token(t.Context())
	if !strings.Contains(fmt.Sprint(err), path) || !strings.Contains(fmt.Sprint(err), "1h0m") || daemon.HintOf(err) == "" {
		t.Errorf("got %v, hint %q", err, daemon.HintOf(err))
	}
}

func TestNewChecksThePath(t *testing.T) {
	for _, path := range []string{"", "a\x00b"} {
		_, err := file.New(file.Config{Path: path})
		if f, ok := errors.AsType[*daemon.FieldError](err); !ok || f.Field != "path" {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestCheckLooksForTheFile(t *testing.T) {
	path := write(t, "")
	if err := source(t, path, "").Check(); err != nil {
		t.Error(err)
	}
	if err := source(t, path+"-absent", "").Check(); !errors.Is(err, fs.ErrNotExist) || daemon.ClassOf(err) != daemon.ClassUnavailable {
		t.Errorf("absent: %v", err)
	}
	if err := source(t, filepath.Dir(path), "").Check(); daemon.ClassOf(err) != daemon.ClassConfig {
		t.Errorf("a directory: %v", err)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"access_token":"abc"}`))
	f.Add([]byte(" opaque \n"))
	f.Add([]byte(jwt(`{"exp":4000000000,"iat":1}`)))
	path := filepath.Join(f.TempDir(), "token")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"", "access_token"} {
			token, err := source(t, path, field).Token(t.Context())
			if err == nil && (token.Value.IsZero() || token.IssuedAt.IsZero()) {
				t.Errorf("%q: %v issued at %v", data, token, token.IssuedAt)
			}
		}
	})
}
