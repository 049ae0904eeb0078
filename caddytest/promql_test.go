package integration

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// known has the names and values that a query may use.
type known struct {
	metrics    map[string]metricFamily
	outcomes   []string // all in docs/metrics.md, even those that did not happen
	operations []string
}

// metricFamily is a metric as Prometheus sees it.
type metricFamily struct {
	kind   string
	labels map[string]map[string]bool // with the values of each
}

// knownMetrics returns the metrics of a used cache with several partitions, which are all
// metrics.
func knownMetrics(t *testing.T) known {
	t.Helper()
	s := startAdmin(t, "redis_proxy {\npartitions 2\nstore "+redistest.StartCluster(t, 3).URL()+"\n}")
	post(t, s.plain, "http://"+s.http+"/cache/k", "v").expectStatus(t, http.StatusCreated)
	scraped := get(t, s.plain, "http://"+s.admin+"/metrics")
	scraped.expectStatus(t, http.StatusOK)
	textParser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := textParser.TextToMetricFamilies(strings.NewReader(scraped.body))
	if err != nil {
		t.Fatal(err)
	}
	k := known{metrics: make(map[string]metricFamily)}
	for name, f := range families {
		if !strings.HasPrefix(name, "caddy_redis_proxy_") {
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
		k.metrics[name] = m
	}

	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| `outcome` |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		k.outcomes = append(k.outcomes, row[1])
	}
	_, paragraph, _ := strings.Cut(string(page), "\n`operation` is ")
	paragraph, _, _ = strings.Cut(paragraph, "\n\n")
	for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(paragraph, -1) {
		k.operations = append(k.operations, name[1])
	}
	if k.outcomes == nil || k.operations == nil {
		t.Fatal("docs/metrics.md lists no outcomes or no operations")
	}
	return k
}

// checkQuery fails the test unless a PromQL expression uses only metrics,
// labels and values that exist.
func (k known) checkQuery(t *testing.T, where, query string) {
	t.Helper()
	// Grafana replaces these.
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
		m, ok := k.find(selector.Name)
		if !ok {
			t.Errorf("%s: there is no metric %s in %s", where, selector.Name, query)
			return nil
		}
		if strings.HasSuffix(selector.Name, "_bucket") {
			available["le"] = true
		}
		for label := range m.labels {
			available[label] = true
		}
		for _, matcher := range selector.LabelMatchers {
			values, ok := m.labels[matcher.Name]
			switch {
			case matcher.Name == "__name__" || matcher.Name == "instance" || matcher.Name == "job":
			case !ok:
				t.Errorf("%s: %s has no label %s", where, selector.Name, matcher.Name)
			case strings.HasPrefix(matcher.Value, "$"):
			case !k.isMet(matcher, values):
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

// find returns the metric of a name; a histogram has three names.
func (k known) find(name string) (metricFamily, bool) {
	if m, ok := k.metrics[name]; ok {
		return m, true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && k.metrics[base].kind == "histogram" {
			return k.metrics[base], true
		}
	}
	return metricFamily{}, false
}

// isMet reports whether a matcher matches a value. For outcomes and operations, the value
// need not have happened.
func (k known) isMet(matcher *labels.Matcher, seen map[string]bool) bool {
	values := slices.Collect(maps.Keys(seen))
	switch matcher.Name {
	case "outcome":
		values = k.outcomes
	case "operation":
		values = k.operations
	}
	if matcher.Type == labels.MatchRegexp {
		// Each alternative must match.
		for alternative := range strings.SplitSeq(matcher.Value, "|") {
			if !slices.Contains(values, alternative) {
				return false
			}
		}
		return true
	}
	return matcher.Type != labels.MatchEqual || slices.Contains(values, matcher.Value)
}

func TestAlertsUseMetricsThatExist(t *testing.T) {
	file, err := os.ReadFile("../docs/alerts.yml")
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
	k := knownMetrics(t)
	alerts := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts++
			k.checkQuery(t, r.Alert, r.Expr)
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
	file, err := os.ReadFile("../docs/grafana.json")
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
	k := knownMetrics(t)
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
			k.checkQuery(t, p.Title, target.Expr)
			used += target.Expr + "\n"
		}
	}
	for name := range k.metrics {
		if !strings.Contains(used, name) {
			t.Errorf("no panel shows %s", name)
		}
	}
	if dashboard.SchemaVersion < 39 || dashboard.UID == "" || len(dashboard.Templating.List) < 4 {
		t.Errorf("the dashboard is not complete: %+v", dashboard.Templating)
	}
}
