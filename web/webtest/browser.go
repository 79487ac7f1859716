// Package webtest tests the pages in a real headless browser, by clicks and
// keys. Its helpers fail or skip the test; call them on the test's goroutine.
package webtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/ridehail/ridehail/internal/slowtest"
	"github.com/ridehail/ridehail/web"
)

// Screen is a window size in CSS pixels.
type Screen struct {
	Name          string
	Width, Height int64
}

// The two sizes that the page is designed for.
var (
	Desktop = Screen{"desktop", 1280, 800}
	Phone   = Screen{"phone", 390, 844}
)

// pageTimeout limits the wait for the page's own actions. It is long because a
// loaded machine is slow.
const pageTimeout = time.Minute

// Tab is one page in its own browser. It collects script errors and requests to
// other origins for CheckClean.
type Tab struct {
	// Fixed at creation.
	t      testing.TB
	ctx    context.Context
	base   string
	screen Screen

	mu       sync.Mutex // guards problems
	problems []string
}

// FindBrowser returns the path of a Chromium. Without one it skips the test, or
// fails it when RIDEHAIL_TEST_REQUIRE is 1.
func FindBrowser(t testing.TB) string {
	t.Helper()
	slowtest.Require(t)

	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}

	if os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1" {
		t.Fatal("no chromium or google-chrome in PATH, and RIDEHAIL_TEST_REQUIRE=1")
	}

	t.Skip("no chromium or google-chrome in PATH: the page is not tested")
	return ""
}

// RequireBrowser skips the test when there is no browser, or no map library in
// the build. When RIDEHAIL_TEST_REQUIRE is 1, it fails the test instead.
func RequireBrowser(t testing.TB) {
	t.Helper()
	FindBrowser(t)

	switch {
	case web.HasLibraries():
	case os.Getenv("RIDEHAIL_TEST_REQUIRE") == "1":
		t.Fatal("the map library is missing, and RIDEHAIL_TEST_REQUIRE=1: run make web")
	default:
		t.Skip("the map library is missing: run make web")
	}
}

// OpenTab starts a browser and loads the page. The browser ends with the test.
func OpenTab(ctx context.Context, t testing.TB, baseURL string, screen Screen) *Tab {
	t.Helper()
	return openTabAt(ctx, t, baseURL, "/", screen)
}

// openTabAt is OpenTab for any path. Each preference is one of a media query,
// such as "prefers-color-scheme: dark".
func openTabAt(ctx context.Context, t testing.TB, baseURL, path string, screen Screen, preferences ...string) *Tab {
	t.Helper()
	program := FindBrowser(t)
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options, chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.Flag("headless", "new"), chromedp.Flag("use-angle", "swiftshader"),
		chromedp.Flag("enable-unsafe-swiftshader", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-gpu", false),
		chromedp.WindowSize(int(screen.Width), int(screen.Height)))

	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)

	tab := &Tab{t: t, ctx: ctx, base: baseURL, screen: screen}
	if err := chromedp.Listen(ctx, tab.noteEvent); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}

	tab.RunAction("load the page", chromedp.Steps(chromedp.EmulateViewport(screen.Width, screen.Height),
		emulatePreferences(preferences), chromedp.Navigate(baseURL+path)))
	return tab
}

func emulatePreferences(preferences []string) chromedp.Action[chromedp.Void] {
	var media emulation.SetEmulatedMediaParams
	for _, p := range preferences {
		name, value, _ := strings.Cut(p, ": ")
		media.Features = append(media.Features, &emulation.MediaFeature{Name: name, Value: value})
	}
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, media)
		return err
	})
}

func (tab *Tab) noteEvent(ev any) {
	note := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		note = "script error: " + describeException(ev.ExceptionDetails)
	case *network.EventRequestWillBeSent:
		if url := ev.Request.URL; strings.HasPrefix(url, "http") && !strings.HasPrefix(url, tab.base) {
			note = "request to another origin: " + url
		}
	}

	if note == "" {
		return
	}

	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.problems = append(tab.problems, note)
}

func describeException(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}

// CheckClean fails the test for each script error and each request to another
// origin.
func (tab *Tab) CheckClean() {
	tab.t.Helper()
	tab.mu.Lock()
	defer tab.mu.Unlock()
	for _, note := range tab.problems {
		tab.t.Error(note)
	}
}

// RunAction runs one browser action; a failure ends the test.
func (tab *Tab) RunAction(what string, action chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	if _, err := chromedp.Run(tab.ctx, action); err != nil {
		tab.t.Fatalf("%s: %v", what, err)
	}
}

// evalInPage runs an expression in the page and decodes its value, or that of
// its promise.
func evalInPage[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	value, err := chromedp.Run(tab.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return value
}

// WaitUntil waits until a JavaScript expression is true. After atMost it ends
// the test with a picture and the page's text.
func (tab *Tab) WaitUntil(expression string, atMost time.Duration) {
	tab.t.Helper()
	_, err := chromedp.Run(tab.ctx, chromedp.Poll[bool](expression,
		chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(atMost)))
	if err != nil {
		tab.Screenshot("stuck")
		tab.CheckClean()
		shown, _ := chromedp.Run(tab.ctx, chromedp.Evaluate[string](
			`JSON.stringify(document.body.dataset) + " " + document.body.innerText`))
		tab.t.Fatalf("waited %v for %s: %v; the page shows %s", atMost, expression, err, shown)
	}
}

// Click clicks the middle of an element.
func (tab *Tab) Click(selector chromedp.CSS) {
	tab.t.Helper()
	tab.RunAction("click "+string(selector), chromedp.Click(selector, chromedp.NodeVisible))
}

// Screenshot saves a picture to the folder RIDEHAIL_SHOTS, if that is set.
func (tab *Tab) Screenshot(name string) {
	tab.t.Helper()
	dir := os.Getenv("RIDEHAIL_SHOTS")
	if dir == "" {
		return
	}

	png, err := chromedp.Run(tab.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tab.t.Fatalf("take a picture: %v", err)
	}

	file := filepath.Join(dir, fmt.Sprintf("%s-%s.png", tab.screen.Name, name))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tab.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		tab.t.Fatal(err)
	}
}
