package redisstore

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

const traceScope = "github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"

// tracing is a redis.Hook that records a span for each dial, and for each try of a
// command, if the context is traced. A span has the name of the command and none of its
// arguments, which are scripts, keys and values. (go-redis's own hook always records
// spans, and needs a newer OpenTelemetry than Caddy has.)
type tracing struct{ attributes []attribute.KeyValue }

func newTracing(o *redis.Options) *tracing {
	attributes := []attribute.KeyValue{
		attribute.String("db.system.name", "redis"),
		attribute.String("db.namespace", strconv.Itoa(o.DB)),
	}
	// OpenTelemetry's conventions want the host without the port, or the path of a
	// socket.
	host, port, err := net.SplitHostPort(o.Addr)
	if o.Network == "unix" || err != nil {
		return &tracing{append(attributes, attribute.String("server.address", o.Addr))}
	}
	attributes = append(attributes, attribute.String("server.address", host))
	if n, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, attribute.Int("server.port", n))
	}
	return &tracing{attributes}
}

func (t *tracing) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, s := t.begin(ctx, "redis dial")
		conn, err := next(ctx, network, addr)
		endSpan(s, err)
		return conn, err
	}
}

func (t *tracing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !trace.SpanFromContext(ctx).IsRecording() {
			return next(ctx, cmd)
		}
		name := strings.ToUpper(cmd.Name())
		ctx, s := t.begin(ctx, "redis "+name, attribute.String("db.operation.name", name))
		err := next(ctx, cmd)
		endSpan(s, err)
		return err
	}
}

// ProcessPipelineHook records nothing: go-redis uses pipelines to set up connections.
func (t *tracing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// begin begins a span, if ctx is traced.
func (t *tracing) begin(ctx context.Context, name string, more ...attribute.KeyValue) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, nil
	}
	return parent.TracerProvider().Tracer(traceScope).Start(ctx, name,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(t.attributes...), trace.WithAttributes(more...))
}

// endSpan ends a span with the kind of the error. The text of a server's error stays out:
// it is not for every reader of traces.
func endSpan(s trace.Span, err error) {
	if s == nil {
		return
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		kind := "connection"
		switch {
		case isReply(err):
			kind = errorType(err)
		case isTimeout(err):
			kind = "timeout"
		}
		s.SetAttributes(attribute.String("error.type", kind))
		// NOSCRIPT is normal at the first call of a script.
		if kind != "NOSCRIPT" {
			s.SetStatus(codes.Error, kind)
		}
	}
	s.End()
}
