// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/renewd/renewd/daemon/command"
)

// documents returns the paths of what users read: at the root, and below docs.
func documents(t *testing.T) []string {
	names, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("docs", func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".md") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// document is a Markdown file, taken apart.
type document struct {
	prose  string // without the fenced blocks
	fences []fence
}

type fence struct{ language, text string }

func readDocument(t *testing.T, name string) document {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^( *)```([a-z]*)\n(.*?)^ *```$\n?")
	var d document
	for _, m := range blocks.FindAllStringSubmatch(string(data), -1) {
		d.fences = append(d.fences, fence{m[2], m[3]})
	}
	d.prose = blocks.ReplaceAllString(string(data), "")
	return d
}

// links returns the targets of the links and pictures.
func (d document) links() (targets []string) {
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(d.prose, -1) {
		targets = append(targets, m[1])
	}
	return targets
}

// headings returns what begins each heading, and the names that links call them by.
func (d document) headings() (levels, anchors []string) {
	punctuation := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range regexp.MustCompile(`(?m)^(#+) (.*)$`).FindAllStringSubmatch(d.prose, -1) {
		levels = append(levels, m[1])
		anchors = append(anchors, strings.ReplaceAll(punctuation.ReplaceAllString(strings.ToLower(m[2]), ""), " ", "-"))
	}
	return levels, anchors
}

// TestLinksLeadSomewhere follows every link between the documents, to its heading.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, name := range documents(t) {
		for _, link := range readDocument(t, name).links() {
			path, anchor, _ := strings.Cut(link, "#")
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", name, link, err)
				continue
			}
			if anchor == "" {
				continue
			}
			if _, anchors := readDocument(t, target).headings(); !slices.Contains(anchors, anchor) {
				t.Errorf("%s links to %s: no such heading among %q", name, link, anchors)
			}
		}
	}
}

// TestMapHasEveryDocument looks for each page of docs in docs/README.md.
func TestMapHasEveryDocument(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := readDocument(t, "docs/README.md").links()
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" && !slices.Contains(links, name) {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
}

// TestDocumentedConfigurationsDecode has renewd read every configuration of the documents, and every piece that is a
// schedule alone.
func TestDocumentedConfigurationsDecode(t *testing.T) {
	const token = "version: 1\ntokens:\n  - name: orders\n    source: {sign: {algorithm: ES256, keyFile: key.pem, ttl: 1h}}\n    publish: [{file: token}]\n"
	found := 0
	for _, name := range documents(t) {
		for _, f := range readDocument(t, name).fences {
			text := f.text
			switch {
			case f.language != "yaml":
				continue
			case strings.HasPrefix(text, "refresh:"):
				text = token + regexp.MustCompile(`(?m)^`).ReplaceAllString(strings.TrimSpace(text), "    ") + "\n"
			case !strings.HasPrefix(text, "version: 1\ntokens:"):
				continue
			}
			found++
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			if code := command.Main([]string{"plan", "--config", path}, &stdout, &stderr); code != 0 {
				t.Errorf("%s shows a configuration that ends with %d:\n%s%s", name, code, text, stderr.String())
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d configurations found in the documents", found)
	}
}

// TestGuaranteesHaveTheirTests looks for every test and script that docs/security.md names.
func TestGuaranteesHaveTheirTests(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, "_test.go") {
			data, err := os.ReadFile(name)
			code.Write(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(readDocument(t, "docs/security.md").prose, "\n## What is guaranteed")
	section, _, _ = strings.Cut(section, "\n## ")
	for guarantee := range strings.SplitSeq(section, "\n- ") {
		names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+|[a-z]+\\.txtar)`").FindAllStringSubmatch(guarantee, -1)
		if len(names) == 0 && !strings.Contains(guarantee, "a test checks that each of them exists") {
			t.Errorf("no test is named for: %s", guarantee)
		}
		for _, m := range names {
			_, missing := os.Stat("testdata/script/" + m[1])
			if !strings.Contains(code.String(), "\nfunc "+m[1]+"(") && missing != nil {
				t.Errorf("docs/security.md names %s, which does not exist", m[1])
			}
		}
	}
}

// TestKoreanReadmeIsInStep compares what does not depend on the language: headings, blocks, links, commands, rows.
func TestKoreanReadmeIsInStep(t *testing.T) {
	english, korean := readDocument(t, "README.md"), readDocument(t, "README.ko.md")
	comment := regexp.MustCompile(`(?m)\s*# .*$`)
	without := func(d document, own string) (fences []fence, links []string) {
		for _, f := range d.fences {
			fences = append(fences, fence{f.language, comment.ReplaceAllString(f.text, "")})
		}
		for _, link := range d.links() {
			if link != own {
				links = append(links, link)
			}
		}
		slices.Sort(links) // another language has another order of words
		return fences, links
	}
	fences, links := without(english, "README.ko.md")
	koreanFences, koreanLinks := without(korean, "README.md")
	if !slices.Equal(fences, koreanFences) {
		t.Errorf("the blocks differ:\n%q\n%q", fences, koreanFences)
	}
	if links = slices.Compact(links); !slices.Equal(links, slices.Compact(koreanLinks)) {
		t.Errorf("the links differ:\n%q\n%q", links, koreanLinks)
	}
	levels, _ := english.headings()
	koreanLevels, _ := korean.headings()
	if !slices.Equal(levels, koreanLevels) {
		t.Errorf("headings are of the levels %q, in Korean %q", levels, koreanLevels)
	}
	code := func(d document) []string {
		found := regexp.MustCompile("`[^`\n]+`").FindAllString(d.prose, -1)
		slices.Sort(found)
		return slices.Compact(found)
	}
	if a, b := code(english), code(korean); !slices.Equal(a, b) {
		t.Errorf("what stands in code: %q\nin Korean: %q", a, b)
	}
	for what, pattern := range map[string]string{"rows of tables": `(?m)^\|`, "points of lists": `(?m)^- `, "pictures": `!\[[^\]]`} {
		count := func(d document) int { return len(regexp.MustCompile(pattern).FindAllString(d.prose, -1)) }
		if a, b := count(english), count(korean); a != b {
			t.Errorf("%d %s, in Korean %d", a, what, b)
		}
	}
}
