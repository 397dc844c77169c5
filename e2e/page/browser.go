// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package page looks at the status page with a real browser: Debian's chromium, driven over its debugging protocol. The
// tests are here, and the command in screenshot draws the picture of the README. It knows nothing of the program's packages.
package page

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Browser is a chromium with one tab. Close ends it.
type Browser struct {
	ctx context.Context // of the tab
	end []context.CancelFunc

	mu     sync.Mutex
	faults []string
}

// NewBrowser starts chromium with a new profile in dir.
func NewBrowser(dir string) (*Browser, error) {
	profile, err := os.MkdirTemp(dir, "profile-")
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.UserDataDir(profile), chromedp.ExecPath("chromium"),
		chromedp.Env("TMPDIR=" + dir), // where it leaves things behind
	}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocator, endBrowser := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endTab := chromedp.NewContext(allocator)
	b := &Browser{ctx: ctx, end: []context.CancelFunc{endTab, endBrowser}}
	// The browser lives as long as the context of the first action.
	if err := chromedp.Do(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("start chromium: %w", err)
	}
	go b.listen()
	return b, nil
}

// Close ends the browser.
func (b *Browser) Close() {
	for _, end := range b.end {
		end()
	}
}

// listen notes what a developer would see in red or yellow: of the console, the script, the network and the policy.
func (b *Browser) listen() {
	for message, err := range chromedp.Console(b.ctx) {
		if err != nil {
			return // the tab is closed
		}
		if message.Type == "debug" || message.Type == "info" {
			continue
		}
		b.mu.Lock()
		b.faults = append(b.faults, fmt.Sprintf("%s %s %s: %s", message.Type, message.Source, message.URL, message.Text))
		b.mu.Unlock()
	}
}

// Faults returns what went wrong since it was last asked.
func (b *Browser) Faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := b.faults
	b.faults = nil
	return faults
}

// Do does one thing after the other in the tab, for at most a minute.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, end := context.WithTimeout(b.ctx, time.Minute)
	defer end()
	return chromedp.Do(ctx, steps...)
}

// View is how somebody looks at the page.
type View struct {
	Width, Height int64
	Scale         float64
	Scheme        string // light or dark
}

// Look makes the tab a view, by somebody who does not want things to move.
func (b *Browser) Look(v View) error {
	_, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: v.Width, Height: v.Height, DeviceScaleFactor: v.Scale, Mobile: v.Width < 600,
	})
	if err != nil {
		return err
	}
	_, err = chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: v.Scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		},
	})
	return err
}

// Open goes to an address.
func (b *Browser) Open(url string) error { return b.Do(chromedp.Navigate(url)) }

// Value returns what an expression of JavaScript, or its promise, comes to.
func Value[T any](b *Browser, expression string) (T, error) {
	ctx, end := context.WithTimeout(b.ctx, time.Minute)
	defer end()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Picture returns the whole page as PNG.
func (b *Browser) Picture() ([]byte, error) {
	ctx, end := context.WithTimeout(b.ctx, time.Minute)
	defer end()
	return chromedp.Run(ctx, chromedp.FullScreenshot(100))
}
