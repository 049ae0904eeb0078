package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// focused describes the element with the focus, and whether the focus is visible.
const focused = `(() => {
	const e = document.activeElement, style = getComputedStyle(e);
	const shown = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
	return (e.id || e.closest('[id]')?.id + ' ' + e.tagName.toLowerCase()) + (shown ? '' : ' without a mark');
})()`

// TestEverythingIsReachedByTab goes once around the page.
func TestEverythingIsReachedByTab(t *testing.T) {
	s := setUp(t)
	s.change(func() { s.caches = append(s.caches, s.cache("other.22222222", "other")) })
	p := open(t, s.url)
	p.untilText("#valued", "product")
	p.press("/")
	p.until("document.activeElement.id === 'key'")
	p.press("a/b") // text in a field, not a command
	if got := eval[string](p, "document.activeElement.value"); got != "a/b" {
		t.Errorf("the field has %q", got)
	}

	want := eval[[]string](p, `[...document.querySelectorAll('a, button, input, select, summary, [tabindex="0"]')]
		.filter((e) => !e.disabled && e.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true}))
		.map((e) => e.id || e.closest('[id]')?.id + ' ' + e.tagName.toLowerCase())`)
	if len(want) < 30 {
		t.Fatalf("only %q can be reached", want)
	}
	eval[bool](p, "document.activeElement.blur() ?? true")
	p.do(reload())
	p.untilText("#valued", "product")
	var got []string
	for range want {
		p.press(kb.Tab)
		got = append(got, eval[string](p, focused))
	}
	if !slices.Equal(got, want) {
		t.Errorf("Tab reaches\n%q, want\n%q", got, want)
	}
}

func TestSkipLinkLeadsToTheFigures(t *testing.T) {
	p := open(t, setUp(t).url)
	p.untilText("#next", "product")
	p.press(kb.Tab)
	p.until("document.activeElement.matches('.skip') && document.activeElement.getBoundingClientRect().top >= 0")
	p.press(kb.Enter)
	p.until("document.activeElement.id === 'main'")
}

func TestCurvesAreReadByArrowKeys(t *testing.T) {
	s := setUp(t)
	s.change(func() {
		samples := s.caches[0]["history"].(object)["samples"].([]object)
		samples[118]["local"] = 470
	})
	p := open(t, s.url)
	p.untilText("#chart-gets", "Local 14/s")
	eval[bool](p, "document.querySelector('#chart-gets svg.plot').focus() ?? true")
	p.press(kb.ArrowLeft)
	p.press(kb.ArrowLeft)
	p.untilText("#chart-gets", "Local 94/s")
	p.untilText("#chart-ratio", "Found 98.0 %") // all charts show the same time
	p.untilText("#cursor", "At ")
	p.untilText("#cursor-live", "Local 94/s, Store 4.0/s, Absent 2.0/s, Stale 0/s")
	p.press(kb.End)
	p.untilText("#chart-gets", "Local 14/s")
	p.press(kb.Home)
	p.press(kb.Escape)
	p.untilText("#cursor", "Point at a curve")
}

// TestFocusStaysWhileTablesChange chooses a key while the order of the rows changes.
func TestFocusStaysWhileTablesChange(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#next", "product/4/price")
	eval[bool](p, `[...document.querySelectorAll('#next button')].find((b) => b.textContent === 'product/4/price').focus() ?? true`)
	s.change(func() { slices.Reverse(s.keys["next"]) })
	p.until("document.querySelector('#next button').textContent === 'product/11/price'")
	if got := eval[string](p, "document.activeElement.textContent"); got != "product/4/price" {
		t.Errorf("the focus is on %q", got)
	}
}

// TestStructure checks the structure that assistive technology uses.
func TestStructure(t *testing.T) {
	s := setUp(t)
	p := open(t, s.url)
	p.untilText("#valued", "product")
	for what, expression := range map[string]string{
		"tables without a caption":     `[...document.querySelectorAll('table')].filter((t) => !t.caption?.textContent)`,
		"header cells without a scope": `[...document.querySelectorAll('th')].filter((c) => !c.scope)`,
		"fields without a label":       `[...document.querySelectorAll('input, select')].filter((e) => !e.labels.length)`,
		"buttons without a name":       `[...document.querySelectorAll('button')].filter((e) => !e.innerText.trim() && e.checkVisibility())`,
		"pictures without a name":      `[...document.querySelectorAll('svg')].filter((e) => !e.closest('[aria-hidden=true]') && !e.getAttribute('aria-label'))`,
		"sections without a heading":   `[...document.querySelectorAll('section')].filter((e) => !document.getElementById(e.getAttribute('aria-labelledby'))?.textContent)`,
		"ids that are there twice":     `[...document.querySelectorAll('[id]')].filter((e) => document.querySelectorAll('#' + CSS.escape(e.id)).length > 1 && !e.closest('svg'))`,
		"references to nothing":        `[...document.querySelectorAll('[aria-describedby], [aria-labelledby]')].filter((e) => !document.getElementById(e.getAttribute('aria-describedby') ?? e.getAttribute('aria-labelledby')))`,
		"headings that skip a level": `[...document.querySelectorAll('h1, h2, h3')].filter((e, i, all) =>
			Number(e.tagName[1]) > (i ? Number(all[i - 1].tagName[1]) : 0) + 1)`,
	} {
		if got := eval[[]string](p, expression+`.map((e) => e.outerHTML.slice(0, 100))`); len(got) > 0 {
			t.Errorf("%s: %s", what, strings.Join(got, "\n"))
		}
	}
	landmarks := eval[[]int](p, `['header', 'main', 'footer', 'h1', 'html[lang]', 'title'].map((s) => document.querySelectorAll(s).length)`)
	if !slices.Equal(landmarks, []int{1, 1, 1, 1, 1, 1}) {
		t.Errorf("header, main, footer, h1, html[lang], title: %v", landmarks)
	}
	// While there is no fault, the page announces nothing.
	if got := p.text("#announce"); got != "" {
		t.Errorf("announced: %s", fmt.Sprint(got))
	}
}
