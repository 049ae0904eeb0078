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

// tracing is a redis.Hook that makes a span of each dial and each try of a
// command whose context is being traced. It shows the name of a command and
// nothing of its arguments, which are scripts, keys and values. (The hook that
// go-redis offers always makes spans, and asks for a newer OpenTelemetry than
// Caddy is built with.)
type tracing struct{ attributes []attribute.KeyValue }

func newTracing(o *redis.Options) *tracing {
	attributes := []attribute.KeyValue{
		attribute.String("db.system.name", "redis"),
		attribute.String("db.namespace", strconv.Itoa(o.DB)),
	}
	// By the semantic conventions of OpenTelemetry the address is a host alone,
	// or the path of a socket, which has no port.
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

// ProcessPipelineHook is for what go-redis itself sends in pipelines when it
// sets up a connection.
func (t *tracing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// begin returns ctx and no span unless ctx is being traced.
func (t *tracing) begin(ctx context.Context, name string, more ...attribute.KeyValue) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, nil
	}
	return parent.TracerProvider().Tracer(traceScope).Start(ctx, name,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(t.attributes...), trace.WithAttributes(more...))
}

// endSpan shows what kind of error there was. The words of a server are not ours
// to pass on.
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
		// The first call of a script tells whether the server knows it.
		if kind != "NOSCRIPT" {
			s.SetStatus(codes.Error, kind)
		}
	}
	s.End()
}
