package main

import "container/list"

// lru returns the hits of a cache in which the least recently used key goes
// first. It shares no code with the policy of that name, which must do the same.
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
