package browser

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// tutorialPage returns the directives of the tutorial that serve its page of changes.
func tutorialPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "\theader / Content-Type", "\t\tHTML 200\n"
	_, rest, isThere := strings.Cut(string(text), begin)
	page, _, isWhole := strings.Cut(rest, end)
	if !isThere || !isWhole {
		t.Fatalf("docs/tutorial.md has no page between %q and %q", begin, end)
	}
	return begin + page + end
}

func TestThePageOfTheTutorialShowsChanges(t *testing.T) {
	s := serve(t, "redis_proxy {\n max_keys 1\n watch 5\n}\n"+tutorialPage(t))
	p := open(t, s.url+"/", func(p *page) {
		p.mayAsk = s.url
		p.expect("net::ERR_", "EventSource")
	})
	if !eval[bool](p, "changes.readyState == 1 || new Promise((ready) => changes.addEventListener('open', () => ready(true)))") {
		t.Fatal("it does not listen")
	}
	s.create("apple", "1")
	if resp, body := s.do("POST", "/cache/pear?ttl=1", "value=green", "Content-Type", "application/x-www-form-urlencoded"); resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	for _, want := range []string{`created {"key":"apple"`, `evicted {"key":"apple"`, `created {"key":"pear"`, `expired {"key":"pear"`} {
		p.until(fmt.Sprintf("document.querySelector('pre').textContent.includes(%q)", want))
	}
}
