// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package ticket_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/hostile"
	"github.com/renewd/renewd/daemon/source/internal/ticket"
)

func TestRead(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	dir := t.TempDir()
	living, dead := hostile.JWT(`{"exp":1767323046}`), hostile.JWT(`{"exp":1767323045}`)
	for name, c := range map[string]struct {
		text    string // "-": no file
		want    string
		expires time.Time
		class   daemon.Class
		says    string
	}{
		"opaque":      {text: "abc", want: "abc"},
		"white space": {text: " \tabc\r\n\n", want: "abc"},
		"a JWT":       {text: living + "\n", want: living, expires: now.Add(time.Second)},
		"no exp":      {text: hostile.JWT(`{}`), want: hostile.JWT(`{}`)},
		"exp twice":   {text: hostile.JWT(`{"exp":1,"exp":2}`), want: hostile.JWT(`{"exp":1,"exp":2}`)}, // the server judges
		"expired":     {text: dead, class: daemon.ClassUnavailable, says: "expired at 2026-01-02T03:04:05Z"},
		"empty":       {text: "", class: daemon.ClassUnavailable, says: "is empty"},
		"blank":       {text: " \n", class: daemon.ClassUnavailable, says: "is empty"},
		"absent":      {text: "-", class: daemon.ClassUnavailable, says: "no such file"},
		"too large":   {text: strings.Repeat("x", 2<<20), class: daemon.ClassConfig, says: "larger than"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if c.text != "-" {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := ticket.Read("subject token file", path, now)
		if got.Text.Reveal() != c.want || !got.Expires.Equal(c.expires) {
			t.Errorf("%s: %q until %v", name, got.Text.Reveal(), got.Expires)
		}
		if c.class == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		f, ok := errors.AsType[*daemon.Failure](err)
		if !ok || f.Class != c.class || !strings.Contains(f.Error(), c.says) || !strings.Contains(f.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := ticket.Read("subject token file", filepath.Join(dir, "expired"), time.Time{}); err != nil || got.Text.Reveal() != dead {
		t.Errorf("expired, and nobody asks: %v", err)
	}
}
