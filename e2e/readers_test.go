// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2/google/externalaccount"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/transport"

	"github.com/renewd/renewd/e2e/internal/program"
)

// The formats that the readers need; the token is refreshed about once a second.
const readersConfig = `version: 1
tokens:
  - name: api
    source: {sign: {algorithm: ES256, keyFile: DIR/signing.pem, claims: {iss: e2e}, ttl: 5s}}
    refresh: {at: 20%, floor: 100ms, spread: false}
    publish:
      - {file: DIR/out/token}
      - {file: DIR/out/header, format: header}
      - {file: DIR/out/token.json, format: json}
      - {file: DIR/out/.netrc, format: {netrc: {host: 127.0.0.1, user: renewd}}}
`

// fresh is how many different tokens each reader has to show.
const fresh = 3

// readers is a daemon that refreshes, and a server that the readers send their token to.
type readers struct {
	dir    string
	key    program.Key
	server *httptest.Server

	mu     sync.Mutex
	seen   map[string]map[string]bool // ids of the tokens that were sent, by the path that they were sent to
	refuse error                      // the first thing that was wrong
}

func TestReaders(t *testing.T) {
	t.Parallel()
	r := &readers{dir: t.TempDir(), seen: map[string]map[string]bool{}}
	if err := os.Mkdir(filepath.Join(r.dir, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.key = newKey(t, r.dir)
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	p := run(t, r.dir, strings.ReplaceAll(readersConfig, "DIR", r.dir))
	exists(t, r.out("token"), r.out("header"), r.out("token.json"), r.out(".netrc"))

	t.Run("client-go", r.clientGo)
	t.Run("google external account, raw", func(t *testing.T) { r.google(t, "/google-raw", "token", externalaccount.Format{}) })
	t.Run("google external account, json", func(t *testing.T) {
		r.google(t, "/google-json", "token.json", externalaccount.Format{Type: "json", SubjectTokenFieldName: "access_token"})
	})
	t.Run("curl", func(t *testing.T) {
		r.again(t, "/curl", func() *exec.Cmd {
			return exec.Command("curl", "--silent", "--show-error", "--fail", "-H", "@"+r.out("header"), r.server.URL+"/curl")
		})
	})
	t.Run("curl by netrc", func(t *testing.T) {
		r.again(t, "/curl-netrc", func() *exec.Cmd {
			return exec.Command("curl", "--silent", "--show-error", "--fail", "--netrc-file", r.out(".netrc"), r.server.URL+"/curl-netrc")
		})
	})
	t.Run("git by netrc", func(t *testing.T) { r.again(t, "/git", r.git) })
	t.Run("git by credential helper", func(t *testing.T) { r.again(t, "/git-helper", r.gitHelper) })
	t.Run("documented", r.documented)
	t.Run("python3 netrc", func(t *testing.T) {
		r.script(t, "/python-netrc", "python3", "-c", pythonNetrc, r.out(".netrc"), r.server.URL+"/python-netrc", fmt.Sprint(fresh))
	})
	stop(t, p)
}

func (r *readers) out(name string) string { return filepath.Join(r.dir, "out", name) }

// ServeHTTP notes the token of a request, which must be whole, of our key and alive. A request without one is answered as
// git and curl expect it.
func (r *readers) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	path, token := q.URL.Path, strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")
	if _, password, ok := q.BasicAuth(); ok {
		token = password
	}
	if subject := q.PostFormValue("subject_token"); subject != "" {
		token = subject
	}
	if token == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="e2e"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	path, _, isGit := strings.Cut(path, "/repository.git/")
	if err := r.note(path, token); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	switch {
	case isGit: // an empty repository, gitprotocol-http(5)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		line := func(text string) { fmt.Fprintf(w, "%04x%s", len(text)+4, text) }
		line("# service=git-upload-pack\n")
		io.WriteString(w, "0000")
		line(strings.Repeat("0", 40) + " capabilities^{}\x00agent=e2e\n")
		io.WriteString(w, "0000")
	case strings.HasPrefix(path, "/google"):
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"exchanged","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`)
	default:
		io.WriteString(w, "ok")
	}
}

func (r *readers) note(path, token string) error {
	claims, err := r.key.Verify(token)
	if err == nil && !claims.ExpiresAt.After(time.Now()) {
		err = fmt.Errorf("expired at %v", claims.ExpiresAt)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.refuse = errors.Join(r.refuse, fmt.Errorf("%s: %w", path, err))
		return err
	}
	if r.seen[path] == nil {
		r.seen[path] = map[string]bool{}
	}
	r.seen[path][claims.ID] = true
	return nil
}

// tokens returns how many different tokens were sent to a path, and what was wrong with any.
func (r *readers) tokens(path string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen[path]), r.refuse
}

// again runs a short-lived reader until it has followed the file through refreshes.
func (r *readers) again(t *testing.T, path string, reader func() *exec.Cmd) {
	eventually(t, func() error {
		if _, err := output(reader()); err != nil {
			t.Fatal(err)
		}
		n, err := r.tokens(path)
		if err == nil && n < fresh {
			err = fmt.Errorf("%d different tokens were sent, want %d", n, fresh)
		}
		return err
	})
}

// script runs a reader that lives through refreshes.
func (r *readers) script(t *testing.T, path, name string, args ...string) {
	if _, err := output(exec.CommandContext(t.Context(), name, args...)); err != nil {
		t.Fatal(err)
	}
	if n, err := r.tokens(path); err != nil || n < fresh {
		t.Errorf("%d different tokens were sent, want %d: %v", n, fresh, err)
	}
}

const pythonNetrc = `
import base64, netrc, sys, time, urllib.request
path, url, want = sys.argv[1], sys.argv[2], int(sys.argv[3])
seen, end = set(), time.time() + 60
while len(seen) < want:
    assert time.time() < end, "the file was not refreshed"
    user, _, token = netrc.netrc(path).authenticators("127.0.0.1")
    if token not in seen:
        basic = base64.b64encode((user + ":" + token).encode()).decode()
        urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": "Basic " + basic})).read()
        seen.add(token)
    time.sleep(0.01)
`

// git lists a repository. Its libcurl reads the netrc of its home.
func (r *readers) git() *exec.Cmd {
	cmd := exec.Command("git", "ls-remote", r.server.URL+"/git/repository.git")
	cmd.Env = append(os.Environ(), "HOME="+filepath.Join(r.dir, "out"), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1")
	return cmd
}

// gitHelper lists a repository with a credential helper that reads the raw file, as gitcredentials(7) shows.
func (r *readers) gitHelper() *exec.Cmd {
	helper := `!f() { echo username=renewd; echo "password=$(cat '` + r.out("token") + `')"; }; f`
	cmd := exec.Command("git", "-c", "credential.helper="+helper, "ls-remote", r.server.URL+"/git-helper/repository.git")
	cmd.Env = append(os.Environ(), "HOME="+r.dir, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1")
	return cmd
}

// google exchanges the file's token as Google's libraries do with workload identity federation. One source keeps its answer
// for an hour; therefore each exchange is made by a new one.
func (r *readers) google(t *testing.T, path, file string, format externalaccount.Format) {
	config := externalaccount.Config{
		Audience:         "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
		SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
		TokenURL:         r.server.URL + path,
		Scopes:           []string{"https://www.googleapis.com/auth/cloud-platform"},
		CredentialSource: &externalaccount.CredentialSource{File: r.out(file), Format: format},
	}
	eventually(t, func() error {
		source, err := externalaccount.NewTokenSource(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Token(); err != nil {
			t.Fatal(err)
		}
		n, err := r.tokens(path)
		if err == nil && n < fresh {
			err = fmt.Errorf("%d different tokens were sent, want %d", n, fresh)
		}
		return err
	})
}

// clientGo sends requests through client-go's transport for a token file. It keeps a token for a minute, less ten seconds:
// that minute passes in a bubble, while the file is refreshed in real time. Waiting in a system call keeps the bubble's
// clock where it is.
func (r *readers) clientGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent string
		wire := roundTripper(func(q *http.Request) (*http.Response, error) {
			sent = strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: q}, nil
		})
		client := &http.Client{Transport: transport.ResettableTokenSourceWrapTransport(transport.NewCachedFileTokenSource(r.out("token")))(wire)}
		ask := func() string {
			answer, err := client.Get("http://kubernetes.example/")
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if _, err := r.key.Verify(sent); err != nil {
				t.Fatal(err)
			}
			return sent
		}
		for last, n := "", 0; n < fresh; n++ {
			token := ask()
			if token == last {
				t.Fatal("client-go still sends the old token")
			}
			refreshed(t, r.out("token"), token)
			if ask() != token {
				t.Error("client-go read the file again within its minute: this test does not show what it should")
			}
			time.Sleep(time.Minute)
			last = token
		}
	})
}

// refreshed waits in real time until the file holds another token, also inside a bubble.
func refreshed(t *testing.T, path, token string) {
	t.Helper()
	for range 6000 {
		if read(t, path) != token {
			return
		}
		if err := unix.Nanosleep(&unix.Timespec{Nsec: 10_000_000}, nil); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
	t.Fatal("the file was not refreshed within a minute")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }
