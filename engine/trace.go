package engine

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Names in traces. Traces never contain keys or values.
const (
	traceScope = "github.com/redis-proxy/caddy-redis-proxy/engine"

	spanFetch      = "redis_proxy fetch"
	spanFetchBatch = "redis_proxy fetch batch"
	spanApply      = "redis_proxy apply"
	spanApplyBatch = "redis_proxy apply batch"

	attrNamespace = attribute.Key("redis_proxy.namespace")
	attrKeys      = attribute.Key("redis_proxy.keys")
	attrFound     = attribute.Key("redis_proxy.found")
	attrWrites    = attribute.Key("redis_proxy.writes")
	attrEvicted   = attribute.Key("redis_proxy.evicted")
	attrOutcome   = attribute.Key("redis_proxy.outcome")
)

// span is a span that is being recorded. It is nil without tracing, and its methods then
// do nothing.
type span struct {
	otel   trace.Span
	linked *span // the target of its last link
}

// work describes the work that a span records.
type work struct {
	name, namespace string
	unit            attribute.Key // the attribute that has size
	size            int
}

// beginCall begins the span of a call that waits for the store, if ctx belongs to a
// traced request.
func beginCall(ctx context.Context, w work) *span {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return nil
	}
	return begin(ctx, parent, w, nil)
}

// beginBatch begins the span of a batch, and returns the context for the call to the
// store. A batch may serve many traces, but a span belongs to one: that of the first
// call that waits for the batch. The span has links to the other calls, and they to it.
func beginBatch(ctx context.Context, w work, calls []*span) (context.Context, *span) {
	if len(calls) == 0 {
		return ctx, nil
	}
	links := make([]trace.Link, len(calls)-1)
	for i, c := range calls[1:] {
		links[i] = trace.Link{SpanContext: c.otel.SpanContext()}
	}
	ctx = trace.ContextWithSpan(ctx, calls[0].otel)
	s := begin(ctx, calls[0].otel, w, links)
	return trace.ContextWithSpan(ctx, s.otel), s
}

func begin(ctx context.Context, parent trace.Span, w work, links []trace.Link) *span {
	tracer := parent.TracerProvider().Tracer(traceScope)
	_, s := tracer.Start(ctx, w.name, trace.WithLinks(links...), trace.WithAttributes(attrNamespace.String(w.namespace), w.unit.Int(w.size)))
	return &span{otel: s}
}

// waitedFor links the span of a call to the span of a batch that it waited for, once.
func (s *span) waitedFor(batch *span) {
	if s != nil && batch != nil && s.linked != batch {
		s.linked = batch
		s.otel.AddLink(trace.Link{SpanContext: batch.otel.SpanContext()})
	}
}

// spansOfFlights returns the spans of the calls that wait for a batch of flights.
func spansOfFlights(flights []*flight) (spans []*span) {
	for _, fl := range flights {
		for _, s := range fl.spans {
			// A call for many keys waits for many flights.
			if !slices.Contains(spans, s) {
				spans = append(spans, s)
			}
		}
	}
	return spans
}

func spansOfJobs(jobs []*job) (spans []*span) {
	for _, j := range jobs {
		if j.span != nil {
			spans = append(spans, j.span)
		}
	}
	return spans
}

// endFetch ends the span of a call.
func (s *span) endFetch(err error, answers ...Answer) {
	if s == nil {
		return
	}
	n := 0
	for _, a := range answers {
		if a.Entry != nil {
			n++
		}
	}
	s.endFound(n, KindOf, err)
}

// endFetches ends the span of a batch, and sets it in the flights for their calls.
func (s *span) endFetches(flights []*flight, fetched store.Fetched, err error) {
	if s == nil {
		return
	}
	n := 0
	for _, e := range fetched.Entries {
		if e != nil {
			n++
		}
	}
	for _, fl := range flights {
		fl.batch = s
	}
	s.endFound(n, kindOfCall, err)
}

func (s *span) endFound(n int, kindOf func(error) Kind, err error) {
	outcome := "store"
	if n == 0 {
		outcome = "absent"
	}
	s.otel.SetAttributes(attrFound.Int(n))
	s.end(outcome, kindOf, err)
}

// endWrite ends the span of a call.
func (s *span) endWrite(r store.Result, err error) {
	if s != nil {
		s.end(r.Outcome.String(), KindOf, err)
	}
}

// endApply ends the span of a batch, and links the spans of its calls to it.
func (s *span) endApply(jobs []*job, applied store.Applied, err error) {
	if s == nil {
		return
	}
	for _, j := range jobs {
		j.span.waitedFor(s)
	}
	s.otel.SetAttributes(attrEvicted.Int(len(applied.Evicted)))
	s.end("applied", kindOfCall, err)
}

// end ends a span with an outcome, or with the name of a failure. Texts of errors stay
// out: they may be a server's, and are not for every reader of traces.
func (s *span) end(outcome string, kindOf func(error) Kind, err error) {
	if err != nil {
		outcome = failureName(kindOf(err), err)
		s.otel.SetStatus(codes.Error, outcome)
	}
	s.otel.SetAttributes(attrOutcome.String(outcome))
	s.otel.End()
}
