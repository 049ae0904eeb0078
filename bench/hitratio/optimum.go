package main

import "container/heap"

// optimum returns how many hits are possible at all, by Belady's rule: what is
// needed again last goes first. It may also go at once, unlike in a cache that
// has to keep what was just created, so that it bounds every policy.
func optimum(t *trace, capacity int) int {
	next := nextUses(t)
	until := make([]int, len(t.keys)) // the next use of a key that is held; 0 of others
	var held latest
	hits, size := 0, 0
	for i, key := range t.requests {
		if until[key] > 0 {
			hits++
		} else {
			size++
		}
		until[key] = next[i]
		heap.Push(&held, use{next[i], key})
		for size > capacity {
			u := heap.Pop(&held).(use)
			if until[u.key] == u.at { // else it was needed since
				until[u.key] = 0
				size--
			}
		}
	}
	return hits
}

// nextUses returns of each request when its key is requested again. Those that
// never are have the same time, after all others.
func nextUses(t *trace) []int {
	next := make([]int, len(t.requests))
	last := make([]int, len(t.keys))
	for i := len(t.requests) - 1; i >= 0; i-- {
		key := t.requests[i]
		if next[i] = last[key]; next[i] == 0 {
			next[i] = len(t.requests)
		}
		last[key] = i
	}
	return next
}

// use says when a key is needed next.
type use struct {
	at  int
	key int32
}

// latest is a heap with the latest use first.
type latest []use

func (l latest) Len() int           { return len(l) }
func (l latest) Less(i, j int) bool { return l[i].at > l[j].at }
func (l latest) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *latest) Push(x any)        { *l = append(*l, x.(use)) }

func (l *latest) Pop() any {
	old := *l
	u := old[len(old)-1]
	*l = old[:len(old)-1]
	return u
}
