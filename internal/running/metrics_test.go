package running

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// filler sets every number that it finds to a value of its own, from 1000 on.
type filler struct{ last int64 }

func (f *filler) next() int64 {
	f.last++
	return 1000 + f.last
}

func (f *filler) fill(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	if h, ok := v.Addr().Interface().(*engine.Histogram); ok {
		*h = f.histogram()
		return
	}
	if _, isTime := v.Addr().Interface().(*time.Time); isTime {
		return // no number
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(f.next())
	case reflect.Uint64:
		v.SetUint(uint64(f.next()))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Map:
		kinds := engine.ErrorKinds
		if strings.HasSuffix(path, ".Retries") {
			kinds = redisstore.RetryKinds
		}
		m := make(map[string]uint64)
		for _, kind := range kinds {
			m[kind] = uint64(f.next())
		}
		v.Set(reflect.ValueOf(m))
	case reflect.String, reflect.Slice: // no numbers
	default:
		t.Fatalf("%s is of a kind that nobody fills: %s", path, v.Kind())
	}
}

func (f *filler) histogram() engine.Histogram {
	return engine.Histogram{
		Bounds: []float64{0.5, 1.5},
		Counts: []uint64{uint64(f.next()), uint64(f.next()), uint64(f.next())},
		Sum:    float64(f.next()) + 0.5,
	}
}

// gathered returns all series of a collector, by their names and labels, without the
// labels of the cache.
func gathered(t *testing.T, r snapshot) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(newCollector(&SharedSettings{Namespace: "n"}, func() snapshot { return r })); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, series := range f.GetMetric() {
			var labels []string
			for _, l := range series.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			if !slices.Contains(labels, "namespace=n") || !slices.Contains(labels, "store=embedded") {
				t.Errorf("%s has the labels %v", f.GetName(), labels)
			}
			labels = slices.DeleteFunc(labels, func(l string) bool { return l == "namespace=n" || l == "store=embedded" })
			name, with := strings.TrimPrefix(f.GetName(), "caddy_redis_proxy_"), " "+strings.Join(labels, " ")
			if len(labels) == 0 {
				with = ""
			}
			h := series.GetHistogram()
			if h == nil {
				all[name+with] = series.GetCounter().GetValue() + series.GetGauge().GetValue()
				continue
			}
			all[name+with+" sum"], all[name+with+" count"] = h.GetSampleSum(), float64(h.GetSampleCount())
			for _, b := range h.GetBucket() {
				all[fmt.Sprintf("%s%s le=%g", name, with, b.GetUpperBound())] = float64(b.GetCumulativeCount())
			}
		}
	}
	return all
}

// TestEverySeriesHasItsOwnValue gives the collector a different number for each counter. So it
// finds a series that shows the number of another one.
func TestEverySeriesHasItsOwnValue(t *testing.T) {
	var f filler
	r := snapshot{requests: new(RequestCounts), redis: new(redisstore.Stats)}
	f.fill(t, reflect.ValueOf(&r.engine).Elem(), "engine.Stats")
	f.fill(t, reflect.ValueOf(r.redis).Elem(), "redisstore.Stats")
	f.fill(t, reflect.ValueOf(&r.store.Size).Elem(), "store.Size")
	f.fill(t, reflect.ValueOf(&r.bodies).Elem(), "running.BodyStats")
	r.redis.Breaker, r.spread = "half-open", 3
	r.store.Partitions = []engine.PartitionState{
		{Size: store.Size{Keys: 20}}, {Size: store.Size{Keys: 30}, Health: store.Health{Writes: errors.New("full")}}, {Size: store.Size{Keys: 10}},
	}
	r.requests.NoCache, r.bulk = uint64(f.next()), int64(f.next())
	for op := range numOperations {
		r.requests.Durations[op] = f.histogram()
		for o := range numOutcomes {
			r.requests.Requests[op][o] = uint64(f.next())
		}
	}

	want := make(map[string]float64)
	for name, n := range map[string]any{
		"no_cache_requests_total": r.requests.NoCache, "bulk_requests": r.bulk,
		"queue_jobs": r.engine.QueueJobs, "max_queue_jobs": r.engine.MaxQueueJobs,
		"queue_bytes": r.engine.QueueBytes, "max_queue_bytes": r.engine.MaxQueueBytes,
		"body_bytes": r.bodies.Bytes, "max_body_bytes": r.bodies.MaxBytes, "bodies_waiting": r.bodies.Waiting,
		"joined_fetches_total": r.engine.Joined,
		"up":                   1, "writable": 1, "keys": r.store.Size.Keys, "bytes": r.store.Size.Bytes,
		"max_keys": r.store.Size.Limits.MaxKeys, "max_bytes": r.store.Size.Limits.MaxBytes,
		"evictions_total": r.engine.Evicted, "evictions_unread_total": r.engine.EvictedUnread, "lost_raises_total": r.engine.LostRaises,
		"expiring_keys": r.store.Size.Expiring, "expired_total": r.engine.Expired,
		"deleted_by_prefix_total": r.engine.DeletedByPrefix,
		"watchers":                r.engine.Watchers, "watch_events_total": r.engine.WatchEvents, "watchers_dropped_total": r.engine.WatchersDropped,
		"local_entries": r.engine.Local.Entries, "local_bytes": r.engine.Local.Bytes,
		"local_max_bytes": r.engine.Local.MaxBytes, "local_evictions_total": r.engine.Local.Evictions,
		"subscribed": 1, "events_total": r.engine.Events, "subscriptions_lost_total": r.engine.SubscriptionsLost, "event_gaps_total": r.engine.EventGaps,
		"breaker_state state=closed": 0, "breaker_state state=half-open": 1, "breaker_state state=open": 0,
		"client_renewals_total": r.redis.ClientRenewals, "repairs_total": r.redis.Mended,
		"partitions": 3, "emptiest_partition_keys": 10, "fullest_partition_keys": 30,
		"partition_up partition=0": 1, "partition_up partition=1": 1, "partition_up partition=2": 1,
		"partition_writable partition=0": 1, "partition_writable partition=1": 0, "partition_writable partition=2": 1,
	} {
		want[name] = reflect.ValueOf(n).Convert(reflect.TypeFor[float64]()).Float()
	}
	histogram := func(name string, h engine.Histogram) {
		want[name+" le=0.5"] = float64(h.Counts[0])
		want[name+" le=1.5"] = float64(h.Counts[0] + h.Counts[1])
		want[name+" count"] = float64(h.Counts[0] + h.Counts[1] + h.Counts[2])
		want[name+" sum"] = h.Sum
	}
	histogram("queue_wait_seconds", r.engine.QueueWait)
	for call, calls := range map[string]engine.Calls{"fetch": r.engine.Fetches, "apply": r.engine.Applies} {
		histogram("store_call_duration_seconds call="+call, calls.Duration)
		histogram("batch_size call="+call, calls.Size)
		for _, kind := range engine.ErrorKinds {
			want["store_errors_total call="+call+" kind="+kind] = float64(calls.Errors[kind])
		}
	}
	for _, kind := range []string{"no_answer", "unreachable", "busy", "forgotten"} {
		want["store_retries_total kind="+kind] = float64(r.redis.Retries[kind])
	}
	for op, name := range OperationNames {
		histogram("request_duration_seconds operation="+name, r.requests.Durations[op])
		for o, n := range r.requests.Requests[op] {
			want["requests_total operation="+name+" outcome="+OutcomeNames[o]] = float64(n)
		}
	}

	got := gathered(t, r)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if value, ok := want[name]; !ok || got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
		delete(want, name)
	}
	for name, value := range want {
		t.Errorf("there is no %s, want %v", name, value)
	}
}

// Without Redis, with an empty store, and while the store does not answer, unknown
// numbers are left out.
func TestSeriesThatAreNotKnownAreLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*snapshot)
		want   map[string]float64
		absent []string
	}{
		"nothing was ever asked for": {
			func(*snapshot) {},
			map[string]float64{"up": 1, "writable": 1, "keys": 0, "bytes": 0},
			[]string{"max_keys", "max_bytes", "subscribed", "breaker_state state=open", "repairs_total"},
		},
		"the store does not answer": {
			func(r *snapshot) {
				r.store.SizeErr = errors.New("down")
				r.store.Health = store.Health{Reads: r.store.SizeErr, Writes: r.store.SizeErr}
				r.store.Size.Keys, r.store.Size.Limits.MaxKeys = 7, 8
			},
			map[string]float64{"up": 0, "writable": 0},
			[]string{"keys", "bytes", "max_keys", "max_bytes"},
		},
		"the store is full": {
			func(r *snapshot) { r.store.Health.Writes = errors.New("full"); r.store.Size.Keys = 7 },
			map[string]float64{"up": 1, "writable": 0, "keys": 7},
			nil,
		},
		"there is no limit in bytes, and no subscription": {
			func(r *snapshot) { r.store.Size.Limits.MaxKeys = 8; r.redis = &redisstore.Stats{Breaker: "open"} },
			map[string]float64{"max_keys": 8, "max_bytes": 0, "subscribed": 0, "breaker_state state=open": 1, "breaker_state state=closed": 0},
			nil,
		},
		"there is one partition": {
			func(r *snapshot) { r.redis, r.spread = &redisstore.Stats{}, 1 },
			map[string]float64{"partitions": 1},
			[]string{"partition_up partition=0", "partition_writable partition=0", "emptiest_partition_keys", "fullest_partition_keys"},
		},
		"a partition does not answer": {
			func(r *snapshot) {
				down := engine.PartitionState{Err: errors.New("down"), Health: store.Health{Reads: errors.New("down"), Writes: errors.New("down")}}
				r.redis, r.spread, r.store.Partitions = &redisstore.Stats{}, 2, []engine.PartitionState{{Size: store.Size{Keys: 5}}, down}
			},
			map[string]float64{"partition_up partition=0": 1, "partition_up partition=1": 0, "partition_writable partition=0": 1, "partition_writable partition=1": 0},
			[]string{"emptiest_partition_keys", "fullest_partition_keys"},
		},
	} {
		r := snapshot{requests: new(RequestCounts)}
		for _, h := range []*engine.Histogram{
			&r.engine.QueueWait, &r.engine.Fetches.Duration, &r.engine.Fetches.Size, &r.engine.Applies.Duration, &r.engine.Applies.Size,
			&r.requests.Durations[OpGet], &r.requests.Durations[OpPost],
		} {
			h.Counts = []uint64{0}
		}
		c.change(&r)
		got := gathered(t, r)
		for series, value := range c.want {
			if n, ok := got[series]; !ok || n != value {
				t.Errorf("%s: %s is %v (%v), want %v", name, series, n, ok, value)
			}
		}
		for _, series := range c.absent {
			if n, ok := got[series]; ok {
				t.Errorf("%s: %s is told, as %v", name, series, n)
			}
		}
	}
}
