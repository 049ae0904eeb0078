package browser

import (
	"fmt"
	"strings"
	"testing"
)

// contrasts returns text with too little contrast to its background. WCAG 2.2 asks for 4.5,
// and for 3 if the text is large or bold enough.
const contrasts = `(() => {
	const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
	const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
	const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return rgb('Canvas'); };
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
	const faint = [];
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	let seen = 0;
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		if (!walker.currentNode.data.trim() || !e.checkVisibility() || e.closest('.away, noscript, option')) continue;
		const style = getComputedStyle(e), isSVG = e instanceof SVGElement, px = parseFloat(style.fontSize);
		const need = px >= 24 || (px >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
		const got = ratio(rgb(isSVG ? style.fill : style.color), behind(e));
		seen++;
		if (got < need) faint.push(got.toFixed(2) + ' ' + walker.currentNode.data.trim().slice(0, 40));
	}
	// Lines, marks and edges of fields need a contrast of 3.
	for (const e of document.querySelectorAll('.plot .line, .dot, .fullness, .spark-line')) {
		const style = getComputedStyle(e), got = ratio(rgb(e.matches('.line') ? style.stroke : style.fill), behind(e));
		if (got < 3) faint.push(got.toFixed(2) + ' ' + e.getAttribute('class'));
	}
	for (const e of document.querySelectorAll('input, select, button:not(.key)')) {
		if (!e.checkVisibility()) continue;
		const got = ratio(rgb(getComputedStyle(e).borderColor), behind(e.parentElement));
		if (got < 3) faint.push(got.toFixed(2) + ' edge of ' + e.id + e.tagName);
	}
	return seen < 100 ? ['only ' + seen + ' texts'] : faint;
})()`

func TestLightAndDarkAreLegible(t *testing.T) {
	s := setUp(t)
	s.change(func() {
		s.entries["a"] = `{"key":"a","rank":1,"age":1,"bytes":1,"type":"json","value_bytes":1,"cut":false,"value":1,"local":null}`
		s.caches = append(s.caches, s.cache("other.22222222", "other"))
	})
	grounds := make(map[string]bool)
	for _, theme := range []string{"light", "dark"} {
		t.Run(theme, func(t *testing.T) {
			p := open(t, s.url, func(p *page) { p.media("prefers-color-scheme", theme) })
			p.untilText("#valued", "product")
			p.press("/a\r")
			p.untilText("#found", "Found a")
			for _, faint := range eval[[]string](p, contrasts) {
				t.Errorf("too faint: %s", faint)
			}
			grounds[eval[string](p, "getComputedStyle(document.body).backgroundColor")] = true

			s.change(func() {
				state := s.caches[0]["store_state"].(object)
				state["reachable"], state["ready"], state["writes"], state["error"], state["breaker"] = false, false, false, "it was switched off", "open"
				s.caches[0]["subscription"] = object{"subscribed": false, "nodes": []object{}}
				s.entries["b"] = `503 {"error":"the store is down"}`
			})
			p.untilText("#banner", "it was switched off")
			p.expect("503")
			p.press("\tb") // no field has the focus, so b is not typed
			eval[bool](p, "document.getElementById('key').focus() ?? document.getElementById('key').select() ?? true")
			p.press("b\r")
			p.untilText("#found", "The store does not answer. It is not known whether b exists: the store is down.")
			for _, faint := range eval[[]string](p, contrasts) {
				t.Errorf("too faint while the store is down: %s", faint)
			}
			s.change(func() { s.caches[0] = s.cache("cache.11111111", "cache") })
		})
	}
	if len(grounds) != 2 {
		t.Errorf("light and dark have the grounds %v", grounds)
	}
}

// outside returns elements that do not fit into a narrow window, except those that scroll in
// a box of their own.
const outside = `[...document.querySelectorAll('body *')].filter((e) => {
	if (!e.checkVisibility() || e.closest('.away, .skip, defs') || (e.closest('svg') && e.tagName !== 'svg')) return false;
	if (e.parentElement.closest('.scroll, .value')) return false;
	const box = e.getBoundingClientRect();
	return box.width > 0 && (box.left < -0.5 || box.right > innerWidth + 0.5);
}).map((e) => e.outerHTML.slice(0, 120))`

func TestNarrowWindowsNeedNoScrollingSideways(t *testing.T) {
	s := setUp(t)
	s.change(func() {
		s.entries["a"] = `{"key":"a","rank":1,"age":1,"bytes":1,"type":"json","etag":"\"` + strings.Repeat("f", 24) + `\"","value":{"long":"` + strings.Repeat("y", 600) + `"},"local":null}`
		s.caches = append(s.caches, s.cache("other.22222222", strings.Repeat("n", 64)))
		s.caches[0]["figures"].(object)["queue_bytes"] = 64<<20 - 1
	})
	p := open(t, s.url, func(p *page) { p.size(320, 640) })
	p.untilText("#valued", "product")
	p.press("/a\r")
	p.untilText("#found", "Found a")
	eval[bool](p, "document.querySelectorAll('details').forEach((d) => { d.open = true; }) ?? true")
	p.until("document.querySelectorAll('#history tbody tr').length === 120")
	for _, width := range []int64{320, 390, 768, 1024, 1280, 2560} {
		p.size(width, 640)
		p.until(fmt.Sprintf("innerWidth === %d", width))
		if got := eval[int64](p, "document.documentElement.scrollWidth"); got > width {
			t.Errorf("at a width of %d the page is %d wide", width, got)
		}
		for _, e := range eval[[]string](p, outside) {
			t.Errorf("at a width of %d there sticks out: %s", width, e)
		}
		// Curves have the width of the window.
		p.until("[...document.querySelectorAll('.plot')].every((s) => Math.abs(s.querySelector('.axis').x2.baseVal.value + 10 - s.clientWidth) < 1)")
	}
}

// cramped returns texts that come nearer to the edge of their box than its padding, or that lie
// under a small curve.
const cramped = `(() => {
	const near = [];
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	let seen = 0;
	while (walker.nextNode()) {
		const text = walker.currentNode, e = text.parentElement, box = e.closest('.tile, .card, .banner, .value');
		if (!box || !text.data.trim() || !e.checkVisibility() || e.closest('.away, .scroll, svg')) continue;
		const style = getComputedStyle(box), edge = box.getBoundingClientRect();
		const left = edge.left + parseFloat(style.borderLeftWidth) + parseFloat(style.paddingLeft);
		const right = edge.right - parseFloat(style.borderRightWidth) - parseFloat(style.paddingRight);
		const range = document.createRange();
		range.selectNodeContents(text);
		seen++;
		for (const line of range.getClientRects()) {
			const under = [...box.querySelectorAll('.spark')].map((s) => s.getBoundingClientRect()).some((c) => c.width > 0 &&
				line.left < c.right && c.left < line.right && line.top < c.bottom && c.top < line.bottom);
			if (line.width > 0 && (line.left < left - 0.5 || line.right > right + 0.5 || under)) {
				near.push((e.id || e.className || e.tagName) + ': ' + text.data.trim().slice(0, 40) + (under ? ' under a curve' : ' by ' + (line.right - right).toFixed(1)));
			}
		}
	}
	return seen < 60 ? ['only ' + seen + ' texts'] : [...new Set(near)];
})()`

// Figures may be long: of a busy cache, a large one, or one whose store is slow.
func TestFiguresKeepTheirDistanceFromEdges(t *testing.T) {
	s := setUp(t)
	s.change(func() {
		c := s.caches[0]
		state := c["store_state"].(object)
		state["keys"], state["max_keys"], state["bytes"], state["max_bytes"] = 98_765_432, 100_000_000, 123456<<20, 234567<<20
		figures := c["figures"].(object)
		figures["queue_jobs"], figures["max_queue_jobs"], figures["queue_bytes"] = 1_048_575, 1_048_576, 1023<<20
		figures["evicted"] = 987_654_321
	})
	p := open(t, s.url)
	p.untilText("#rate-note", "second reading")
	s.change(func() {
		figures := s.caches[0]["figures"].(object)
		slow := object{"bounds": []float64{.001, .01, .1}, "counts": []int{98, 0, 5000, 400}, "sum": 2000}
		large := object{"bounds": []float64{1, 4, 16}, "counts": []int{50, 50, 0, 1000}, "sum": 987_654}
		calls := object{"calls": 5498, "errors": object{}, "duration": slow, "size": large}
		figures["fetches"], figures["applies"], figures["queue_wait"] = calls, calls, slow
		figures["requests"] = object{
			"get":  object{"local": 8_888_888, "store": 888_888, "absent": 888_888, "unavailable": 888_888},
			"post": object{"created": 888_888},
		}
	})
	p.untilText("#rate-note", "failed")
	p.untilText("#latency", "p99 > 100 ms")
	for width := int64(320); width <= 1600; width += 20 {
		p.size(width, 900)
		p.until(fmt.Sprintf("innerWidth === %d", width))
		for _, text := range eval[[]string](p, cramped) {
			t.Errorf("at a width of %d: %s", width, text)
		}
	}
}

func TestReducedMotion(t *testing.T) {
	p := open(t, setUp(t).url, func(p *page) { p.media("prefers-reduced-motion", "reduce") })
	p.untilText("#valued", "product")
	moving := eval[int](p, `[...document.querySelectorAll('*')].filter((e) => {
		const s = getComputedStyle(e);
		return s.animationName !== 'none' || s.transitionDuration.split(',').some((d) => parseFloat(d) > 0);
	}).length`)
	if moving > 0 {
		t.Errorf("%d elements move", moving)
	}
}
