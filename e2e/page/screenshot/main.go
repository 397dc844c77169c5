// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Command screenshot draws the status page of a renewd with healthy tokens and a failing one, and writes it as PNG: the
// picture of the README.
//
//	go run ./page/screenshot OUT.png [light|dark|phone]
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/renewd/renewd/e2e/page"
)

func main() {
	if err := draw(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "screenshot:", err)
		os.Exit(1)
	}
}

func draw(args []string) error {
	views := map[string]page.View{
		"light": {Width: 1040, Height: 760, Scale: 1.5, Scheme: "light"},
		"dark":  {Width: 1040, Height: 760, Scale: 1.5, Scheme: "dark"},
		"phone": {Width: 390, Height: 844, Scale: 2, Scheme: "light"},
	}
	view := views["light"]
	known := true
	if len(args) == 2 {
		view, known = views[args[1]]
	}
	if len(args) < 1 || len(args) > 2 || !known {
		return errors.New("usage: screenshot OUT.png [light|dark|phone]")
	}
	dir, err := os.MkdirTemp("", "renewd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	scene, err := page.NewScene(dir)
	if err != nil {
		return err
	}
	defer scene.Kill()
	browser, err := page.NewBrowser(dir)
	if err != nil {
		return err
	}
	defer browser.Close()
	if err := browser.Look(view); err != nil {
		return err
	}
	if err := browser.Open(scene.URL()); err != nil {
		return err
	}
	if err := scene.Logout("billing"); err != nil {
		return err
	}
	// Long enough for a few failures, as somebody who looks at the page during an outage would see them.
	time.Sleep(20 * time.Second)
	png, err := browser.Picture()
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], png, 0o644)
}
