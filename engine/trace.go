package engine

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Names in traces. Neither keys nor values are ever in them.
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

// span is one that is being recorded; nil when nobody traces. Its methods then do
// nothing.
type span struct {
	trace.Span
	linked *span // the last one that it was linked to
}

// beginWait begins the span of a call that waits for the store, if ctx belongs
// to a request that is traced.
func beginWait(ctx context.Context, name, namespace string, unit attribute.Key, n int) *span {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return nil
	}
	return begin(ctx, parent, name, nil, attrNamespace.String(namespace), unit.Int(n))
}

// beginBatch begins the span of a batch, and returns the context of the call to
// the store. A batch belongs to many traces, and a span to one: that of the
// first call that waits for the batch. Links lead to the others, and from them.
func beginBatch(ctx context.Context, name, namespace string, unit attribute.Key, n int, waits []*span) (context.Context, *span) {
	if len(waits) == 0 {
		return ctx, nil
	}
	links := make([]trace.Link, len(waits)-1)
	for i, w := range waits[1:] {
		links[i] = trace.Link{SpanContext: w.SpanContext()}
	}
	ctx = trace.ContextWithSpan(ctx, waits[0])
	s := begin(ctx, waits[0], name, links, attrNamespace.String(namespace), unit.Int(n))
	return trace.ContextWithSpan(ctx, s), s
}

func begin(ctx context.Context, parent trace.Span, name string, links []trace.Link, attributes ...attribute.KeyValue) *span {
	_, s := parent.TracerProvider().Tracer(traceScope).Start(ctx, name, trace.WithAttributes(attributes...), trace.WithLinks(links...))
	return &span{Span: s}
}

// waitedFor links the span of a call to that of a batch it waited for, once.
func (s *span) waitedFor(batch *span) {
	if s != nil && batch != nil && s.linked != batch {
		s.linked = batch
		s.AddLink(trace.Link{SpanContext: batch.SpanContext()})
	}
}

// waitsOfFlights returns the spans of the calls that a batch was sent for.
func waitsOfFlights(flights []*flight) (waits []*span) {
	for _, fl := range flights {
		for _, w := range fl.waits {
			// A call for many keys waits in as many flights.
			if !slices.Contains(waits, w) {
				waits = append(waits, w)
			}
		}
	}
	return waits
}

func waitsOfJobs(jobs []*job) (waits []*span) {
	for _, j := range jobs {
		if j.wait != nil {
			waits = append(waits, j.wait)
		}
	}
	return waits
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

// endFetches ends the span of a batch, and lets the calls know of it.
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
	s.SetAttributes(attrFound.Int(n))
	s.end(outcome, kindOf, err)
}

// endWrite ends the span of a call.
func (s *span) endWrite(r store.Result, err error) {
	if s != nil {
		s.end(outcomeName(r.Outcome), KindOf, err)
	}
}

// endApply ends the span of a batch, and lets the calls know of it.
func (s *span) endApply(jobs []*job, applied store.Applied, err error) {
	if s == nil {
		return
	}
	for _, j := range jobs {
		j.wait.waitedFor(s)
	}
	s.SetAttributes(attrEvicted.Int(len(applied.Evicted)))
	s.end("applied", kindOfCall, err)
}

// end ends a span with an outcome, or the name of a failure. The words of errors
// stay out: those of a server are not ours to pass on.
func (s *span) end(outcome string, kindOf func(error) Kind, err error) {
	if err != nil {
		outcome = failureName(kindOf(err), err)
		s.SetStatus(codes.Error, outcome)
	}
	s.SetAttributes(attrOutcome.String(outcome))
	s.End()
}

func outcomeName(o store.Outcome) string {
	switch o {
	case store.Created:
		return "created"
	case store.Replaced:
		return "replaced"
	case store.Deleted:
		return "deleted"
	case store.Conflict:
		return "conflict"
	case store.Absent:
		return "absent"
	case store.PreconditionFailed:
		return "precondition_failed"
	case store.TooLarge:
		return "too_large"
	default:
		return "refused"
	}
}
