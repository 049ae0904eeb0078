// Package spantest records spans in memory, for tests. It is the small part of
// OpenTelemetry's SDK that tests need. So go.mod need not require the SDK.
package spantest

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// Span is a recorded span.
type Span struct {
	Name       string
	Context    trace.SpanContext
	Parent     trace.SpanContext
	Links      []trace.Link
	Attributes []attribute.KeyValue
	Events     []string // each with its attributes; recorded errors are among them
	Status     codes.Code
	Reason     string // of the status
}

// Recorder is a trace.TracerProvider that keeps its spans.
type Recorder struct {
	embedded.TracerProvider

	mu    sync.Mutex
	spans []*span // in the order in which they began
}

// Ended returns the spans that have ended, in the order in which they began.
func (r *Recorder) Ended() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ended []Span
	for _, s := range r.spans {
		if s.hasEnded {
			ended = append(ended, s.kept)
		}
	}
	return ended
}

// Begun returns how many spans were begun.
func (r *Recorder) Begun() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spans)
}

// Trace runs f as a traced request, with a span of the given name.
func (r *Recorder) Trace(ctx context.Context, name string, f func(context.Context)) {
	ctx, s := tracer{r: r}.Start(ctx, name)
	defer s.End()
	f(ctx)
}

// Unsampled returns the context of a request that is not traced. The recorder still keeps
// each span that code begins in it, for tests to find.
func (r *Recorder) Unsampled(ctx context.Context) context.Context {
	return trace.ContextWithSpan(ctx, unsampled{recorder: r})
}

// Tracer is part of trace.TracerProvider.
func (r *Recorder) Tracer(string, ...trace.TracerOption) trace.Tracer { return tracer{r: r} }

type tracer struct {
	embedded.Tracer
	r *Recorder
}

func (t tracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(options...)
	parent := trace.SpanContextFromContext(ctx)
	s := &span{recorder: t.r, kept: Span{
		Name: name, Parent: parent, Links: slices.Clone(config.Links()), Attributes: slices.Clone(config.Attributes()),
	}}
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.r.spans = append(t.r.spans, s)
	// The id of a span is its number. The id of a trace is that of its first span.
	identity := trace.SpanContextConfig{TraceID: parent.TraceID(), TraceFlags: trace.FlagsSampled}
	binary.BigEndian.PutUint64(identity.SpanID[:], uint64(len(t.r.spans)))
	if !parent.IsValid() {
		copy(identity.TraceID[:], identity.SpanID[:])
	}
	s.kept.Context = trace.NewSpanContext(identity)
	return trace.ContextWithSpan(ctx, s), s
}

// span is a span that is being recorded. Its recorder's lock guards it.
type span struct {
	embedded.Span
	recorder *Recorder
	kept     Span
	hasEnded bool
}

// set changes the span, unless it has ended.
func (s *span) set(change func(*Span)) {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	if !s.hasEnded {
		change(&s.kept)
	}
}

func (s *span) End(...trace.SpanEndOption) {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	s.hasEnded = true
}

func (s *span) AddEvent(name string, options ...trace.EventOption) {
	config := trace.NewEventConfig(options...)
	s.set(func(k *Span) { k.Events = append(k.Events, fmt.Sprint(name, config.Attributes())) })
}

func (s *span) RecordError(err error, options ...trace.EventOption) {
	if err != nil {
		s.AddEvent(err.Error(), options...)
	}
}

func (s *span) AddLink(link trace.Link) {
	s.set(func(k *Span) { k.Links = append(k.Links, link) })
}

func (s *span) SetStatus(code codes.Code, reason string) {
	s.set(func(k *Span) { k.Status, k.Reason = code, reason })
}

func (s *span) SetName(name string) {
	s.set(func(k *Span) { k.Name = name })
}

// SetAttributes adds attributes, and replaces those that have the same names.
func (s *span) SetAttributes(attributes ...attribute.KeyValue) {
	s.set(func(k *Span) {
		for _, a := range attributes {
			i := slices.IndexFunc(k.Attributes, func(old attribute.KeyValue) bool { return old.Key == a.Key })
			if i < 0 {
				k.Attributes = append(k.Attributes, a)
			} else {
				k.Attributes[i] = a
			}
		}
	})
}

func (s *span) IsRecording() bool { return true }

func (s *span) SpanContext() trace.SpanContext { return s.kept.Context }

func (s *span) TracerProvider() trace.TracerProvider { return s.recorder }

// unsampled is the span of a request that is not traced.
type unsampled struct {
	noop.Span
	recorder *Recorder
}

func (u unsampled) TracerProvider() trace.TracerProvider { return u.recorder }
