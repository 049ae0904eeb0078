package httpapi_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// step is one request and its whole answer.
type step struct {
	name, request, answer string
}

func run(t *testing.T, s *sitetest.Site, steps []step) {
	t.Helper()
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			if got := s.Send(step.request); got != step.answer {
				t.Errorf("%s\n--- got\n%s\n--- want\n%s", step.request, got, step.answer)
			}
		})
	}
}
