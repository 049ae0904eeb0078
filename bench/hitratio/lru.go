package main

import "container/list"

// lru returns the hits of a cache that evicts the least recently used key. It shares no code
// with the policy lru, which must have the same hits.
func lru(t *trace, capacity int) int {
	recent := list.New()
	held := map[int32]*list.Element{}
	hits := 0
	for _, key := range t.requests {
		if e, ok := held[key]; ok {
			hits++
			recent.MoveToFront(e)
			continue
		}
		if len(held) == capacity {
			delete(held, recent.Remove(recent.Back()).(int32))
		}
		held[key] = recent.PushFront(key)
	}
	return hits
}
