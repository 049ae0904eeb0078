package integration

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// receiver receives the spans that OpenTelemetry sends over HTTP.
type receiver struct {
	t    testing.TB
	mu   sync.Mutex
	sent []byte
	all  map[string]*spans.Span // by name
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var message collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &message)
	}
	if err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, body...)
	for _, resource := range message.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				r.all[s.Name] = s
			}
		}
	}
}

func (r *receiver) span(name string) *spans.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[name]
}

func TestCaddysTracingShowsFetchAndApply(t *testing.T) {
	r := &receiver{t: t, all: make(map[string]*spans.Span)}
	at := httptest.NewServer(r)
	defer at.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", at.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10") // ms
	redis := redistest.Start(t)
	s := start(t, `
tracing {
	span "{http.request.method}"
}
redis_proxy {
	store `+redis.URL()+`
}`)
	const trace = "0af7651916cd43dd8448eb211c80319c"
	at2 := "http://" + s.http + "/cache/some-key"
	post(t, s.plain, at2, "some-value").expectStatus(t, http.StatusCreated)
	get(t, s.plain, at2, "Traceparent", "00-"+trace+"-b7ad6b7169203331-01").expect(t, http.StatusOK, "some-value")

	for _, chain := range [][]string{
		{"POST", "redis_proxy apply", "redis_proxy apply batch", "redis EVALSHA"},
		{"GET", "redis_proxy fetch", "redis_proxy fetch batch"},
	} {
		for i, name := range chain {
			eventually(t, name+" has arrived", func() bool { return r.span(name) != nil })
			if i == 0 || name == "redis EVALSHA" {
				continue
			}
			// A span arrives before its parent, and an earlier request may have one of the
			// same name.
			eventually(t, name+" is a child of "+chain[i-1], func() bool {
				return bytes.Equal(r.span(name).ParentSpanId, r.span(chain[i-1]).SpanId)
			})
		}
	}
	if got := hex.EncodeToString(r.span("redis_proxy fetch batch").TraceId); got != trace {
		t.Errorf("the fetch is in the trace %s, not in the client's", got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes.Contains(r.sent, []byte("some-value")) {
		t.Error("a value is in a span")
	}
}
