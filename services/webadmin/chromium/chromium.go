// Package chromium drives Debian's browser, without a window, as a person does:
// types into fields, presses, reads, looks. It is for tests only, and knows
// nothing of Webadmin beyond how its login form is laid out.
package chromium

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Config says how a browser differs from others. The zero value is usable.
type Config struct {
	// Resolve is where a name and port is found instead, as in
	// "cb1.tptac9.com:445 127.0.0.1:4711".
	Resolve string
	// Pictures is the folder of the screenshots; "": none are kept.
	Pictures string
	// Lifetime ends the browser at the latest; 0: 5 minutes.
	Lifetime time.Duration
}

// limit is how long a page may take on a loaded machine.
const limit = time.Minute

// Browser is a running one, with one page open. It lives as long as the test,
// whose goroutine calls its methods.
type Browser struct {
	t        *testing.T
	ctx      context.Context
	pictures string

	mu sync.Mutex
	// complaints are what it found wrong with pages: scripts that fail, and
	// what the Content-Security-Policy forbids.
	complaints []string
}

// Start starts a browser that believes any certificate.
func Start(t *testing.T, cfg Config) *Browser {
	t.Helper()
	if cfg.Lifetime == 0 {
		cfg.Lifetime = 5 * time.Minute
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors", true))
	if cfg.Resolve != "" {
		options = append(options, chromedp.Flag("host-resolver-rules", "MAP "+cfg.Resolve))
	}
	b := &Browser{t: t, pictures: cfg.Pictures}
	limited, stop := context.WithTimeout(context.Background(), cfg.Lifetime)
	allocated, free := chromedp.NewExecAllocator(limited, options...)
	ctx, leave := chromedp.NewContext(allocated, chromedp.WithListener(b.heard))
	t.Cleanup(func() { leave(); free(); stop() })
	b.ctx = ctx
	b.Resize(1100, 800)
	return b
}

// heard takes what the browser's console would show.
func (b *Browser) heard(event any) {
	text := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		text = e.Entry.Text
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	}
	// A refused form has an error's status, which the console tells of; and a
	// test may be in another field before the browser has looked for the first.
	if text == "" || strings.HasPrefix(text, "Failed to load resource: the server responded with a status of 4") ||
		strings.HasPrefix(text, "Autofocus processing was blocked") {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, text)
}

// IsQuiet checks that the browser found nothing wrong.
func (b *Browser) IsQuiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complains: %q", b.complaints)
	}
}

// Do takes steps of chromedp.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// Open goes to a page by its address.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(url))
}

// LogIn fills in the form that is open, and sends it.
func (b *Browser) LogIn(name, password string) {
	b.t.Helper()
	b.Type("name", name)
	b.Type("password", password)
	b.Press("button.primary")
}

// Press clicks on what leads to another page, and waits for that.
func (b *Browser) Press(selector string) {
	b.t.Helper()
	b.leads("press "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Enter presses that key in a field, which leads to another page.
func (b *Browser) Enter(field string) {
	b.t.Helper()
	b.leads("Enter in "+field, chromedp.SendKeys(chromedp.CSS("#"+field), "\r"))
}

func (b *Browser) leads(what string, step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, step); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// Page goes to a page by the menu.
func (b *Browser) Page(path string) {
	b.t.Helper()
	b.Press(`a[href="` + path + `"]`)
}

// Type writes into a field in place of what is there.
func (b *Browser) Type(field, text string) {
	b.t.Helper()
	sel := chromedp.CSS("#" + field)
	b.Do(chromedp.Clear(sel))
	if text != "" {
		b.Do(chromedp.SendKeys(sel, text))
	}
}

// Reads waits until an element has a text.
func (b *Browser) Reads(selector, want string) {
	b.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		got, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(selector)))
		if err == nil && strings.Contains(got, want) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s reads %q, %v; want %q", selector, got, err, want)
		}
	}
}

// Has says whether there is such an element now.
func (b *Browser) Has(selector string) bool {
	b.t.Helper()
	return evaluate[bool](b, fmt.Sprintf(`document.querySelector(%q) !== null`, selector))
}

// Rows are those of a table, cells set apart by "  ". What stands below a cell's
// text, such as a hint, is left out.
func (b *Browser) Rows(table string) []string {
	b.t.Helper()
	return evaluate[[]string](b, fmt.Sprintf(
		`[...document.querySelectorAll(%q)].map(r => [...r.cells].map(c => c.firstChild?.textContent ?? '').join('  '))`, table+" tr"))
}

// Overflow is by how many pixels the page is wider than the window.
func (b *Browser) Overflow() int {
	b.t.Helper()
	return evaluate[int](b, `document.documentElement.scrollWidth - window.innerWidth`)
}

// Script runs one in the page.
func (b *Browser) Script(text string) {
	b.t.Helper()
	evaluate[bool](b, text+"; true")
}

func evaluate[T any](b *Browser, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

// Resize makes the window another size.
func (b *Browser) Resize(width, height int64) {
	b.t.Helper()
	b.Do(chromedp.EmulateViewport(width, height))
}

// Scheme sets what prefers-color-scheme is.
func (b *Browser) Scheme(name string) {
	b.t.Helper()
	b.Do(func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		_, err = cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return v, err
	})
}

// Picture keeps a screenshot of the page.
func (b *Browser) Picture(name string) {
	b.t.Helper()
	if b.pictures == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(b.pictures, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
