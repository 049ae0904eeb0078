package redisproxy

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// metricFamily is what Prometheus gets to see of one metric.
type metricFamily struct {
	kind   string
	labels map[string]map[string]bool // with the values of each
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

// allMetrics are those of a handler over Redis that has been used: there are no
// others.
func allMetrics(t *testing.T) map[string]metricFamily {
	t.Helper()
	ctx := newContext(t)
	h := parse(t, "store "+redistest.Start(t).URL())
	provision(t, ctx, h)
	s := serve(t, h)
	s.send("POST /cache/k\n\nv")
	return gather(t, ctx)
}

// TestAScrapeBeginsNothing: a configuration that nobody has used changes nothing
// in the store, though it is scraped.
func TestAScrapeBeginsNothing(t *testing.T) {
	redis := redistest.Start(t)
	ctx := newContext(t)
	provision(t, ctx, parse(t, "store "+redis.URL()))
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
	docs, err := os.ReadFile("docs/metrics.md")
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
		want := []string{"namespace", "store"}
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
			for value := range values {
				if label != "namespace" && label != "store" && !strings.Contains(string(docs), "`"+value+"`") {
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
	docs, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(docs), "| `outcome` |")
	table, _, _ = strings.Cut(table, "\n\n")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, row[1])
	}
	names := slices.Clone(outcomeNames[:])
	slices.Sort(names)
	slices.Sort(documented)
	if !slices.Equal(names, documented) {
		t.Errorf("documented are %v, and there are %v", documented, names)
	}
	for _, name := range operationNames {
		if !strings.Contains(string(docs), "`"+name+"`") {
			t.Errorf("the operation %s is not documented", name)
		}
	}
}

// checkQuery fails the test unless a PromQL expression uses only metrics,
// labels and values that exist.
func checkQuery(t *testing.T, there map[string]metricFamily, where, query string) {
	t.Helper()
	// What Grafana replaces.
	query = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h").Replace(query)
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v in %s", where, err, query)
		return
	}
	available := map[string]bool{"instance": true, "job": true}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		name := selector.Name
		m, ok := there[name]
		if !ok {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, cut := strings.CutSuffix(name, suffix); cut && there[base].kind == "histogram" {
					m, ok = there[base], true
				}
			}
			if strings.HasSuffix(name, "_bucket") {
				available["le"] = true
			}
		}
		if !ok {
			t.Errorf("%s: there is no metric %s in %s", where, name, query)
			return nil
		}
		for label := range m.labels {
			available[label] = true
		}
		for _, matcher := range selector.LabelMatchers {
			values, ok := m.labels[matcher.Name]
			switch {
			case matcher.Name == "__name__" || matcher.Name == "instance" || matcher.Name == "job":
			case !ok:
				t.Errorf("%s: %s has no label %s", where, name, matcher.Name)
			case strings.HasPrefix(matcher.Value, "$"):
			case !matchesKnown(matcher, values):
				t.Errorf("%s: %s matches no series", where, selector)
			}
		}
		return nil
	})
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		var used []string
		switch n := node.(type) {
		case *parser.AggregateExpr:
			used = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				used = append(n.VectorMatching.MatchingLabels, n.VectorMatching.Include...)
			}
		}
		for _, label := range used {
			if !available[label] {
				t.Errorf("%s: no metric of it has the label %s in %s", where, label, query)
			}
		}
		return nil
	})
}

// matchesKnown reports whether a matcher meets a value; of outcomes and
// operations also one that did not happen.
func matchesKnown(matcher *labels.Matcher, seen map[string]bool) bool {
	values := slices.Collect(maps.Keys(seen))
	switch matcher.Name {
	case "outcome":
		values = outcomeNames[:]
	case "operation":
		values = operationNames[:]
	}
	if matcher.Type == labels.MatchRegexp {
		// Each alternative has to be one.
		for _, alternative := range strings.Split(matcher.Value, "|") {
			if !slices.Contains(values, alternative) {
				return false
			}
		}
		return true
	}
	return matcher.Type != labels.MatchEqual || slices.Contains(values, matcher.Value)
}

func TestAlertsUseMetricsThatExist(t *testing.T) {
	file, err := os.ReadFile("docs/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(file)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	there := allMetrics(t)
	alerts := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts++
			checkQuery(t, there, r.Alert, r.Expr)
			if r.Labels["severity"] == "" || r.For == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s has no severity, time, summary or description", r.Alert)
			}
		}
	}
	if alerts < 8 {
		t.Errorf("only %d alerts were found", alerts)
	}
}

func TestGrafanaDashboardUsesMetricsThatExist(t *testing.T) {
	file, err := os.ReadFile("docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	type target struct{ Expr, RefID string }
	type panel struct {
		ID      int
		Title   string
		Type    string
		Targets []target
		GridPos struct{ X, Y, W, H int }
	}
	var dashboard struct {
		UID           string
		SchemaVersion int
		Panels        []panel
		Templating    struct {
			List []struct{ Name, Type string }
		}
	}
	if err := json.Unmarshal(file, &dashboard); err != nil {
		t.Fatal(err)
	}
	there := allMetrics(t)
	used := ""
	ids := make(map[int]bool)
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("%s: there are two panels of its id", p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 {
			t.Errorf("%s lies outside of the grid", p.Title)
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			checkQuery(t, there, p.Title, target.Expr)
			used += target.Expr + "\n"
		}
	}
	for name := range there {
		if !strings.Contains(used, name) {
			t.Errorf("no panel shows %s", name)
		}
	}
	if dashboard.SchemaVersion < 39 || dashboard.UID == "" || len(dashboard.Templating.List) < 4 {
		t.Errorf("the dashboard is not complete: %+v", dashboard.Templating)
	}
}

// TestHandlersOfOneEngineCountTogether registers twice in one configuration,
// and once more in another one.
func TestHandlersOfOneEngineCountTogether(t *testing.T) {
	ctx := newContext(t)
	a, b := parse(t, "namespace together"), parse(t, "namespace together\npath_prefix /kv")
	provision(t, ctx, a)
	provision(t, ctx, b)
	provision(t, ctx, parse(t, "namespace other"))
	serve(t, a).send("GET /cache/k")
	serve(t, b).send("GET /kv/k")
	next := newContext(t)
	provision(t, next, parse(t, "namespace together"))
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
