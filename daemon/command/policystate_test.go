// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/renewd/renewd/watcher"
)

// If the loop that looks at files hangs, the time of the last check stands still, /livez?check=policy fails after three
// intervals, and nothing else does: the process is alive and tokens go on.
func TestAHangingWatcherIsSeen(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := put("secret", strings.Repeat("k", 64))
	conf := put("config.yaml", "version: 1\ntokens: [{name: orders, source: {sign: {algorithm: HS256, keyFile: "+secret+"}}, publish: [{file: "+dir+"/token}]}]\n")
	put("log-policy.yaml", "version: 1\n")
	a := &app{stdout: io.Discard, stderr: io.Discard}
	a.from.path = conf
	data, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := a.parse(conf, data)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := a.newLogging(&logFlags{poll: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := newService(a, logs)
	s.board.started = time.Now().Add(-time.Hour)
	if err := s.begin(t.Context(), &loaded{parsed, conf}); err != nil {
		t.Fatal(err)
	}
	blocked, gate := make(chan struct{}), make(chan struct{})
	s.watcher.Set(append(s.files(), watcher.File{Path: put("blocker", ""), Changed: func([]byte, error) error {
		close(blocked)
		<-gate
		return nil
	}}))
	ended := make(chan error, 1)
	var group sync.WaitGroup
	group.Go(func() { ended <- s.run() })
	defer group.Wait()
	defer s.fail(context.Canceled)
	defer close(gate)
	last := func() time.Time { return s.board.watch(s.policyPath()).LastCheck }
	<-blocked
	before := last()
	if err := s.check("policy"); err != nil && time.Since(before) < 3*time.Second {
		t.Errorf("too early: %v", err)
	}
	time.Sleep(3*time.Second + 100*time.Millisecond)
	if at := last(); !at.Equal(before) {
		t.Errorf("the last check was at %v, then at %v", before, at)
	}
	if err := s.check("policy"); err == nil || !strings.Contains(err.Error(), "the log policy was last looked at") {
		t.Errorf("/livez?check=policy: %v", err)
	}
	if err := s.server.Live(); err != nil {
		t.Errorf("/livez: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	s.daemon.Refresh("orders")
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "token")); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal("no token: ", err)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("the service ended: %v", err)
	default:
	}
}
