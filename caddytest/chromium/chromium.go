// Package chromium starts a headless Chromium for tests and screenshots.
package chromium

import (
	"context"
	"errors"
	"os"
	"os/exec"

	"github.com/chromedp/chromedp"
)

// errNotInstalled says what to do, since a reader may see only the log of a test.
var errNotInstalled = errors.New("no chromium, chromium-browser or google-chrome is on PATH; install one " +
	"(Debian: apt-get install chromium; Fedora: dnf install chromium)")

// Start starts a browser that keeps its files in dir. Contexts made from the returned one are
// tabs. The returned function ends the browser.
func Start(dir string) (context.Context, func(), error) {
	path, err := find()
	if err != nil {
		return nil, nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.DisableGPU,
		// Without this, the browser looks for updates by itself.
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en-GB"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it does not run as root otherwise
	}
	ctx, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endBrowser := chromedp.NewContext(ctx)
	end := func() {
		endBrowser()
		endAllocator()
	}
	if err := chromedp.Do(ctx); err != nil { // starts it
		end()
		return nil, nil, err
	}
	return ctx, end, nil
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNotInstalled
}
