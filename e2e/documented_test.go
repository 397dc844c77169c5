// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// snippets are the readers of docs/readers, and what drives each: a program that is called with a token file and a URL. It
// first asks for the token of a file that does not exist, where it must get the error that the reader promises; then it
// sends tokens until it has sent as many different ones as it is told.
var snippets = []struct{ file, fence, driver string }{
	{"reader.py", "python", `
import sys, time
sys.path.insert(0, sys.argv[1])
import reader
path, url, want = sys.argv[2], sys.argv[3], int(sys.argv[4])
try:
    reader.read_token(path + ".absent")
    sys.exit("a file that does not exist has a token")
except FileNotFoundError:
    pass
seen, end = set(), time.time() + 20
while len(seen) < want:
    assert time.time() < end, "the file was not refreshed"
    if reader.read_token(path) not in seen:
        seen.add(reader.read_token(path))
        reader.get(url, path)
    time.sleep(0.01)
`},
	{"reader.js", "js", `
const [dir, path, url, want] = [process.argv[1], process.argv[2], process.argv[3], Number(process.argv[4])];
const {readToken, get} = require(dir + '/reader.js');
(async () => {
  const code = await readToken(path + '.absent').then(() => 'a token', e => e.code);
  if (code !== 'ENOENT') throw new Error('a file that does not exist: ' + code);
  const seen = new Set(), end = Date.now() + 20000;
  while (seen.size < want) {
    if (Date.now() > end) throw new Error('the file was not refreshed');
    const token = await readToken(path);
    if (!seen.has(token)) {
      await get(url, path);
      seen.add(token);
    }
    await new Promise(done => setTimeout(done, 10));
  }
})().catch(e => { console.error(e.message); process.exit(1); });
`},
	{"reader.go", "go", `
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"driver/readers"
)

func main() {
	path, url, want := os.Args[1], os.Args[2], os.Args[3]
	absent := http.Client{Transport: readers.Bearer{Path: path + ".absent", Base: http.DefaultTransport}}
	if _, err := absent.Get(url); !errors.Is(err, fs.ErrNotExist) {
		panic(fmt.Sprint("a file that does not exist: ", err))
	}
	client := http.Client{Transport: readers.Bearer{Path: path, Base: http.DefaultTransport}}
	seen := map[string]bool{}
	for end := time.Now().Add(time.Minute); fmt.Sprint(len(seen)) != want; time.Sleep(10 * time.Millisecond) {
		token, err := os.ReadFile(path)
		if err != nil || time.Now().After(end) {
			panic(fmt.Sprint("the file was not refreshed: ", err))
		}
		if seen[string(token)] {
			continue
		}
		answer, err := client.Get(url)
		if err != nil || answer.StatusCode != http.StatusOK {
			panic(fmt.Sprint(answer, err))
		}
		answer.Body.Close()
		seen[string(token)] = true
	}
}
`},
	{"Reader.java", "java", `
import java.net.URI;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;

class Driver {
    public static void main(String[] args) throws Exception {
        try {
            new Reader(Path.of(args[0] + ".absent")).token();
            throw new AssertionError("a file that does not exist has a token");
        } catch (NoSuchFileException expected) {
        }
        var reader = new Reader(Path.of(args[0]));
        var seen = new HashSet<String>();
        long end = System.nanoTime() + 60_000_000_000L;
        while (seen.size() < Integer.parseInt(args[2])) {
            if (System.nanoTime() > end) throw new AssertionError("the file was not refreshed");
            if (seen.add(reader.token())) reader.get(URI.create(args[1]));
            Thread.sleep(10);
        }
    }
}
`},
	{"reader.sh", "shell", `
. "$1/reader.sh"
if get "$3" "$2.absent" 2>/dev/null; then echo "a file that does not exist has a token" >&2; exit 1; fi
get "$3" "$2"
`},
}

// documented runs the readers that docs/reader-contract.md shows, as they are.
func (r *readers) documented(t *testing.T) {
	dir, err := filepath.Abs("../docs/readers")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range snippets {
		t.Run(s.file, func(t *testing.T) {
			to := "/documented/" + s.file
			rest := []string{r.out("token"), r.server.URL + to, fmt.Sprint(fresh)}
			work := t.TempDir()
			switch s.file {
			case "reader.py":
				r.script(t, to, "python3", append([]string{"-B", "-c", s.driver, dir}, rest...)...)
			case "reader.js":
				r.script(t, to, "node", append([]string{"-e", s.driver, dir}, rest...)...)
			case "reader.go":
				write(t, work, "go.mod", "module driver\n\ngo 1.26\n")
				write(t, work, "main.go", s.driver)
				if err := os.Mkdir(filepath.Join(work, "readers"), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(work, "readers"), "reader.go", read(t, filepath.Join(dir, s.file)))
				build := exec.Command("go", "build", "-o", "driver", ".")
				build.Dir, build.Env = work, append(build.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
				if _, err := output(build); err != nil {
					t.Fatal(err)
				}
				r.script(t, to, filepath.Join(work, "driver"), rest...)
			case "Reader.java":
				driver := write(t, work, "Driver.java", s.driver)
				if _, err := output(exec.Command("javac", "-d", work, driver, filepath.Join(dir, s.file))); err != nil {
					t.Fatal(err)
				}
				r.script(t, to, "java", append([]string{"-cp", work, "Driver"}, rest...)...)
			case "reader.sh":
				r.again(t, to, func() *exec.Cmd {
					return exec.Command("sh", append([]string{"-c", s.driver, "sh", dir}, rest...)...)
				})
			}
		})
	}
}

// TestContractShowsTheReaders compares what docs/reader-contract.md shows with the files that run.
func TestContractShowsTheReaders(t *testing.T) {
	t.Parallel()
	page := read(t, "../docs/reader-contract.md")
	files, err := filepath.Glob("../docs/readers/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(snippets) {
		t.Errorf("docs/readers has %d files, and %d are run", len(files), len(snippets))
	}
	header := regexp.MustCompile(`^(#!.*\n)?(.*SPDX-.*\n)+\n`)
	for _, s := range snippets {
		code := header.ReplaceAllString(read(t, filepath.Join("../docs/readers", s.file)), "")
		if !strings.Contains(page, "```"+s.fence+"\n"+code+"```\n") {
			t.Errorf("docs/reader-contract.md does not show %s as it is", s.file)
		}
	}
}
