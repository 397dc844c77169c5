// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/renewd/renewd/e2e/internal/program"
)

// The tokens of the crash test: quick is refreshed every 100 ms, so that kills meet it while it is published; slow every
// ten seconds, so that most restarts find it good; steady not at all.
const crashConfig = `version: 1
tokens:
  - name: quick
    source: {sign: {algorithm: ES256, keyFile: DIR/signing.pem, claims: {iss: quick}, ttl: 1s}}
    refresh: {at: 10%, floor: 100ms, spread: false}
    publish: [{file: DIR/files/quick}, {directory: DIR/sets/quick}]
  - name: slow
    source: {sign: {algorithm: ES256, keyFile: DIR/signing.pem, claims: {iss: slow}, ttl: 20s}}
    refresh: {at: 50%, floor: 100ms, spread: false}
    publish: [{file: DIR/files/slow}, {directory: DIR/sets/slow}]
  - name: steady
    source: {sign: {algorithm: ES256, keyFile: DIR/signing.pem, claims: {iss: steady}, ttl: 24h}}
    refresh: {spread: false}
    publish: [{file: DIR/files/steady}, {directory: DIR/sets/steady}]
`

const crashRounds = 60

// TestKill kills the daemon by SIGKILL, again and again, every second time just when a temporary file has appeared.
// Readers in tight loops find every token complete. What is on disk always fits its record, and a restart adopts what is
// not due instead of signing anew.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"files", "sets"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := &crash{dir: dir, key: newKey(t, dir), config: strings.ReplaceAll(crashConfig, "DIR", dir)}
	first := c.start(t, 0)
	c.follow(t)
	steady := read(t, c.file("steady"))
	c.kill(t, first, 0)
	for round := 1; round <= crashRounds && !t.Failed(); round++ {
		adoptable := c.adoptable(t)
		p := c.start(t, round)
		for name, due := range adoptable {
			first, at := firstOutcome(p.Log(), name)
			switch {
			case first != "token adopted" && at.Before(due):
				t.Errorf("round %d: %s was not due, and the restart made of it: %q", round, name, first)
			case first == "token adopted" && name == "slow":
				c.adopted++
			}
		}
		c.refreshes(t, 2)
		c.kill(t, p, round)
	}
	p := c.start(t, crashRounds+1)
	c.refreshes(t, 2)
	eventually(t, func() error { return c.tidy() })
	stop(t, p)
	if err := c.tidy(); err != nil {
		t.Error(err)
	}
	if read(t, c.file("steady")) != steady {
		t.Error("the token that was never due was signed anew")
	}
	c.stopReading()
	t.Logf("%d kills, %d of them left a temporary file; %d adoptions of slow; %d tokens read from the file, %d from the directory, in %d reads",
		c.kills, c.hits, c.adopted, c.seen[0].Load(), c.seen[1].Load(), c.reads.Load())
	if c.hits == 0 {
		t.Error("no kill met a write in hand: the test shows nothing")
	}
	if c.adopted == 0 {
		t.Error("no restart found a token of limited life that was not due: the test shows nothing")
	}
}

// crash is the daemon that is killed, and its readers.
type crash struct {
	dir, config string
	key         program.Key
	kills       int
	hits        int // kills that left a temporary file
	adopted     int // adoptions of the token slow

	stopReading func()
	seen        [2]atomic.Int64 // different tokens that each reader has seen
	reads       atomic.Int64
}

func (c *crash) file(name string) string { return filepath.Join(c.dir, "files", name) }
func (c *crash) set(name string) string  { return filepath.Join(c.dir, "sets", name) }

// start starts the daemon and waits until it has said what became of each token.
func (c *crash) start(t *testing.T, round int) *program.Process {
	t.Helper()
	path := write(t, c.dir, "config.yaml", c.config)
	log := filepath.Join(c.dir, fmt.Sprintf("log-%d", round))
	p, err := program.Start(command("run", "--log-level", "INFO", "--config", path), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	eventually(t, func() error {
		for _, name := range []string{"quick", "slow", "steady"} {
			if first, _ := firstOutcome(p.Log(), name); first == "" {
				return fmt.Errorf("nothing became of %s:\n%s", name, p.Log())
			}
		}
		return nil
	})
	return p
}

// firstOutcome returns the message and the time of the first log line about a token that tells the outcome of an attempt, or the
// empty text.
func firstOutcome(log, name string) (message string, at time.Time) {
	pattern := regexp.MustCompile(`(?m)^(\S+) .*(token (?:adopted|published|refresh failed)|published token healed) token=` + name + ` `)
	found := pattern.FindStringSubmatch(log)
	if found == nil {
		return "", time.Time{}
	}
	at, err := time.Parse(time.RFC3339, found[1])
	if err != nil {
		return err.Error(), time.Time{}
	}
	return found[2], at
}

// refreshes waits until quick has been refreshed some times.
func (c *crash) refreshes(t *testing.T, times int) {
	t.Helper()
	for range times {
		before := read(t, c.file("quick"))
		eventually(t, func() error {
			if read(t, c.file("quick")) == before {
				return fmt.Errorf("no refresh")
			}
			return nil
		})
	}
}

// kill ends the process without warning: in odd rounds at any time, in even ones as soon as a temporary file is seen, beside
// the file or in the directory.
func (c *crash) kill(t *testing.T, p *program.Process, round int) {
	t.Helper()
	folder, prefix := filepath.Join(c.dir, "files"), ".quick.renewd-tmp-"
	if round%4 == 0 {
		folder, prefix = c.set("quick"), "..data_tmp"
	}
	if round%2 == 1 {
		time.Sleep(rand.N(100 * time.Millisecond))
	}
	for end := time.Now().Add(5 * time.Second); round%2 == 0 && len(temporary(t, folder, prefix)) == 0; {
		if time.Now().After(end) {
			break // the writes are too quick to be seen: killed at any time, too
		}
	}
	p.Kill()
	c.kills++
	left := temporary(t, filepath.Join(c.dir, "files"), ".")
	left = slices.DeleteFunc(left, func(name string) bool { return !strings.Contains(name, ".renewd-tmp-") })
	if generations := temporary(t, c.set("quick"), ".."); len(left) > 0 || len(generations) > 3 {
		c.hits++
	}
}

// temporary returns the names in a folder that begin with a prefix.
func temporary(t *testing.T, folder, prefix string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Error(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// record is what a restarted daemon reads beside a published token.
type record struct {
	Current  entry  `json:"current"`
	Previous *entry `json:"previous"`
}

type entry struct {
	Token     string    `json:"token"`
	File      string    `json:"file"`
	IssuedAt  time.Time `json:"issuedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// adoptable fails the test if a token on disk does not fit its record, and returns those that a restart adopts, each with the
// time until when.
func (c *crash) adoptable(t *testing.T) map[string]time.Time {
	t.Helper()
	until := map[string]time.Time{}
	for _, name := range []string{"quick", "slow", "steady"} {
		beside := c.fits(t, read(t, c.file(name)), filepath.Join(c.dir, "files", "."+name+".renewd"))
		inside := c.fits(t, read(t, filepath.Join(c.set(name), "token")), filepath.Join(c.set(name), "..data", ".renewd"))
		// It is adopted from the file, until it is due within the floor.
		if name != "quick" && beside.Token == inside.Token {
			until[name] = beside.IssuedAt.Add(beside.ExpiresAt.Sub(beside.IssuedAt)/2 - 100*time.Millisecond)
		}
	}
	return until
}

// fits returns the entry of the record that describes the token.
func (c *crash) fits(t *testing.T, token, path string) entry {
	t.Helper()
	var r record
	if err := json.Unmarshal([]byte(read(t, path)), &r); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	sum := sha256.Sum256([]byte(token))
	digest := hex.EncodeToString(sum[:])
	switch {
	case r.Current.Token == digest:
		return r.Current
	case r.Previous != nil && r.Previous.Token == digest:
		return *r.Previous
	}
	t.Errorf("%s describes another token than the one that is published", path)
	return entry{}
}

// follow starts two readers that end with stopReading or with the test.
func (c *crash) follow(t *testing.T) {
	end := make(chan struct{})
	var readers sync.WaitGroup
	c.stopReading = sync.OnceFunc(func() {
		close(end)
		readers.Wait()
	})
	t.Cleanup(c.stopReading)
	for i, one := range []func() (string, error){c.readFile, c.readSet} {
		readers.Go(func() {
			last := ""
			for {
				select {
				case <-end:
					return
				default:
				}
				token, err := one()
				c.reads.Add(1)
				if err == nil && token != last {
					_, err = c.key.Verify(token)
					c.seen[i].Add(1)
				}
				if err != nil {
					t.Errorf("a reader found: %v", err)
					return
				}
				last = token
			}
		})
	}
}

func (c *crash) readFile() (string, error) {
	data, err := os.ReadFile(c.file("quick"))
	return string(data), err
}

// readSet reads the files of one generation, and finds them to belong together. If the machine held it up until that generation was
// gone, it begins anew.
func (c *crash) readSet() (string, error) {
	for {
		generation, err := os.Readlink(filepath.Join(c.set("quick"), "..data"))
		if err != nil {
			return "", err
		}
		token, err := c.readGeneration(filepath.Join(c.set("quick"), generation))
		if !errors.Is(err, fs.ErrNotExist) {
			return token, err
		}
		if now, gone := os.Readlink(filepath.Join(c.set("quick"), "..data")); gone != nil || now == generation {
			return "", err
		}
	}
}

func (c *crash) readGeneration(path string) (string, error) {
	set, err := os.OpenRoot(path)
	if err != nil {
		return "", err
	}
	defer set.Close()
	token, err := set.ReadFile("token")
	if err != nil {
		return "", err
	}
	meta, err := set.ReadFile("token.json")
	if err != nil {
		return "", err
	}
	var told struct {
		ExpiresAt  time.Time `json:"expiresAt"`
		Generation int       `json:"generation"`
	}
	if err := json.Unmarshal(meta, &told); err != nil {
		return "", err
	}
	claims, err := c.key.Verify(string(token))
	if err == nil && (!claims.ExpiresAt.Equal(told.ExpiresAt) || told.Generation < 1) {
		err = fmt.Errorf("token.json tells of another token: %s", meta)
	}
	return string(token), err
}

// tidy returns an error that names what a killed process left behind.
func (c *crash) tidy() error {
	want := []string{".quick.renewd", ".slow.renewd", ".steady.renewd", "quick", "slow", "steady"}
	var got []string
	entries, err := os.ReadDir(filepath.Join(c.dir, "files"))
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("beside the files: %q, %v, want %q", got, err, want)
	}
	for _, name := range []string{"quick", "slow", "steady"} {
		entries, err := os.ReadDir(c.set(name))
		if err != nil {
			return err
		}
		var names []string
		generations := 0
		for _, e := range entries {
			if e.IsDir() {
				generations++
				continue
			}
			names = append(names, e.Name())
		}
		if want := []string{"..data", "token", "token.json"}; !slices.Equal(names, want) || generations > 2 {
			return fmt.Errorf("in the directory %s: %q and %d generations, want %q and at most 2", name, names, generations, want)
		}
	}
	return nil
}
