package main

import (
	"context"
	"fmt"
	"strconv"
)

// row is a line of the table of results: the measured thing, the thing to compare it with,
// and the target.
type row struct {
	what, beside string
	target       target
	unit         string // "×" for a ratio

	// A row of rates compares two sides of its part by a metric.
	work, base *side
	metric     func(sample) float64
}

// target is a bound for the median.
type target struct {
	most  bool // at most, else at least
	value float64
}

func atLeast(v float64) target { return target{value: v} }
func atMost(v float64) target  { return target{most: true, value: v} }

func (t target) met(v float64) bool {
	if t.most {
		return v <= t.value
	}
	return v >= t.value
}

func (t target) String() string {
	sign := "≥ "
	if t.most {
		sign = "≤ "
	}
	return sign + strconv.FormatFloat(t.value, 'g', -1, 64)
}

// part is a group of rows that are measured together.
type part struct {
	rows []row
	run  func(ctx context.Context, rows []row) error
}

// Connections of the loads. Local hits fill the server's core with a few connections.
// Requests that wait for the store need more, or the core is idle while they wait. Both
// sides of a row have the same number, so fetches beside local hits have hitConnections.
const (
	hitConnections   = 64
	storeConnections = 256
)

// rawMemory is the name of the row of values with a content type.
const rawMemory = "memory in Redis a key, raw text"

// The rows of requests to a store that takes 200 µs, but no core.
const (
	farGet  = "GET from a store that takes 200 µs, on two cores: requests/s"
	farPost = "POST to a store that takes 200 µs, on two cores: requests/s"
)

// ratio is the unit of rows that compare two sides.
const ratio = "×"

// parts returns all parts in the order of the table. Rows that share a side are in one part,
// so the side runs once.
func (b *bench) parts() []part {
	many := thousands(b.manyKeys)

	rawBase, rawHit := hitSides("raw, 30 B", "raw-small", rawSmall, smallValue)
	jsonBase, jsonHit := hitSides("JSON, 30 B", "json-small", jsonSmall, envelope(jsonSmall, smallValue))
	rawLargeBase, rawLargeHit := hitSides("raw, 10 KiB", "raw-large", rawLarge, largeValue)
	jsonLargeBase, jsonLargeHit := hitSides("JSON, 10 KiB", "json-large", jsonLarge, envelope(jsonLarge, largeValue))
	fetch := &side{name: "GET from the store, 100,000 keys", site: "store", script: "get.lua", keys: storeKeys, body: smallValue, status: "fwd=", connections: hitConnections}
	post := &side{name: "POST of new keys, each evicts", site: "capacity", script: "post.lua", full: localKeys, connections: storeConnections}
	postBase := &side{name: "`respond` to the same POST", site: "respond-post", script: "post.lua", connections: storeConnections}
	fetchMany := &side{name: "GET from the store, " + many + " keys", site: "many", script: "get.lua", keys: b.manyKeys, body: smallValue, status: "fwd=", connections: storeConnections}
	fetchFew := &side{name: "GET from the store, 1,000 keys", site: "few", script: "get.lua", keys: fewKeys, body: smallValue, status: "fwd=", connections: storeConnections}
	postMany := &side{name: "POST, each evicts, " + many + " keys", site: "many", script: "post.lua", full: b.manyKeys, connections: storeConnections}
	postFew := &side{name: "POST, each evicts, 1,000 keys", site: "few", script: "post.lua", full: fewKeys, connections: storeConnections}
	calm, busy := *rawHit, *rawHit
	calm.name += ", alone"
	busy.name += ", while 5,000 POST/s run"
	busy.posts, busy.full = 5000, localKeys

	onePost, bulk := bulkSides()

	var peers []row
	for _, what := range peerRows {
		peers = append(peers, row{what: what})
	}

	return []part{
		{run: b.engineGet, rows: []row{
			{what: "`Engine.Get`, local hit: allocations", beside: "–", target: atMost(0)},
			{what: "`Engine.Get`, local hit: time", beside: "–", target: atMost(200), unit: " ns"},
			{what: "`Engine.Get`, local hit, on two cores: calls/s", beside: "on one core", target: atLeast(1.6), unit: ratio},
		}},
		{run: b.farScaling, rows: []row{
			{what: farGet, beside: "on one core", target: atLeast(1.7), unit: ratio},
			{what: farPost, beside: "on one core", target: atLeast(1.7), unit: ratio},
		}},
		{run: b.localHeap, rows: []row{
			{what: "live heap of a full local tier, values of 30 B", beside: "its `local_max_bytes`", target: atMost(1.3), unit: ratio},
			{what: "live heap of a full local tier, values of 10 KiB", beside: "its `local_max_bytes`", target: atMost(1.3), unit: ratio},
		}},
		{run: b.localRSS, rows: rssRows()},
		{run: b.redisMemory, rows: []row{
			{what: "memory in Redis a key, JSON string", beside: "plain HSET and ZADD", target: atMost(1.45), unit: ratio},
			{what: rawMemory, beside: "plain HSET and ZADD", target: atMost(1.5), unit: ratio},
		}},
		{run: b.redisTime, rows: redisTimeRows()},
		{run: b.rates, rows: append(hitRows(rawBase, rawHit, atMost(1.1)), row{
			what: fetch.name + ": requests/s", beside: rawHit.name, target: atLeast(0.6), unit: ratio, work: fetch, base: rawHit, metric: sample.rate,
		})},
		{run: b.rates, rows: hitRows(jsonBase, jsonHit, atMost(1.06))},
		{run: b.rates, rows: hitRows(rawLargeBase, rawLargeHit, atMost(1))},
		{run: b.rates, rows: hitRows(jsonLargeBase, jsonLargeHit, atMost(1))},
		{run: b.rates, rows: []row{
			{what: post.name + ": requests/s", beside: "`respond` to the same POST", target: atLeast(0.75), unit: ratio, work: post, base: postBase, metric: sample.rate},
		}},
		{run: b.rates, rows: []row{
			{what: bulk.name + ": writes/s", beside: onePost.name, target: atLeast(3), unit: ratio, work: bulk, base: onePost, metric: sample.operationRate},
		}},
		{run: b.rates, rows: []row{
			{what: fetchMany.name + ": requests/s", beside: "the same, 1,000 keys", target: atLeast(0.9), unit: ratio, work: fetchMany, base: fetchFew, metric: sample.rate},
		}},
		// After the fetches, since these evict the keys that the fetches read.
		{run: b.rates, rows: []row{
			{what: postMany.name + ": requests/s", beside: "the same, 1,000 keys", target: atLeast(0.9), unit: ratio, work: postMany, base: postFew, metric: sample.rate},
		}},
		{run: b.rates, rows: []row{
			{what: busy.name + ": p99", beside: "p99 without them", target: atMost(1.5), unit: ratio, work: &busy, base: &calm, metric: sample.tail},
		}},
		{run: b.steady, rows: []row{
			{what: steadyFetch, beside: "a local hit's, more", target: atMost(35), unit: " µs"},
			{what: steadyPost, beside: "a local hit's, more", target: atMost(35), unit: " µs"},
		}},
		{run: b.coherence, rows: []row{
			{what: "a write of node A seen by node B: delay, p99", beside: "–", target: atMost(100), unit: " ms"},
		}},
		// The last, since it stops the servers of the others.
		{run: b.besidePeers, rows: peers},
	}
}

// hitSides returns local hits of the keys from first on, and respond with the same body.
func hitSides(what, respond string, first int, body string) (base, hit *side) {
	base = &side{name: "`respond`, " + what, site: "respond-" + respond, script: "get.lua", keys: hitKeys, first: first, body: body, connections: hitConnections}
	hit = &side{name: "GET, local hit, " + what, site: "local", script: "get.lua", keys: hitKeys, first: first, body: body, status: localHit, connections: hitConnections}
	return base, hit
}

func hitRows(base, hit *side, cpu target) []row {
	const beside = "`respond`, same body"
	return []row{
		{what: hit.name + ": requests/s", beside: beside, target: atLeast(1.2), unit: ratio, work: hit, base: base, metric: sample.rate},
		{what: hit.name + ": CPU time a request", beside: beside, target: cpu, unit: ratio, work: hit, base: base, metric: sample.cpu},
	}
}

// thousands writes n with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// result is a row with its values, one for each round.
type result struct {
	row
	values []float64
	notes  []string
	// loadFull says that the load core was full on one side. The server could then do
	// more than the values say.
	loadFull bool
	// invalid says why the values mean nothing.
	invalid string
}

func (r *result) verdict() string {
	verdict := "short"
	switch {
	case r.invalid != "":
		verdict = "**INVALID**"
	case r.target.met(median(r.values)):
		verdict = "ok"
	}
	if r.loadFull {
		verdict += ", load core full"
	}
	return verdict
}

// show returns a value with its unit.
func (r *result) show(v float64) string {
	if r.unit == ratio {
		return fmt.Sprintf("%.2f ×", v)
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + r.unit
}
