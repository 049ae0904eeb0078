package redisstore

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// This file shows all partitions as one store.

// each calls f for all partitions at the same time, and returns the results in their order.
func each[T any](p *Partitions, f func(*Store) T) []T {
	results := make([]T, len(p.stores))
	var calls sync.WaitGroup
	for i, s := range p.stores {
		calls.Go(func() { results[i] = f(s) })
	}
	calls.Wait()
	return results
}

// CheckOrWarn is Store.CheckOrWarn for all partitions.
func (p *Partitions) CheckOrWarn(ctx context.Context) {
	each(p, func(s *Store) struct{} { s.CheckOrWarn(ctx); return struct{}{} })
}

// CheckDurability is Store.CheckDurability for all partitions.
func (p *Partitions) CheckDurability(ctx context.Context, d store.Durability) {
	each(p, func(s *Store) struct{} { s.CheckDurability(ctx, d); return struct{}{} })
}

// Breaker returns the worst state among the circuit breakers of the partitions.
func (p *Partitions) Breaker() string {
	worst := 0
	for _, s := range p.stores {
		worst = max(worst, slices.Index(BreakerStates, s.Breaker()))
	}
	return BreakerStates[worst]
}

// Stats returns the sums of the counters of the partitions, and the worst state of their
// circuit breakers. It does not call Redis.
func (p *Partitions) Stats() Stats {
	sum := Stats{Retries: make(map[string]uint64), Breaker: p.Breaker()}
	for _, s := range p.stores {
		stats := s.Stats()
		for kind, n := range stats.Retries {
			sum.Retries[kind] += n
		}
		sum.Mended += stats.Mended
		sum.ClientRenewals += stats.ClientRenewals
	}
	return sum
}

// Nodes lists the processes that subscribe to the events of any partition, with the time
// since they last subscribed to one. The number of subscriptions is that of the partition
// that has most. The error is one of all partitions, if none answers.
func (p *Partitions) Nodes(ctx context.Context) (nodes []Node, count int, err error) {
	type answer struct {
		nodes []Node
		count int
		err   error
	}
	byName := make(map[string]Node)
	answered := false
	for _, a := range each(p, func(s *Store) (a answer) {
		a.nodes, a.count, a.err = s.Nodes(ctx)
		return a
	}) {
		if a.err != nil {
			err = a.err
			continue
		}
		answered = true
		count = max(count, a.count)
		for _, node := range a.nodes {
			if other, isThere := byName[node.Name]; !isThere || node.Connected < other.Connected {
				byName[node.Name] = node
			}
		}
	}
	if !answered {
		return nil, 0, err
	}
	nodes = slices.SortedFunc(maps.Values(byName), func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes, count, nil
}
