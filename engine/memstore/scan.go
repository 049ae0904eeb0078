package memstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/btree"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// scanStep is how many items a Scan looks at, at most, while other calls wait.
	scanStep = 1000
	// indexStep is how many items are indexed at once while other calls wait.
	indexStep = 1000
)

// ages is the index that Scan needs: the items in the order of their insertion numbers,
// which never change. There is none until the first Scan, so that a store without listings
// does not pay for it. From then on, the store keeps it.
type ages struct {
	tree *btree.BTreeG[*item]
	// ready is closed when the items from before the index are in it too.
	ready chan struct{}
}

func newAges() *ages {
	older := func(a, b *item) bool { return a.insertion < b.insertion }
	return &ages{
		tree:  btree.NewBTreeGOptions(older, btree.Options{NoLocks: true}),
		ready: make(chan struct{}),
	}
}

// put and take do nothing without an index.
func (a *ages) put(it *item) {
	if a != nil {
		a.tree.Set(it)
	}
}

func (a *ages) take(it *item) {
	if a != nil {
		a.tree.Delete(it)
	}
}

// Scan implements store.Store. The cursor has the insertion number of the last item that a
// step looked at.
func (s *Store) Scan(ctx context.Context, prefix, after string, n int) (keys []string, next string, err error) {
	if n < 1 {
		return nil, "", fmt.Errorf("%w: %d at once, where 1 is the least", store.ErrUnavailable, n)
	}
	var behind uint64
	if after != "" {
		name, number, _ := strings.Cut(after, ".")
		if behind, err = strconv.ParseUint(number, 10, 64); err != nil || name != s.name {
			return nil, "", store.ErrCursor
		}
	}
	if err := s.index(ctx, n); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx, n); err != nil {
		return nil, "", err
	}
	seen, now := 0, s.now()
	s.ages.tree.Ascend(&item{insertion: behind + 1}, func(it *item) bool {
		if seen == scanStep || len(keys) == n {
			next = s.name + "." + strconv.FormatUint(behind, 10)
			return false
		}
		seen, behind = seen+1, it.insertion
		if strings.HasPrefix(it.key, prefix) && it.isLive(now) {
			keys = append(keys, it.key)
		}
		return true
	})
	return keys, next, nil
}

// index returns when there is a whole index. The first call makes it, in steps: the items
// from before it are those of a copy of the order, which costs nothing to make.
func (s *Store) index(ctx context.Context, n int) error {
	s.mu.Lock()
	if err := s.ready(ctx, n); err != nil {
		s.mu.Unlock()
		return err
	}
	if a := s.ages; a != nil {
		s.mu.Unlock()
		select {
		case <-a.ready:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", store.ErrUnavailable, context.Cause(ctx))
		}
	}
	a := newAges()
	s.ages = a
	earlier := s.order.tree.Copy()
	s.mu.Unlock()

	defer close(a.ready)
	for batch := range slices.Chunk(earlier.Items(), indexStep) {
		s.mu.Lock()
		for _, it := range batch {
			if s.items[it.key] == it { // else it was removed meanwhile
				a.put(it)
			}
		}
		s.mu.Unlock()
	}
	return nil
}
