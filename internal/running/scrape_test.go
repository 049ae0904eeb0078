package running_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/sitetest"
)

// metricFamily is one metric as Prometheus receives it.
type metricFamily struct {
	kind   string
	labels map[string]map[string]bool // and the values of each
}

// gather reads all of our metrics from a configuration's registry.
func gather(t *testing.T, ctx caddy.Context) map[string]metricFamily {
	t.Helper()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]metricFamily)
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "caddy_redis_proxy_") {
			continue
		}
		m := metricFamily{strings.ToLower(f.GetType().String()), make(map[string]map[string]bool)}
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if m.labels[l.GetName()] == nil {
					m.labels[l.GetName()] = make(map[string]bool)
				}
				m.labels[l.GetName()][l.GetValue()] = true
			}
		}
		all[f.GetName()] = m
	}
	return all
}

// allMetrics returns the metrics of a handler with several partitions after some requests. A
// handler has no other metrics.
func allMetrics(t *testing.T) map[string]metricFamily {
	t.Helper()
	ctx := sitetest.Context(t)
	h := sitetest.Parse(t, "partitions 2\nstore "+redistest.StartCluster(t, 3).URL())
	sitetest.Provision(t, ctx, h)
	s := sitetest.Serve(t, h)
	s.Send("POST /cache/k\n\nv")
	return gather(t, ctx)
}

// TestAScrapeBeginsNothing: a scrape changes nothing in the store before the first
// request.
func TestAScrapeBeginsNothing(t *testing.T) {
	redis := redistest.Start(t)
	ctx := sitetest.Context(t)
	sitetest.Provision(t, ctx, sitetest.Parse(t, "store "+redis.URL()))
	there := gather(t, ctx)
	if _, ok := there["caddy_redis_proxy_keys"]; !ok {
		t.Error("the number of keys is not told")
	}
	if _, ok := there["caddy_redis_proxy_max_keys"]; ok {
		t.Error("a limit is told that is not in force")
	}
	if n, err := redis.Client().DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("Redis has %d keys, %v", n, err)
	}
}

var metricRow = regexp.MustCompile("(?m)^\\| `(caddy_redis_proxy_[a-z_]+)` \\| (\\w+) \\| (.*?) ?\\|")

func TestDocsListTheMetricsThatThereAre(t *testing.T) {
	docs, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	there := allMetrics(t)
	for _, row := range metricRow.FindAllStringSubmatch(string(docs), -1) {
		name, kind := row[1], row[2]
		m, ok := there[name]
		if !ok {
			t.Errorf("%s is documented, and does not exist or is listed twice", name)
			continue
		}
		if m.kind != kind {
			t.Errorf("%s is documented as a %s and is a %s", name, kind, m.kind)
		}
		ofCache := []string{"namespace", "store"}
		isOfBuild := name == "caddy_redis_proxy_build_info"
		if isOfBuild {
			ofCache = nil
		}
		want := slices.Clone(ofCache)
		for _, label := range strings.Split(row[3], ", ") {
			if label != "" {
				want = append(want, strings.Trim(label, "`"))
			}
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(m.labels)); !slices.Equal(got, want) {
			t.Errorf("%s has the labels %v, documented are %v", name, got, want)
		}
		for label, values := range m.labels {
			if isOfBuild {
				break // its values change with every release
			}
			for value := range values {
				if !slices.Contains(ofCache, label) && !strings.Contains(string(docs), "`"+value+"`") {
					t.Errorf("%s: the value %s of %s is not documented", name, value, label)
				}
			}
		}
		delete(there, name)
	}
	for name := range there {
		t.Errorf("%s is not documented", name)
	}
}

func TestDocsListAllOutcomes(t *testing.T) {
	docs, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(docs), "| `outcome` |")
	table, _, _ = strings.Cut(table, "\n\n")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, row[1])
	}
	names := slices.Clone(running.OutcomeNames[:])
	slices.Sort(names)
	slices.Sort(documented)
	if !slices.Equal(names, documented) {
		t.Errorf("documented are %v, and there are %v", documented, names)
	}
	for _, name := range running.OperationNames {
		if !strings.Contains(string(docs), "`"+name+"`") {
			t.Errorf("the operation %s is not documented", name)
		}
	}
}

// TestHandlersOfOneEngineCountTogether registers twice in one configuration,
// and once more in another one.
func TestHandlersOfOneEngineCountTogether(t *testing.T) {
	ctx := sitetest.Context(t)
	a, b := sitetest.Parse(t, "namespace together"), sitetest.Parse(t, "namespace together\npath_prefix /kv")
	sitetest.Provision(t, ctx, a)
	sitetest.Provision(t, ctx, b)
	sitetest.Provision(t, ctx, sitetest.Parse(t, "namespace other"))
	sitetest.Serve(t, a).Send("GET /cache/k")
	sitetest.Serve(t, b).Send("GET /kv/k")
	next := sitetest.Context(t)
	sitetest.Provision(t, next, sitetest.Parse(t, "namespace together"))
	for _, c := range []caddy.Context{ctx, next} {
		if n := value(t, c.GetMetricsRegistry(), "caddy_redis_proxy_requests_total", map[string]string{
			"namespace": "together", "store": "embedded", "operation": "get", "outcome": "absent",
		}); n != 2 {
			t.Errorf("%v absent", n)
		}
	}
}

// value returns the value of one counter or gauge.
func value(t *testing.T, from prometheus.Gatherer, name string, want map[string]string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, series := range f.GetMetric() {
			have := make(map[string]string)
			for _, l := range series.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			if maps.Equal(have, want) {
				return series.GetCounter().GetValue() + series.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s%v", name, want)
	return 0
}

// TestErrorsAreThereBeforeTheFirst checks that error counters begin at 0: otherwise an alert
// on an increase would miss the first error.
func TestErrorsAreThereBeforeTheFirst(t *testing.T) {
	ofReads := []string{"failed", "timeout", "unavailable", "refused", "closed"}
	ofWrites := append([]string{"queue_full", "unknown", "not_durable"}, ofReads...)
	usual := map[string][]string{"get": {"local", "store", "stale", "absent"}, "post": {"created", "conflict"}}
	for methods, errorsOf := range map[string]map[string][]string{
		"":                        {"get": ofReads, "batch_get": ofReads, "post": ofWrites},
		"methods GET PUT DELETE":  {"get": ofReads, "batch_get": ofReads, "put": ofWrites, "delete": ofWrites},
		"methods HEAD":            {"get": ofReads, "batch_get": ofReads},
		"methods POST PUT DELETE": {"post": ofWrites, "put": ofWrites, "delete": ofWrites},
	} {
		t.Run(methods, func(t *testing.T) {
			h := sitetest.Parse(t, methods)
			h.Namespace = sitetest.Namespace(t)
			ctx := sitetest.Context(t)
			sitetest.Provision(t, ctx, h)
			want := make(map[string]bool)
			for _, outcomes := range []map[string][]string{usual, errorsOf} {
				for op, names := range outcomes {
					for _, o := range names {
						want[op+" "+o] = true
					}
				}
			}
			families, err := ctx.GetMetricsRegistry().Gather()
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]bool)
			for _, f := range families {
				if f.GetName() != "caddy_redis_proxy_requests_total" {
					continue
				}
				for _, series := range f.GetMetric() {
					labels := make(map[string]string)
					for _, l := range series.GetLabel() {
						labels[l.GetName()] = l.GetValue()
					}
					if series.GetCounter().GetValue() != 0 {
						t.Errorf("%v is not 0", labels)
					}
					got[labels["operation"]+" "+labels["outcome"]] = true
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("there are\n%v, want\n%v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
		})
	}
}
