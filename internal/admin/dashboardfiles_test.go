package admin

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func getDashboard(t *testing.T, name string, headers ...string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if err := serveFile(w, r, target{file: dashboardFiles[name]}); err != nil {
		t.Fatal(err)
	}
	return w.Result()
}

func TestDashboardFilesAreServedSafely(t *testing.T) {
	for name, contentType := range map[string]string{
		"":          "text/html; charset=utf-8",
		"style.css": "text/css; charset=utf-8",
		"app.js":    "text/javascript; charset=utf-8",
	} {
		resp := getDashboard(t, name)
		for header, want := range map[string]string{
			"Content-Type":            contentType,
			"Content-Security-Policy": dashboardPolicy,
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "same-origin",
			"Cache-Control":           "no-cache",
		} {
			if got := resp.Header.Get(header); got != want {
				t.Errorf("%q: %s is %q, want %q", name, header, got, want)
			}
		}
		again := getDashboard(t, name, "If-None-Match", resp.Header.Get("Etag"))
		if resp.StatusCode != 200 || again.StatusCode != 304 {
			t.Errorf("%q: got %d, and %d with its ETag; want 200 and 304", name, resp.StatusCode, again.StatusCode)
		}
	}
	for name, file := range dashboardFiles {
		if file.contentType == "" || file.content == "" {
			t.Errorf("%q has no type or no content", name)
		}
	}
	for _, name := range []string{"index.html", "/", "../module.go", "caches"} {
		if _, ok := dashboardFiles[name]; ok {
			t.Errorf("%q is served", name)
		}
	}
}

// TestDashboardHasNothingFromElsewhere also keeps out code that could run a key or a value as
// HTML or as a script.
func TestDashboardHasNothingFromElsewhere(t *testing.T) {
	bad := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|\beval\b|\bFunction\(|@import|<style|<script>| style=| on[a-z]+=`)
	address := regexp.MustCompile(`(?:https?:)?//[a-z0-9.-]+\.[a-z]+`)
	for name, file := range dashboardFiles {
		if found := bad.FindString(file.content); found != "" {
			t.Errorf("%q has %q", name, found)
		}
		for _, found := range address.FindAllString(file.content, -1) {
			if !strings.Contains(found, "//www.w3.org") { // the name of SVG
				t.Errorf("%q names %s", name, found)
			}
		}
	}
}
