package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// row is a trace with a capacity, on which all contenders are compared.
type row struct {
	trace    *trace
	capacity int
}

// run is one contender on one row.
type run struct {
	row       row
	contender *contender
}

// results are the hit ratios of runs.
type results map[run]float64

// want adds the runs of all contenders on all rows, if they are not there yet.
func (r results) want(rows []row, contenders []*contender) {
	for _, row := range rows {
		for _, c := range contenders {
			r[run{row, c}] = 0
		}
	}
}

// fill carries out all runs, as many at a time as there are processors.
func (r results) fill(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all []run
	for run := range r {
		all = append(all, run)
	}
	// Long runs come first, so all processors end at about the same time.
	slices.SortFunc(all, func(a, b run) int { return cmp.Compare(len(b.row.trace.requests), len(a.row.trace.requests)) })

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

				row := next.row
				ratio, err := next.contender.play(ctx, row.trace, row.capacity)
				if err != nil {
					stop(fmt.Errorf("%s, %s with %d keys: %w", next.contender.name, row.trace.name, row.capacity, err))
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
