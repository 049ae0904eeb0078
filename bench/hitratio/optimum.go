package main

import "container/heap"

// optimum returns the largest possible number of hits, by Belady's rule: it evicts the key
// whose next request is the latest. It may even evict the key that was just created. A real
// cache cannot, so no policy has more hits.
func optimum(t *trace, capacity int) int {
	next := nextUses(t)
	until := make([]int, len(t.keys)) // the next use of a held key; 0 for other keys
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
			if until[u.key] == u.at { // else the key was used since
				until[u.key] = 0
				size--
			}
		}
	}
	return hits
}

// nextUses returns, for each request, when its key is requested again. Keys that are never
// requested again have a time after all requests.
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

// use says when a key is requested next.
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
