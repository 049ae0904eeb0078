package browser

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// page is a tab. At the end of its test, the page must have sent no unexpected request to
// another origin and had no unexpected error.
type page struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	origin   string
	mayAsk   string // another origin; empty for none
	asked    []string
	wrongs   []string
	expected []string // parts of expected errors
}

// open opens an address in a tab of its own.
func open(t testing.TB, address string, set ...func(*page)) *page {
	t.Helper()
	chromium, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, closeTab := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	base, _, _ := strings.Cut(address, "#") // the fragment may be anything
	at, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{t: t, ctx: ctx, origin: at.Scheme + "://" + at.Host + "/"}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	p.size(1280, 900)
	for _, f := range set {
		f(p)
	}
	p.do(chromedp.Navigate(address))
	t.Cleanup(p.check)
	return p
}

func (p *page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch event := event.(type) {
	case *network.EventRequestWillBeSent:
		p.asked = append(p.asked, event.Request.URL)
	case *runtime.EventExceptionThrown:
		text := event.ExceptionDetails.Text
		if event.ExceptionDetails.Exception != nil {
			text += " " + event.ExceptionDetails.Exception.Description
		}
		p.wrongs = append(p.wrongs, "exception: "+text)
	case *runtime.EventConsoleAPICalled:
		p.wrongs = append(p.wrongs, fmt.Sprintf("console: %s", event.Type))
	case *log.EventEntryAdded:
		p.wrongs = append(p.wrongs, fmt.Sprintf("%s %s: %s %s", event.Entry.Source, event.Entry.Level, event.Entry.Text, event.Entry.URL))
	}
}

// expect allows errors that contain a part.
func (p *page) expect(parts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, parts...)
}

func (p *page) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, address := range p.asked {
		isExpected := p.mayAsk != "" && strings.HasPrefix(address, p.mayAsk)
		if !strings.HasPrefix(address, p.origin) && !strings.HasPrefix(address, "data:") && !isExpected {
			p.t.Errorf("the page asked for %s", address)
		}
	}
	for _, wrong := range p.wrongs {
		if !slices.ContainsFunc(p.expected, func(part string) bool { return strings.Contains(wrong, part) }) {
			p.t.Errorf("went wrong in the page: %s", wrong)
		}
	}
}

// looks returns how often the page has asked for the cache that it shows.
func (p *page) looks() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, address := range p.asked {
		if strings.HasSuffix(address, "/caches/cache.11111111") {
			n++
		}
	}
	return n
}

func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *page) size(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}

func (p *page) media(name, value string) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: name, Value: value}},
		})
		return err
	}))
}

// pass moves the clock of the page forward by milliseconds, at once.
func (p *page) pass(milliseconds float64) {
	p.t.Helper()
	expired := chromedp.Events(p.ctx, emulation.VirtualTimeBudgetExpired)
	p.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetVirtualTimePolicy, emulation.SetVirtualTimePolicyParams{
			Policy: emulation.VirtualTimePolicyPauseIfNetworkFetchesPending, Budget: &milliseconds,
		})
		return err
	}))
	for range expired {
		return
	}
}

// eval returns the value of an expression.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// press presses keys, as a person without a mouse does. A key and its character are one
// event, as on a keyboard. chromedp's own function would type the character even if the page
// used the key as a command.
func (p *page) press(keys string) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for _, r := range keys {
			events := kb.Encode(r)
			down, up := events[0], events[len(events)-1]
			if char := events[1]; char.Type == input.DispatchKeyEventTypeChar {
				down.Type = input.DispatchKeyEventTypeKeyDown
				down.Text, down.UnmodifiedText = char.Text, char.UnmodifiedText
			}
			for _, event := range []*input.DispatchKeyEventParams{down, up} {
				if _, err := chromedp.Call(ctx, input.DispatchKeyEvent, *event); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

// paste puts a text into the field that has the focus, at once.
func (p *page) paste(text string) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

// text returns the text of an element as it is shown.
func (p *page) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? 'no such element').replace(/\s+/g, ' ').trim()`, selector))
}

// until waits until an expression is true.
func (p *page) until(expression string) {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !eval[bool](p, "Boolean("+expression+")"); <-tick.C {
		if time.Now().After(end) {
			p.t.Fatalf("waited in vain until %s; the page says:\n%s", expression, p.text("body"))
		}
	}
}

// untilText waits until the text of an element contains a text.
func (p *page) untilText(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector(%q)?.innerText.replace(/\s+/g, ' ').includes(%q)`, selector, text))
}

// rows returns the cells of a table's rows, with | between them.
func (p *page) rows(id string) []string {
	p.t.Helper()
	return eval[[]string](p, fmt.Sprintf(
		`[...document.getElementById(%q).tBodies[0].rows].map((r) => [...r.cells].map((c) => c.innerText.replace(/\s+/g, ' ').trim()).join(' | '))`, id))
}

func clickOn(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector))
}

func reload() chromedp.Action[chromedp.Void] { return chromedp.Reload() }
