package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// timeEntries is how many keys a side reads or writes in a round. A round is short, so
// that most rounds end before another process gets the core.
const timeEntries = 512

// timeSide is work whose time in Redis counts.
type timeSide struct {
	// commands are those that the side sends. The commands that a script calls count
	// as part of the script.
	commands []string
	// do works on so many keys at a time.
	do func(ctx context.Context, batch int) error
	// took has the microseconds a key of each round, by the size of a batch.
	took map[int][]float64
}

// timeRow is a row that compares two sides.
type timeRow struct {
	row
	work, base sideBatch
}

// sideBatch is a side of timeSides with so many keys at a time.
type sideBatch struct {
	side  string
	batch int
}

// timeRows returns the rows of Redis's own time.
func timeRows() []timeRow {
	var rows []timeRow
	add := func(what string, work sideBatch, beside string, base sideBatch, most float64) {
		rows = append(rows, timeRow{
			row:  row{what: fmt.Sprintf("Redis time a key, %s, batches of %d", what, work.batch), beside: beside, target: atMost(most), unit: ratio},
			work: work, base: base,
		})
	}
	batches := []int{1, 16, 64}
	for i, batch := range batches {
		add("fetch, `rank`", sideBatch{"rank fetch", batch}, "GET of the same", sideBatch{"get", 1}, []float64{14, 5.6, 4.7}[i])
	}
	for i, batch := range batches {
		add("create that evicts, `rank`", sideBatch{"rank create", batch}, "GET of the same", sideBatch{"get", 1}, []float64{25, 8.8, 6.9}[i])
	}
	for _, batch := range batches {
		add("fetch, `adaptive`", sideBatch{"adaptive fetch", batch}, "`rank`", sideBatch{"rank fetch", batch}, 1.15)
	}
	for _, batch := range batches {
		add("create that evicts, `adaptive`", sideBatch{"adaptive create", batch}, "`rank`", sideBatch{"rank create", batch}, 1.3)
	}
	// Where every entry was read, rank evicts the newest entry for the next one: most
	// entries of a batch are never stored. Adaptive stores each of them.
	for _, batch := range batches {
		add("create that evicts, where all was read, `adaptive`", sideBatch{"adaptive create, all read", batch}, "`rank`", sideBatch{"rank create, all read", batch}, 1.3)
	}
	add("fetch of 10 KiB", sideBatch{"fetch 10 KiB", 16}, "HMGET of the same", sideBatch{"hmget 10 KiB", 16}, 1.5)
	add("create of 10 KiB that evicts", sideBatch{"create 10 KiB", 16}, "of 30 B", sideBatch{"create 30 B", 16}, 1.5)
	return rows
}

// redisTimeRows returns the rows as the table has them.
func redisTimeRows() []row {
	var rows []row
	for _, r := range timeRows() {
		rows = append(rows, r.row)
	}
	return rows
}

// redisTime measures how long Redis works on a key. Each round has all sides in turn.
func (b *bench) redisTime(ctx context.Context, wanted []row) error {
	server, err := redistest.Run(b.dir)
	if err != nil {
		return err
	}
	defer server.Stop()
	client := server.Client()
	defer client.Close()
	target, err := redisstore.Parse(server.URL())
	if err != nil {
		return err
	}
	loads, err := fillLoads(ctx, target)
	for _, l := range loads {
		defer l.Close()
	}
	if err != nil {
		return err
	}
	sides, err := timeSides(ctx, client, loads)
	if err != nil {
		return err
	}
	rows := slices.DeleteFunc(timeRows(), func(r timeRow) bool {
		return !slices.ContainsFunc(wanted, func(w row) bool { return w.what == r.what })
	})
	progress("measuring %d rounds of Redis's own time", b.timeRounds())
	for range b.timeRounds() {
		for _, r := range rows {
			for _, s := range []struct {
				side  *timeSide
				batch int
			}{{sides[r.base.side], r.base.batch}, {sides[r.work.side], r.work.batch}} {
				took, err := s.side.time(ctx, client, s.batch)
				if err != nil {
					return err
				}
				s.side.took[s.batch] = append(s.side.took[s.batch], took/timeEntries)
			}
		}
	}
	for _, r := range rows {
		work, base := sides[r.work.side].took[r.work.batch], sides[r.base.side].took[r.base.batch]
		result := result{row: r.row, notes: []string{fmt.Sprintf("%s: %.2f µs, beside %.2f µs.", r.what, median(work), median(base))}}
		base = perRound(base, b.timeRounds())
		for i, w := range perRound(work, b.timeRounds()) {
			result.values = append(result.values, w/base[i])
		}
		b.results = append(b.results, result)
	}
	return nil
}

// timeRounds returns the number of rounds: more than other parts have, since each
// round is short.
func (b *bench) timeRounds() int { return 3 * b.options.rounds }

// perRound returns the median of each round. A side that several rows share runs
// several times a round.
func perRound(values []float64, rounds int) []float64 {
	each := len(values) / rounds
	var medians []float64
	for i := range rounds {
		medians = append(medians, median(values[i*each:(i+1)*each]))
	}
	return medians
}

// time runs a round, and returns how many microseconds it took Redis.
func (s *timeSide) time(ctx context.Context, client *redis.Client, batch int) (float64, error) {
	usec := func() (sum float64, err error) {
		stats, err := client.InfoMap(ctx, "commandstats").Result()
		if err != nil {
			return 0, err
		}
		for _, name := range s.commands {
			line, ok := stats["Commandstats"]["cmdstat_"+name]
			if !ok {
				continue // it was not called yet
			}
			var calls, usec float64
			if _, err := fmt.Sscanf(line, "calls=%f,usec=%f", &calls, &usec); err != nil {
				return 0, fmt.Errorf("reading the statistics of %s: %w", name, err)
			}
			sum += usec
		}
		return sum, nil
	}
	before, err := usec()
	if err != nil {
		return 0, err
	}
	if err := s.do(ctx, batch); err != nil {
		return 0, err
	}
	after, err := usec()
	return after - before, err
}

// timeSides returns the sides by their names.
func timeSides(ctx context.Context, client *redis.Client, loads map[string]*timeLoad) (map[string]*timeSide, error) {
	if err := fillStrings(ctx, client); err != nil {
		return nil, err
	}
	sides := map[string]*timeSide{
		"get":          {commands: []string{"get"}, do: func(ctx context.Context, _ int) error { return getStrings(ctx, client) }},
		"hmget 10 KiB": {commands: []string{"hmget"}, do: func(ctx context.Context, batch int) error { return getFields(ctx, client, batch) }},
	}
	for name, l := range loads {
		do := l.create
		if l.fetches {
			do = l.fetch
		}
		commands := []string{"evalsha"}
		if name == "fetch 10 KiB" {
			// It reads its values without the script. That the HMGETs of the script count
			// twice then is a small part.
			commands = append(commands, "hmget")
		}
		sides[name] = &timeSide{commands: commands, do: do}
	}
	for _, s := range sides {
		s.took = make(map[int][]float64)
	}
	return sides, nil
}

// fillStrings stores each value of 30 bytes under a key of its own, and the values of
// 10 KiB in a hash.
func fillStrings(ctx context.Context, client *redis.Client) error {
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n := range smallKeys {
			p.Set(ctx, "string:"+key(n), smallValue, 0)
		}
		for n := range largeKeys {
			p.HSet(ctx, "large", key(n), largeValue)
		}
		return nil
	})
	return err
}

func getStrings(ctx context.Context, client *redis.Client) error {
	for range timeEntries {
		if err := client.Get(ctx, "string:"+key(rand.IntN(smallKeys))).Err(); err != nil {
			return err
		}
	}
	return nil
}

func getFields(ctx context.Context, client *redis.Client, batch int) error {
	for range timeEntries / batch {
		keys := make([]string, batch)
		for i := range keys {
			keys[i] = key(rand.IntN(largeKeys))
		}
		if err := client.HMGet(ctx, "large", keys...).Err(); err != nil {
			return err
		}
	}
	return nil
}

// How many keys a namespace has, by the size of its values.
const (
	smallKeys = 10_000
	largeKeys = 1000
)

// fillLoads fills a namespace for each load.
func fillLoads(ctx context.Context, target *redisstore.Target) (map[string]*timeLoad, error) {
	small, large := text(smallValue), text(largeValue)
	loads := map[string]*timeLoad{
		"rank fetch":                {policy: store.Rank, keys: smallKeys, value: small, fetches: true, allRead: true},
		"rank create":               {policy: store.Rank, keys: smallKeys, value: small},
		"rank create, all read":     {policy: store.Rank, keys: smallKeys, value: small, allRead: true},
		"adaptive fetch":            {policy: store.Adaptive, keys: smallKeys, value: small, fetches: true, allRead: true},
		"adaptive create":           {policy: store.Adaptive, keys: smallKeys, value: small},
		"adaptive create, all read": {policy: store.Adaptive, keys: smallKeys, value: small, allRead: true},
		"fetch 10 KiB":              {policy: store.Rank, keys: largeKeys, value: large, fetches: true, allRead: true},
		"create 10 KiB":             {policy: store.Rank, keys: largeKeys, value: large},
		"create 30 B":               {policy: store.Rank, keys: largeKeys, value: small},
	}
	progress("filling %d namespaces", len(loads))
	for name, l := range loads {
		if err := l.fill(ctx, target, name); err != nil {
			return loads, fmt.Errorf("filling %q: %w", name, err)
		}
	}
	return loads, nil
}
