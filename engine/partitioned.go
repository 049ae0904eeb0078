package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// This file asks all partitions, and puts their answers together.

// ofAll calls ask for all partitions at once, and returns the answers in their order. The
// error is that of the first partition that has one. Nothing is asked if the store has
// other partitions.
func ofAll[T any](ctx context.Context, e *Engine, ask func(context.Context, *partition) (T, error)) ([]T, error) {
	if len(e.partitions) > 1 {
		if _, err := e.stores.Locate(ctx, false); err != nil {
			return nil, err
		}
	}
	answers := make([]T, len(e.partitions))
	errs := make([]error, len(e.partitions))
	var asking sync.WaitGroup
	for i, p := range e.partitions[1:] {
		asking.Go(func() { answers[i+1], errs[i+1] = ask(ctx, p) })
	}
	answers[0], errs[0] = ask(ctx, e.partitions[0])
	asking.Wait()
	for i, err := range errs {
		if err != nil {
			return answers, e.partitions[i].named(err)
		}
	}
	return answers, nil
}

// named adds the name of the partition to an error, if there are several.
func (p *partition) named(err error) error {
	if err == nil || p.of == 1 {
		return err
	}
	return fmt.Errorf("partition %d: %w", p.index, err)
}

// PartitionState is the state of one of several partitions.
type PartitionState struct {
	Size       store.Size
	Err        error // why the Size is not known
	Health     store.Health
	Subscribed bool
	LastProof  time.Time // see Stats
}

// Partitions asks all partitions for their states. It takes no longer than three times
// Settings.Timeout.
func (e *Engine) Partitions(ctx context.Context) []PartitionState {
	settings := e.settings.Load()
	states, err := browse(ctx, e, func(bounded context.Context) ([]PartitionState, error) {
		return ofAll(bounded, e, func(_ context.Context, p *partition) (PartitionState, error) {
			var s PartitionState
			s.Health = e.health(ctx, func(ctx context.Context) store.Health { return p.store.Probe(ctx, settings.Durability) })
			s.Size, s.Err = browse(ctx, e, p.store.Size)
			if p.watch != nil {
				s.Subscribed, s.LastProof = p.isSubscribed(), p.watch.lastProof()
			}
			return s, nil
		})
	})
	if err != nil { // the same for all
		states = make([]PartitionState, len(e.partitions))
		for i := range states {
			states[i] = PartitionState{Err: err, Health: store.Health{Reads: err, Writes: err}}
		}
	}
	return states
}

// ended is the part of a cursor for a partition whose pages have ended.
const ended = "-"

// mergedPage is Page for several partitions. Its cursor has the cursors of all partitions.
func (e *Engine) mergedPage(ctx context.Context, after store.Cursor, n int, order store.Order) (store.Page, error) {
	cursors := make([]string, len(e.partitions))
	if after != "" {
		if cursors = strings.Split(string(after), "."); len(cursors) != len(e.partitions) {
			return store.Page{}, store.ErrCursor
		}
	}
	pages, err := ofAll(ctx, e, func(ctx context.Context, p *partition) (store.Page, error) {
		cursor := cursors[p.index]
		if cursor == ended {
			return store.Page{}, nil
		}
		return p.store.Page(ctx, store.Cursor(cursor), n, order)
	})
	if err != nil {
		if errors.Is(err, store.ErrCursor) {
			err = store.ErrCursor
		}
		return store.Page{}, err
	}
	var merged store.Page
	taken := make([]int, len(pages))
	for len(merged.Entries) < n {
		first := -1
		isCut := false // a page has ended, and more may come before the rest of the others
		for i := range pages {
			switch {
			case taken[i] == len(pages[i].Entries):
				isCut = isCut || pages[i].Next != ""
			case first < 0 || before(&pages[i].Entries[taken[i]], &pages[first].Entries[taken[first]], order):
				first = i
			}
		}
		if first < 0 || isCut {
			break
		}
		merged.Entries = append(merged.Entries, pages[first].Entries[taken[first]])
		taken[first]++
	}
	isEnd := true
	for i := range pages {
		switch page := &pages[i]; {
		case taken[i] == len(page.Entries) && page.Next == "":
			cursors[i] = ended
			continue
		case taken[i] == len(page.Entries):
			cursors[i] = string(page.Next)
		case taken[i] > 0:
			last := &page.Entries[taken[i]-1]
			cursors[i] = string(store.NewCursor(last.Score, page.Number-last.Age))
		}
		isEnd = false
	}
	if !isEnd {
		merged.Next = store.Cursor(strings.Join(cursors, "."))
	}
	return merged, nil
}

// before reports whether a comes before b in a merged page.
func before(a, b *store.Listed, order store.Order) bool {
	c := cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(b.Age, a.Age), cmp.Compare(a.Key, b.Key))
	return c < 0 == (order == store.Next)
}
