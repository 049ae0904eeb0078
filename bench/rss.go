package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// tierSize is local_max_bytes in these rows. It is the default.
const tierSize = 64 << 20

// rssLoad is a row of RSS: the size of the values, and more than twice as many keys as the
// local tier has room for.
type rssLoad struct {
	name        string
	value, keys int
}

var rssLoads = []rssLoad{
	{"30 B", 30, 300_000},
	{"1 KiB", 1 << 10, 100_000},
	{"10 KiB", 10 << 10, 15_000},
}

func (l *rssLoad) row() row {
	return row{what: "RSS that a full local tier adds, values of " + l.name, beside: "its `local_max_bytes`", target: atMost(2), unit: ratio}
}

func rssRows() []row {
	var rows []row
	for _, l := range rssLoads {
		rows = append(rows, l.row())
	}
	return rows
}

// localRSS measures the memory of a Caddy with a full local tier, while reads of other keys
// replace its entries. Each row has a Caddy of its own, since a heap that was large once
// gives its memory back slowly.
func (b *bench) localRSS(ctx context.Context, rows []row) error {
	for _, l := range rssLoads {
		for _, r := range rows {
			if r.what != l.row().what {
				continue
			}
			res, err := b.rssOfLoad(ctx, l)
			if err != nil {
				return fmt.Errorf("%s: %w", r.what, err)
			}
			b.results = append(b.results, res)
		}
	}
	return nil
}

func (b *bench) rssOfLoad(ctx context.Context, l rssLoad) (result, error) {
	res := result{row: l.row()}
	value := text(strings.Repeat("x", l.value))
	sv, err := startServers(ctx, b, []site{
		{name: "rss", keys: l.keys, value: func(int) store.Value { return value }, localTTL: "1h"},
	})
	if err != nil {
		return res, err
	}
	defer sv.stop()
	pid := sv.caddy.Cmd.Process.Pid
	idle := memoryOf(pid)
	// Reads of absent keys fill nothing. Beside them, a full tier takes only what it takes itself,
	// without the connections.
	absent := &side{name: "GET of absent keys", site: "rss", script: "get.lua", first: l.keys, keys: l.keys, connections: storeConnections}
	gets := &side{name: res.what, site: "rss", script: "get.lua", keys: l.keys, connections: storeConnections}
	if _, err := b.round(ctx, sv, absent, time.Second); err != nil {
		return res, err
	}
	empty := memoryOf(pid)
	fetched, failed := 0, 0
	load := func(d time.Duration) error {
		s, err := b.round(ctx, sv, gets, d)
		fetched += s.requests
		failed += s.badStatus + s.broken
		return err
	}
	for evicted := 0; evicted == 0; {
		progress("%s: filling the local tier", l.name)
		if err := load(time.Second); err != nil {
			return res, err
		}
		if evicted, err = localEvictions(ctx, sv); err != nil {
			return res, err
		}
	}
	var full memory
	for n := range b.options.rounds {
		progress("round %d of %d: %s", n+1, b.options.rounds, res.what)
		if err := load(b.duration); err != nil {
			return res, err
		}
		full = memoryOf(pid)
		res.values = append(res.values, float64(full.rss-empty.rss)/tierSize)
	}
	const mib = 1 << 20
	res.notes = []string{fmt.Sprintf("%s: RSS %d MiB before the first request, %d MiB under reads of absent keys, %d MiB after %s reads that filled the tier, %d MiB at most. Of the last, %d MiB are pages of the program's file.",
		res.what, idle.rss/mib, empty.rss/mib, full.rss/mib, thousands(fetched), full.peak/mib, full.file/mib)}
	// Few failed reads change nothing: the tier is full before the first round.
	if failed > fetched/20 {
		res.invalid = fmt.Sprintf("%s: of %d reads %d failed", res.what, fetched, failed)
	}
	return res, b.profile(ctx, sv, []*side{gets})
}

// memory is the resident memory of a process, in bytes.
type memory struct{ rss, peak, file int }

func memoryOf(pid int) memory {
	file := "/proc/" + strconv.Itoa(pid) + "/status"
	bytes := func(name string) int {
		n, _ := strconv.Atoi(match(file, `(?m)^`+name+`:\s*(\d+) kB$`))
		return n << 10
	}
	return memory{rss: bytes("VmRSS"), peak: bytes("VmHWM"), file: bytes("RssFile")}
}

var evictionsLine = regexp.MustCompile(`(?m)^caddy_redis_proxy_local_evictions_total\{.*\} (\S+)$`)

// localEvictions returns how many entries left the local tier for others.
func localEvictions(ctx context.Context, sv *servers) (int, error) {
	_, text, err := ask(ctx, "http://127.0.0.1:"+strconv.Itoa(sv.admin)+"/metrics")
	if err != nil {
		return 0, err
	}
	m := evictionsLine.FindStringSubmatch(text)
	if m == nil {
		return 0, errors.New("no local evictions among the metrics")
	}
	n, err := strconv.ParseFloat(m[1], 64)
	return int(n), err
}
