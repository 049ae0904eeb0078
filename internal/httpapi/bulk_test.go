package httpapi_test

import (
	"strings"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// sendBulk sends lines, and returns those of the answer, with <etag> for ETags.
func sendBulk(s *sitetest.Site, lines ...string) []string {
	answer := s.Send("POST /cache\nContent-Type: application/x-ndjson\n\n" + strings.Join(lines, "\n"))
	_, body, _ := strings.Cut(answer, "\n\n")
	body = sitetest.ETagPattern.ReplaceAllString(strings.ReplaceAll(body, `\"`, `"`), "<etag>")
	return strings.Split(strings.TrimSuffix(body, "\n"), "\n")
}

func TestBulkSmoke(t *testing.T) {
	s := sitetest.New(t, "methods GET POST PUT DELETE")
	for _, l := range sendBulk(s, `{"key":"a","value":1}`, `{"op":"get","key":"a"}`, `{"op":"put","key":"a","base64":"AAEC","content_type":"image/png"}`, ``, `{"op":"get","key":"a"}`, `{"key":"a","value":1}`, `{"op":"delete","key":"a"}`, `{"op":"get","key":"a"}`, `x`) {
		t.Log(l)
	}
}
