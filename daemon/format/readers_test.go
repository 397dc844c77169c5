// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package format_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/format"
)

// Every test here gives a file to a program that people use, and looks at what the program made of it.

func put(t *testing.T, name string, f daemon.Format, value string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(encode(t, f, token(value))), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// program runs a program in an environment without proxies, and returns what it printed.
func program(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "no_proxy=*"}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// server asks for credentials and remembers the last ones that it got.
func server(t *testing.T) (url string, authorization func() string) {
	t.Helper()
	got := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" {
			got <- a
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() string {
		select {
		case a := <-got:
			return a
		default:
			return "none"
		}
	}
}

func loopback(options any) {
	*options.(*format.Netrc) = format.Netrc{Host: "127.0.0.1", User: "oauth2"}
}

func basic(user, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func TestCurlReadsHeader(t *testing.T) {
	url, authorization := server(t)
	for _, value := range []string{b64token, `visible!"#$%&'()*,:;<>?@[\]^{|}`} {
		program(t, nil, "curl", "-sSf", "-H", "@"+put(t, "header", build(t, "header", nil), value), url)
		if got := authorization(); got != "Bearer "+value {
			t.Errorf("got %q", got)
		}
	}
}

func TestCurlReadsNetrc(t *testing.T) {
	url, authorization := server(t)
	program(t, nil, "curl", "-sSf", "--netrc-file", put(t, "netrc", build(t, "netrc", loopback), b64token), url)
	if got := authorization(); got != basic("oauth2", b64token) {
		t.Errorf("got %q", got)
	}
}

func TestGitReadsNetrc(t *testing.T) {
	base, authorization := server(t)
	path := put(t, ".netrc", build(t, "netrc", loopback), b64token)
	// The server is no git server: git fails after it has shown its credentials.
	cmd := exec.CommandContext(t.Context(), "git", "ls-remote", base+"/repository.git")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(path), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "no_proxy=*"}
	out, _ := cmd.CombinedOutput()
	if got := authorization(); got != basic("oauth2", b64token) {
		t.Errorf("got %q\n%s", got, out)
	}
}

func TestPythonReadsNetrc(t *testing.T) {
	path := put(t, "netrc", build(t, "netrc", loopback), b64token)
	got := program(t, nil, "python3", "-c", `import netrc, sys; print(*netrc.netrc(sys.argv[1]).authenticators("127.0.0.1")[::2])`, path)
	if want := "oauth2 " + b64token + "\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPythonReadsJSON(t *testing.T) {
	const value = `a"\<>&b`
	for kind, expression := range map[string]string{
		"json":           `d["access_token"], d["token_type"], d["expires_at"]`,
		"execcredential": `d["status"]["token"], d["kind"], d["status"]["expirationTimestamp"]`,
		"dockerconfig":   `base64.b64decode(d["auths"]["registry.example.com:5000"]["auth"]).decode().partition(":")[2]`,
	} {
		path := put(t, kind, build(t, kind, example), value)
		got := program(t, nil, "python3", "-c", "import base64, json, sys; d = json.load(open(sys.argv[1])); print("+expression+")", path)
		if first, _, _ := strings.Cut(got, " "); strings.TrimSuffix(first, "\n") != value {
			t.Errorf("%s: got %q", kind, got)
		}
	}
}

func TestShellsReadEnv(t *testing.T) {
	for _, shell := range []string{"sh", "bash"} {
		for _, value := range []string{b64token, "a!b=~c", "=", "a~", "-n", "00D5!AQ.x"} {
			path := put(t, "env", build(t, "env", example), value)
			if got := program(t, []string{"HOME=/home/test"}, shell, "-c", `. "$0"; printf %s "$API_TOKEN"`, path); got != value {
				t.Errorf("%s: %q became %q", shell, value, got)
			}
		}
	}
}

// An AWS SDK takes the file as the value of a header: what a template writes must be free of line ends of its own.
func TestTemplateIsAHeaderValue(t *testing.T) {
	f := build(t, "template", func(o any) { o.(*format.Template).Text = "Bearer ${value}" })
	base, authorization := server(t)
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(&http.Request{URL: u, Header: http.Header{"Authorization": {encode(t, f, token(b64token))}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if got := authorization(); got != "Bearer "+b64token {
		t.Errorf("got %q", got)
	}
}
