package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// row is what all contenders are compared on.
type row struct {
	trace    *trace
	capacity int
}

// run is one contender on one row.
type run struct {
	row
	*contender
}

// results are the hit ratios of runs.
type results map[run]float64

// want asks for runs of all contenders on all rows; twice is as good as once.
func (r results) want(rows []row, contenders []*contender) {
	for _, row := range rows {
		for _, c := range contenders {
			r[run{row, c}] = 0
		}
	}
}

// fill carries out what is wanted, as much at a time as there are processors.
func (r results) fill(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all []run
	for run := range r {
		all = append(all, run)
	}
	// The long ones first, so that at the end no processor waits for another.
	slices.SortFunc(all, func(a, b run) int { return cmp.Compare(len(b.trace.requests), len(a.trace.requests)) })

	var mu sync.Mutex
	var working sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		working.Go(func() {
			for {
				mu.Lock()
				if len(all) == 0 || ctx.Err() != nil {
					mu.Unlock()
					return
				}
				next := all[0]
				all = all[1:]
				mu.Unlock()

				ratio, err := next.play(ctx, next.trace, next.capacity)
				if err != nil {
					stop(fmt.Errorf("%s, %s with %d keys: %w", next.name, next.trace.name, next.capacity, err))
					return
				}
				mu.Lock()
				r[next] = ratio
				mu.Unlock()
			}
		})
	}
	working.Wait()
	return context.Cause(ctx)
}

func (r results) mean(rows []row, c *contender) float64 {
	sum := 0.0
	for _, row := range rows {
		sum += r[run{row, c}]
	}
	return sum / float64(len(rows))
}
