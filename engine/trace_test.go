package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/spantest"
)

// lines shows spans in the order in which they began, one a line:
// "name < parent -> links [attributes]".
func lines(spans []spantest.Span) []string {
	names := make(map[trace.SpanID]string)
	for _, s := range spans {
		names[s.Context.SpanID()] = s.Name
	}
	var lines []string
	for _, s := range spans {
		line := s.Name
		if s.Parent.IsValid() {
			line += " < " + names[s.Parent.SpanID()]
		}
		for _, link := range s.Links {
			line += " -> " + names[link.SpanContext.SpanID()]
		}
		var attributes []string
		for _, a := range s.Attributes {
			name := strings.TrimPrefix(string(a.Key), "redis_proxy.")
			if name != "namespace" && !strings.HasPrefix(name, "server.") {
				attributes = append(attributes, name+"="+a.Value.String())
			}
		}
		if s.Reason != "" {
			attributes = append(attributes, "error")
		}
		if attributes != nil {
			line += " " + fmt.Sprint(attributes)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestATraceShowsWhatARequestWaitedFor(t *testing.T) {
	redis := redistest.Start(t)
	target, err := redisstore.Parse(redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	st := redisstore.New(redisstore.Config{Target: target, Namespace: "traced", Logger: zap.NewNop()})
	e := engine.New(st, patient(), engine.Options{Namespace: "traced"})
	t.Cleanup(func() { _ = e.Close() })
	// The connection, and the scripts.
	create(t, e, "warm", "v")
	value(t, e, "warm")

	var r spantest.Recorder
	r.Trace(t.Context(), "POST", func(ctx context.Context) {
		want(t, store.Created)(e.Write(ctx, store.Write{Op: store.Create, Key: "the key", Value: text("the value")}))
	})
	r.Trace(t.Context(), "GET", func(ctx context.Context) {
		if _, err := e.GetMany(ctx, []string{"the key", "no key"}, engine.Read{}, store.AnyRoom); err != nil {
			t.Error(err)
		}
	})
	r.Trace(t.Context(), "a local GET", func(ctx context.Context) {
		if a, err := e.Get(ctx, "the key", engine.Read{}); err != nil || a.Source != engine.Local {
			t.Errorf("%+v, %v", a, err)
		}
	})
	got := slices.DeleteFunc(lines(r.Ended()), func(s string) bool { return strings.HasPrefix(s, "redis dial") })
	expected := []string{
		"POST",
		"redis_proxy apply < POST -> redis_proxy apply batch [writes=1 outcome=created]",
		"redis_proxy apply batch < redis_proxy apply [writes=1 evicted=0 outcome=applied]",
		"redis EVALSHA < redis_proxy apply batch [db.system.name=redis db.namespace=0 db.operation.name=EVALSHA]",
		"GET",
		"redis_proxy fetch < GET -> redis_proxy fetch batch [keys=2 found=1 outcome=store]",
		"redis_proxy fetch batch < redis_proxy fetch [keys=2 found=1 outcome=store]",
		"redis EVALSHA < redis_proxy fetch batch [db.system.name=redis db.namespace=0 db.operation.name=EVALSHA]",
		"a local GET",
	}
	if !slices.Equal(got, expected) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
	}
	for _, s := range r.Ended() {
		if shown := fmt.Sprintf("%+v", s); strings.Contains(shown, "the key") || strings.Contains(shown, "the value") {
			t.Errorf("a key or a value is in a span: %s", shown)
		}
	}
}

func TestRequestsThatShareABatchAreLinkedToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		create(t, e, "k", "v")
		hold := make(chan struct{})
		st.set(func() {
			st.beforeFetch = func([]string) error { <-hold; return nil }
			st.beforeApply = func(store.Batch) error { <-hold; return nil }
		})
		var r spantest.Recorder
		later := func(name string, call func(context.Context)) {
			go r.Trace(t.Context(), name, call)
			synctest.Wait()
		}
		read := func(ctx context.Context) { _, _ = e.Get(ctx, "k", engine.Read{}) }
		write := func(key string) func(context.Context) {
			return func(ctx context.Context) {
				_, _ = e.Write(ctx, store.Write{Op: store.Create, Key: key, Value: text("v")})
			}
		}
		later("first GET", read)
		go read(context.Background()) // this read is not traced
		later("second GET", read)
		later("POST a", write("a"))
		later("POST b", write("b"))
		go write("c")(context.Background())
		later("POST d", write("d"))
		close(hold)
		synctest.Wait()

		got := lines(r.Ended())
		slices.Sort(got)
		expected := []string{
			"POST a", "POST b", "POST d", "first GET", "second GET",
			"redis_proxy apply < POST a -> redis_proxy apply batch [writes=1 outcome=created]",
			"redis_proxy apply < POST b -> redis_proxy apply batch [writes=1 outcome=created]",
			"redis_proxy apply < POST d -> redis_proxy apply batch [writes=1 outcome=created]",
			"redis_proxy apply batch < redis_proxy apply -> redis_proxy apply [writes=3 evicted=0 outcome=applied]",
			"redis_proxy apply batch < redis_proxy apply [writes=1 evicted=0 outcome=applied]",
			"redis_proxy fetch < first GET -> redis_proxy fetch batch [keys=1 found=1 outcome=store]",
			"redis_proxy fetch < second GET -> redis_proxy fetch batch [keys=1 found=1 outcome=store]",
			"redis_proxy fetch batch < redis_proxy fetch [keys=1 found=1 outcome=store]",
		}
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
		}
	})
}

func TestATraceSaysWhyARequestFailed(t *testing.T) {
	st := newScripted()
	e := open(t, st, patient())
	st.set(func() {
		st.beforeFetch = func([]string) error { return store.ErrRefused }
		st.beforeApply = func(store.Batch) error { return store.ErrFateUnknown }
	})
	var r spantest.Recorder
	r.Trace(t.Context(), "GET", func(ctx context.Context) { _, _ = e.Get(ctx, "k", engine.Read{}) })
	r.Trace(t.Context(), "POST", func(ctx context.Context) {
		_, _ = e.Write(ctx, store.Write{Op: store.Create, Key: "k", Value: text("v")})
	})
	got := lines(r.Ended())
	for _, want := range []string{
		"redis_proxy fetch < GET -> redis_proxy fetch batch [keys=1 found=0 outcome=refused error]",
		"redis_proxy fetch batch < redis_proxy fetch [keys=1 found=0 outcome=refused error]",
		"redis_proxy apply < POST -> redis_proxy apply batch [writes=1 outcome=unknown error]",
		"redis_proxy apply batch < redis_proxy apply [writes=1 evicted=0 outcome=unknown error]",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing from\n%s", want, strings.Join(got, "\n"))
		}
	}
}

func TestARequestThatIsNotTracedMakesNoSpan(t *testing.T) {
	e := open(t, newScripted(), patient())
	create(t, e, "k", "v")
	var r spantest.Recorder
	if _, err := e.Get(r.Unsampled(t.Context()), "k", engine.Read{NoCache: true}); err != nil {
		t.Error(err)
	}
	if n := r.Begun(); n != 0 {
		t.Errorf("%d spans", n)
	}
}
