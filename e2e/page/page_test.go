// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package page

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

var views = map[string]View{
	"light": {Width: 1040, Height: 760, Scale: 1, Scheme: "light"},
	"dark":  {Width: 1040, Height: 760, Scale: 1, Scheme: "dark"},
	"phone": {Width: 360, Height: 740, Scale: 1, Scheme: "dark"},
}

// start starts a renewd and a browser.
func start(t *testing.T) (*Scene, *Browser) {
	t.Helper()
	scene, err := NewScene(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(scene.Kill)
	browser, err := NewBrowser(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(browser.Close)
	if err := browser.Look(views["light"]); err != nil {
		t.Fatal(err)
	}
	return scene, browser
}

// value returns what an expression comes to.
func value[T any](t *testing.T, b *Browser, expression string) T {
	t.Helper()
	v, err := Value[T](b, expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func until(t *testing.T, b *Browser, expression string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !value[bool](t, b, expression); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s\n%s", expression, value[string](t, b, "document.body.innerText"))
		}
	}
}

// press types keys, wherever the focus is.
func press(t *testing.T, b *Browser, keys string) {
	t.Helper()
	if err := b.Do(chromedp.KeyEvent(keys)); err != nil {
		t.Fatal(err)
	}
}

// calm fails for every error or warning that the browser showed, except those that contain a text.
func calm(t *testing.T, b *Browser, except string) {
	t.Helper()
	for _, fault := range b.Faults() {
		if except == "" || !strings.Contains(fault, except) {
			t.Errorf("the browser says: %s", fault)
		}
	}
}

// accessible lets axe-core look at the page in all views.
func accessible(t *testing.T, b *Browser) {
	t.Helper()
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("%v; run npm ci in e2e/page", err)
	}
	for name, view := range views {
		if err := b.Look(view); err != nil {
			t.Fatal(err)
		}
		found := value[[]string](t, b, string(axe)+`;
			axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) =>
				r.violations.concat(r.incomplete.filter((v) => v.id === "color-contrast"))
					.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.target + ": " + n.failureSummary)))`)
		for _, violation := range found {
			t.Errorf("%s: %s", name, violation)
		}
		if wide := value[int](t, b, "document.documentElement.scrollWidth"); int64(wide) > view.Width {
			t.Errorf("%s: the page is %d pixels wide", name, wide)
		}
	}
	if err := b.Look(views["light"]); err != nil {
		t.Fatal(err)
	}
}

// row is an expression for a text in the row of a token.
func row(name, part string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#list > li")].find((e) => e.querySelector("h3").textContent === %q)?.querySelector(%q)?.textContent ?? ""`, name, part)
}

// TestPage walks through a day of a renewd: each step goes on where the last one ended.
func TestPage(t *testing.T) {
	scene, browser := start(t)
	if err := browser.Open(scene.URL()); err != nil {
		t.Fatal(err)
	}
	until(t, browser, `document.querySelectorAll("#list > li").length === 3`)
	steps := []struct {
		name string
		do   func(*testing.T, *Scene, *Browser)
	}{
		{"all is well", allIsWell},
		{"a token is refreshed", refreshed},
		{"keyboard", keyboard},
		{"an outage and its remedy", outage},
		{"a configuration that is not in force", mistake},
		{"nothing but the script runs", policed},
		{"the daemon is killed", killed},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { step.do(t, scene, browser) }) {
			return
		}
	}
}

func allIsWell(t *testing.T, _ *Scene, b *Browser) {
	for what, want := range map[string]string{
		`document.querySelector("#verdict").textContent`:                            "All 3 tokens are fresh.",
		row("orders", ".badge"):                                                     "fresh",
		row("orders", ".source"):                                                    "source: sign",
		row("billing", ".files"):                                                    "billing/token · 0640 · raw",
		`document.querySelector("#policy").textContent`:                             "in forcewhat is built in",
		`document.querySelector("#legend").textContent.replace(/\s+/g, " ").trim()`: "lived now refresh window next attempt failed attempt kept for readers",
	} {
		if got := value[string](t, b, what); !strings.HasSuffix(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	label := value[string](t, b, `document.querySelector(".track").getAttribute("aria-label")`)
	for _, word := range []string{"Issued ", "refresh window ", "next attempt ", "expires ", "% of the life"} {
		if !strings.Contains(label, word) {
			t.Errorf("the bar says %q, without %q", label, word)
		}
	}
	// Issued 22 minutes ago of 60: the mark of now is where it belongs.
	if here := value[float64](t, b, `parseFloat([...document.querySelectorAll("#list > li")].find((e) => e.textContent.startsWith("stock")).querySelector(".here").style.left)`); here < 36 || here > 40 {
		t.Errorf("now is at %.1f %% of the life, want 37", here)
	}
	accessible(t, b)
	calm(t, b, "")
}

func refreshed(t *testing.T, s *Scene, b *Browser) {
	before := value[string](t, b, row("stock", ".facts"))
	if err := s.Login("stock", time.Minute, time.Hour); err != nil {
		t.Fatal(err)
	}
	digest := before[strings.LastIndex(before, " ")+1:]
	until(t, b, fmt.Sprintf(`!(%s).includes(%q)`, row("stock", ".facts"), digest))
	until(t, b, fmt.Sprintf(`(%s).includes("issued 1 min")`, row("stock", ".times")))
	calm(t, b, "")
}

func keyboard(t *testing.T, s *Scene, b *Browser) {
	focused := `document.activeElement.id`
	press(t, b, "\t")
	if got := value[string](t, b, focused); got != "pause" {
		t.Fatalf("the first key stop is %q", got)
	}
	if outline := value[string](t, b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the focus is not seen: outline %s", outline)
	}
	press(t, b, "\r")
	until(t, b, `document.getElementById("pause").getAttribute("aria-pressed") === "true"`)
	before := value[string](t, b, row("stock", ".facts"))
	if err := s.Login("stock", 2*time.Minute, time.Hour); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second) // longer than from one report to the next
	if after := value[string](t, b, row("stock", ".facts")); after != before {
		t.Errorf("paused, but %q became %q", before, after)
	}
	press(t, b, " ")
	until(t, b, fmt.Sprintf(`(%s).includes("issued 2 min")`, row("stock", ".times")))

	press(t, b, "\t")
	if got := value[string](t, b, focused); got != "filter" {
		t.Fatalf("the second key stop is %q", got)
	}
	press(t, b, "nonesuch")
	until(t, b, `document.querySelector("#empty").textContent === "No token matches the filter." && !document.querySelector("#empty").hidden`)
	press(t, b, "\u001b")
	until(t, b, `document.querySelectorAll("#list > li").length === 3`)
	press(t, b, "sto FRESH")
	until(t, b, `document.querySelectorAll("#list > li").length === 1 && document.querySelector("#count").textContent === "1 of 3 match"`)
	// The next report does not take the focus away.
	time.Sleep(4 * time.Second)
	if got := value[string](t, b, focused); got != "filter" {
		t.Errorf("the focus went to %q", got)
	}
	press(t, b, "\u001b")
	until(t, b, `document.querySelectorAll("#list > li").length === 3`)
	calm(t, b, "")
}

func outage(t *testing.T, s *Scene, b *Browser) {
	if err := s.Logout("billing"); err != nil {
		t.Fatal(err)
	}
	until(t, b, fmt.Sprintf(`(%s) === "failing"`, row("billing", ".badge")))
	if got := value[string](t, b, `document.querySelector("#announce").textContent`); !strings.Contains(got, "billing: failing") {
		t.Errorf("read out: %q", got)
	}
	if got := value[string](t, b, `document.querySelector("#verdict").textContent`); got != "1 of 3 tokens is failing to refresh. Readers still have valid tokens." {
		t.Errorf("verdict %q", got)
	}
	if got := value[string](t, b, row("billing", ".error")); !strings.Contains(got, "unavailable") || !strings.Contains(got, "login/billing.jwt") {
		t.Errorf("error %q", got)
	}
	if got := value[string](t, b, row("billing", ".hint")); !strings.HasPrefix(got, "What to do: ") {
		t.Errorf("hint %q", got)
	}
	if first := value[string](t, b, `document.querySelector("#list h3").textContent`); first != "billing" {
		t.Errorf("%s comes first", first)
	}
	until(t, b, `document.querySelectorAll(".track .fail").length > 1`)
	// Who opens the page now sees those that came before.
	if err := b.Open(s.URL()); err != nil {
		t.Fatal(err)
	}
	until(t, b, `document.querySelectorAll("#list > li").length === 3`)
	if n := value[int](t, b, `document.querySelectorAll(".track .fail").length`); n < 2 {
		t.Errorf("a page that is opened in the outage shows %d failures", n)
	}
	if title := value[string](t, b, `document.title`); title != "(1) renewd" {
		t.Errorf("title %q", title)
	}
	accessible(t, b)

	if err := s.Login("billing", time.Minute, time.Hour); err != nil {
		t.Fatal(err)
	}
	until(t, b, fmt.Sprintf(`(%s) === "fresh"`, row("billing", ".badge")))
	until(t, b, `document.querySelectorAll(".track .fail").length === 0`)
	calm(t, b, "")
}

func mistake(t *testing.T, s *Scene, b *Browser) {
	path := filepath.Join(s.Dir, "config.yaml")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte("<img src=x onerror=alert(1)>: 1\n"), good...)
	if err := os.WriteFile(path, bad, 0o644); err != nil {
		t.Fatal(err)
	}
	until(t, b, `!document.querySelector("#problems").hidden`)
	if got := value[string](t, b, `document.querySelector("#problems").textContent`); !strings.Contains(got, "<img src=x") || !strings.Contains(got, "generation 1 stays") {
		t.Errorf("%q", got)
	}
	if value[int](t, b, `document.querySelectorAll("main img").length`) != 0 {
		t.Error("what came from the report became an element")
	}
	accessible(t, b)
	if err := os.WriteFile(path, append(good, "# better\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	until(t, b, `document.querySelector("#problems").hidden`)
	calm(t, b, "")
}

func policed(t *testing.T, _ *Scene, b *Browser) {
	ran := value[string](t, b, `(() => {
		const script = document.createElement("script");
		script.textContent = "window.ran = 1";
		document.body.append(script);
		script.remove();
		return String(window.ran);
	})()`)
	if ran != "undefined" {
		t.Error("a script in the page ran")
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if faults := b.Faults(); len(faults) > 0 {
			if !strings.Contains(faults[0], "Content Security Policy") {
				t.Errorf("the browser says: %q", faults)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("the browser says nothing about a script that the policy forbids")
		}
	}
}

func killed(t *testing.T, s *Scene, b *Browser) {
	s.Kill()
	until(t, b, `document.body.classList.contains("stale")`)
	text := value[string](t, b, `document.querySelector("#contact").textContent`)
	if !strings.HasPrefix(text, "No answer since ") || !strings.Contains(text, "The last report is shown, greyed.") {
		t.Errorf("%q", text)
	}
	if got := value[string](t, b, `getComputedStyle(document.querySelector("main")).filter`); got != "grayscale(1)" {
		t.Errorf("filter %s", got)
	}
	frozen := value[string](t, b, row("orders", ".times"))
	time.Sleep(2 * time.Second)
	if got := value[string](t, b, row("orders", ".times")); got != frozen {
		t.Errorf("the last report went on: %q became %q", frozen, got)
	}
	accessible(t, b)
	calm(t, b, "ERR_CONNECTION_REFUSED")
}
