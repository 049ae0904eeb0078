package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/version"
)

// A type whose name ends in View is the JSON of an answer, or a part of one. Its parts from
// other packages, such as running.Sample, have JSON names there.

type cachesView struct {
	Caches []cacheView   `json:"caches"`
	Build  version.Build `json:"build"`
}

// cacheView is a running cache as the admin API shows it.
type cacheView struct {
	ID           string           `json:"id"`
	Namespace    string           `json:"namespace"`
	Store        string           `json:"store"`
	Settings     settingsView     `json:"settings"`
	StoreState   storeStateView   `json:"store_state"`
	Partitions   []partitionView  `json:"partitions"`
	Subscription subscriptionView `json:"subscription"`
	Figures      figuresView      `json:"figures"`
	History      historyView      `json:"history"`
}

// settingsView has the names of the directive, and durations as text such as 1m30s.
type settingsView []running.Setting

func (v settingsView) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for _, s := range v {
		if s.OfConnection {
			continue
		}
		if d, ok := s.Value.(time.Duration); ok {
			s.Value = d.String()
		}
		value, err := json.Marshal(s.Value)
		if err != nil {
			return nil, err
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(content.AppendQuoted(text, s.Name), ':')
		text = append(text, value...)
	}
	return append(text, '}'), nil
}

// storeStateView has the answers of the store. It is reachable if it answers at all, even with
// an error. Keys, Expiring and Bytes are null if the store does not tell them. The limits are then those
// of this node.
type storeStateView struct {
	Reachable bool        `json:"reachable"`
	Ready     bool        `json:"ready"`
	Writes    bool        `json:"writes"`
	Cause     store.Cause `json:"cause"`
	Error     string      `json:"error"`
	Breaker   string      `json:"breaker,omitempty"`
	Keys      *int        `json:"keys"`
	MaxKeys   int         `json:"max_keys"`
	Expiring  *int        `json:"expiring"`
	Bytes     *int64      `json:"bytes"`
	MaxBytes  int64       `json:"max_bytes"`
	Eviction  string      `json:"eviction"`
}

// partitionView is one of several partitions; see storeStateView. Its limits are its share.
type partitionView struct {
	Partition  int         `json:"partition"`
	Ready      bool        `json:"ready"`
	Writes     bool        `json:"writes"`
	Cause      store.Cause `json:"cause"`
	Error      string      `json:"error"`
	Subscribed bool        `json:"subscribed"`
	Silent     *float64    `json:"silent_seconds"`
	Keys       *int        `json:"keys"`
	MaxKeys    int         `json:"max_keys"`
	Bytes      *int64      `json:"bytes"`
	MaxBytes   int64       `json:"max_bytes"`
}

// subscriptionView lists the nodes that subscribe to the events of writes. Count is the number
// of all subscriptions. It is larger than the number of Nodes if Redis does not tell names, or
// if other programs subscribe. Silent is how long the store has not answered on it; null if it
// never did.
type subscriptionView struct {
	Subscribed bool       `json:"subscribed"`
	Silent     *float64   `json:"silent_seconds"`
	Count      int        `json:"count"`
	Nodes      []nodeView `json:"nodes"`
}

type nodeView struct {
	Name             string `json:"name"`
	ConnectedSeconds int64  `json:"connected_seconds"`
	This             bool   `json:"this"`
}

// figuresView is flat: the embedded fields stand beside the others in the JSON.
type figuresView struct {
	Since           time.Time                    `json:"since"`
	Requests        map[string]map[string]uint64 `json:"requests"`
	Durations       map[string]engine.Histogram  `json:"durations"`
	NoCacheRequests uint64                       `json:"no_cache_requests"`
	BulkRequests    int64                        `json:"bulk_requests"`
	running.BodyStats
	engine.Stats
}

func viewFigures(s *running.Stats) figuresView {
	return figuresView{
		Since: s.Since, Requests: s.Requests, Durations: s.Durations, NoCacheRequests: s.NoCacheRequests, BulkRequests: s.BulkRequests,
		BodyStats: s.Bodies, Stats: s.Engine,
	}
}

// historyView is the last ten minutes of a cache, oldest first.
type historyView struct {
	IntervalSeconds int              `json:"interval_seconds"`
	Samples         []running.Sample `json:"samples"`
}

type keysView struct {
	Keys   []listedView `json:"keys"`
	Cursor string       `json:"cursor"`
}

type listedView struct {
	Key         string     `json:"key"`
	Rank        float64    `json:"rank"`
	Age         uint64     `json:"age"`
	Bytes       int64      `json:"bytes"`
	Type        string     `json:"type"`
	ContentType string     `json:"content_type,omitempty"`
	ETag        string     `json:"etag,omitempty"`
	Expires     *time.Time `json:"expires,omitempty"`
}

// keyView has the value as JSON or, if it is not JSON, its bytes in Base64. If the value is
// cut, it has the first bytes: of a string in Value, of other JSON in Text, because a part of
// it is not JSON.
type keyView struct {
	listedView                 // flat, as in figuresView
	ValueBytes int             `json:"value_bytes"`
	Cut        bool            `json:"cut"`
	Value      json.RawMessage `json:"value,omitempty"`
	Text       *string         `json:"text,omitempty"`
	Base64     *string         `json:"base64,omitempty"`
	Local      *localView      `json:"local"`
}

type localView struct {
	TTLSeconds float64 `json:"ttl_seconds"`
}

type deletedView struct {
	Deleted int `json:"deleted"`
}

// readyView is Ready if every store answers reads. Writes is true if every store takes writes.
type readyView struct {
	Ready  bool             `json:"ready"`
	Writes bool             `json:"writes"`
	Caches []cacheReadyView `json:"caches"`
}

// cacheReadyView has the error of reads or, if there is none, the error of writes.
type cacheReadyView struct {
	ID     string      `json:"id"`
	Ready  bool        `json:"ready"`
	Writes bool        `json:"writes"`
	Cause  store.Cause `json:"cause"`
	Error  string      `json:"error"`
}

func viewReady(id string, health store.Health) cacheReadyView {
	err := cmp.Or(health.Reads, health.Writes)
	return cacheReadyView{
		ID: id, Ready: health.Reads == nil, Writes: health.Writes == nil,
		Cause: store.CauseOf(err), Error: errorText(err),
	}
}

// lookTimeout bounds how long a view of a cache waits for its store, even if redis_timeout is
// longer: the dashboard waits 8 seconds for an answer.
const lookTimeout = 2 * time.Second

// view asks the store, and waits for redis_timeout or lookTimeout, whichever is shorter.
func (c cache) view(ctx context.Context) cacheView {
	s, stats := c.running.SharedSettings(), c.running.Stats()
	v := cacheView{
		ID:        c.running.ID(),
		Namespace: c.running.Namespace(),
		Store:     s.RedactedStore(),
		Settings:  settingsView(s.Named),
		Figures:   viewFigures(&stats),
		History: historyView{
			IntervalSeconds: int(running.SampleInterval / time.Second),
			Samples:         c.running.History.Samples(),
		},
	}
	ctx, cancel := context.WithTimeout(ctx, min(s.Settings.Timeout, lookTimeout))
	defer cancel()
	// At the same time: a partition without an answer takes all of the time.
	var asking sync.WaitGroup
	asking.Go(func() { v.Partitions = c.viewPartitions(ctx, s.Settings.Limits) })
	v.StoreState = c.viewStore(ctx, s.Settings.Limits)
	asking.Wait()
	v.Subscription = subscriptionView{Subscribed: stats.Engine.Subscribed, Nodes: []nodeView{}}
	if !c.running.IsEmbedded() && v.StoreState.Reachable {
		v.Subscription = c.viewSubscription(stats.Engine.Subscribed)
	}
	v.Subscription.Silent = secondsSince(stats.Engine.LastProof)
	return v
}

// secondsSince returns nil for the zero time.
func secondsSince(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	seconds := math.Round(1000*time.Since(t).Seconds()) / 1000
	return &seconds
}

func (c cache) viewStore(ctx context.Context, own store.Limits) storeStateView {
	ready := viewReady("", c.running.Engine.Probe(ctx))
	v := storeStateView{Ready: ready.Ready, Writes: ready.Writes, Cause: ready.Cause, Error: ready.Error, Breaker: c.running.Breaker()}
	size, err := c.running.Engine.Size(ctx)
	v.Reachable = ready.Ready || err == nil || engine.KindOf(err) == engine.KindRefused
	limits := own
	if err == nil {
		v.Keys, v.Expiring, v.Bytes = &size.Keys, &size.Expiring, &size.Bytes
		if size.Limits != (store.Limits{}) {
			limits = size.Limits
		}
	}
	v.MaxKeys, v.MaxBytes, v.Eviction = limits.MaxKeys, limits.MaxBytes, limits.Eviction
	return v
}

// viewPartitions shows the partitions if there are several.
func (c cache) viewPartitions(ctx context.Context, own store.Limits) []partitionView {
	states := c.running.Partitions(ctx)
	views := make([]partitionView, len(states))
	for i := range states {
		s := &states[i]
		ready := viewReady("", s.Health)
		v := partitionView{
			Partition: i, Ready: ready.Ready, Writes: ready.Writes, Cause: ready.Cause, Error: ready.Error,
			Subscribed: s.Subscribed, Silent: secondsSince(s.LastProof),
		}
		limits := own.Share(i, len(states))
		if s.Err == nil {
			v.Keys, v.Bytes = &s.Size.Keys, &s.Size.Bytes
			if s.Size.Limits != (store.Limits{}) {
				limits = s.Size.Limits
			}
		}
		v.MaxKeys, v.MaxBytes = limits.MaxKeys, limits.MaxBytes
		views[i] = v
	}
	return views
}

// viewSubscription shows the nodes that receive the events of each other's writes.
func (c cache) viewSubscription(subscribed bool) subscriptionView {
	nodes, count := c.running.Nodes(subscribed)
	v := subscriptionView{Subscribed: subscribed, Count: count, Nodes: []nodeView{}}
	for _, n := range nodes {
		v.Nodes = append(v.Nodes, nodeView{Name: n.Name, ConnectedSeconds: int64(n.Connected / time.Second), This: n.This})
	}
	return v
}

func viewListed(l *store.Listed) listedView {
	v := listedView{Key: l.Key, Rank: l.Rank, Age: l.Age, Bytes: l.Size, ETag: httpapi.ETag(l.Entry.Version)}
	if !l.Expires.IsZero() {
		expires := l.Expires.UTC()
		v.Expires = &expires
	}
	switch l.Entry.Kind {
	case store.String:
		v.Type = "string"
	case store.JSON:
		v.Type = "json"
	default:
		v.Type, v.ContentType = "raw", httpapi.ContentTypeOf(l.Entry)
	}
	return v
}

// viewKey shows at most limit bytes of the value.
func (c cache) viewKey(l *store.Listed, limit int) keyView {
	data := l.Entry.Data
	v := keyView{listedView: viewListed(l), ValueBytes: len(data), Cut: len(data) > limit}
	// Another program may have written a value that does not fit its kind.
	isText := l.Entry.Kind != store.Raw && utf8.Valid(data)
	if v.Cut {
		for isText && !utf8.RuneStart(data[limit]) {
			limit--
		}
		data = data[:limit]
	}
	switch {
	case isText && l.Entry.Kind == store.String:
		v.Value = content.AppendQuoted(nil, data)
	case isText && json.Valid(l.Entry.Data) && v.Cut:
		text := string(data)
		v.Text = &text
	case isText && json.Valid(l.Entry.Data):
		v.Value = data
	default:
		text := base64.StdEncoding.EncodeToString(data)
		v.Base64 = &text
	}
	if ttl, ok := c.running.Engine.LookLocal(l.Key); ok {
		v.Local = &localView{TTLSeconds: ttl.Round(time.Millisecond).Seconds()}
	}
	return v
}
