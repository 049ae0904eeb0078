package dump

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"strconv"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	applyWrites = 500
	applyBytes  = 1 << 20
)

// ErrCutOff says that the end of a file is missing.
var ErrCutOff = errors.New("the export was cut off before its end")

// Target is what an import needs of a store.
type Target interface {
	Size(context.Context) (store.Size, error)
	Apply(context.Context, store.Batch) (store.Applied, error)
}

// Import puts entries into a store, with their places in the eviction order.
// It never overwrites, so that one that was interrupted can be run again.
type Import struct {
	Target Target
	// Limits are put in force if the store has none yet.
	Limits store.Limits
	// Prefix is put before every key.
	Prefix string
	// Progress, if set, is called with what has been done by then.
	Progress func(ImportCounts)

	counts  ImportCounts
	from    string       // the policy of the ranks
	limits  store.Limits // in force
	writes  []store.Write
	pending int64 // bytes of writes
	// restored has the hashes of the keys that are there by this import, which
	// are smaller than the keys. That two are equal is not to be expected.
	restored map[uint64]struct{}
	seed     maphash.Seed
}

// ImportCounts say how far an import is.
type ImportCounts struct {
	Total    int
	Restored int
	// Same and Other are entries that were there already, with the same value
	// or another one.
	Same, Other int
	// NoRoom are entries for which the store is too small, those included that
	// left again for others of the same import.
	NoRoom int
	// Evicted are entries of others that left for the restored ones.
	Evicted int
	// Unusable are entries of a Redis that cannot be entries of a store.
	Unusable int
}

// File restores the entries of a file. Those worth most are restored if there is
// not room for all. Where the eviction policy is not the one of the file, ranks
// mean nothing, and the order alone is kept.
func (i *Import) File(ctx context.Context, f *File) (ImportCounts, error) {
	if err := i.begin(ctx); err != nil {
		return i.counts, err
	}
	i.counts.Total = len(f.rows)
	rows := f.fitting(i.limits, len(i.Prefix))
	i.counts.NoRoom = len(f.rows) - len(rows)
	i.from = f.Contents.Header.Eviction
	return i.run(ctx, f.entries(rows, i.from == i.limits.Eviction))
}

// Ranked restores entries with ranks, next to leave first, of which there are
// about total. Entries whose keys unusable refuses are counted and left out.
func (i *Import) Ranked(ctx context.Context, total int, entries iter.Seq2[Entry, error], unusable func(key string) error) (ImportCounts, error) {
	if err := i.begin(ctx); err != nil {
		return i.counts, err
	}
	i.counts.Total = total
	usable := func(yield func(Entry, error) bool) {
		for e, err := range entries {
			if err == nil && unusable(e.Key) != nil {
				i.counts.Unusable++
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
	i.from = store.Rank.Name
	return i.run(ctx, usable)
}

func (i *Import) begin(ctx context.Context) error {
	size, err := bounded(ctx, i.Target.Size)
	if err != nil {
		return err
	}
	i.restored, i.seed = make(map[uint64]struct{}), maphash.MakeSeed()
	i.limits = size.Limits
	if i.limits.MaxKeys == 0 {
		i.limits = i.Limits
	}
	return nil
}

func (i *Import) run(ctx context.Context, entries iter.Seq2[Entry, error]) (ImportCounts, error) {
	n := 0
	for e, err := range entries {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return i.counts, err
		}
		n++
		w := store.Write{Op: store.Restore, Key: i.Prefix + e.Key, Value: e.Value, Score: i.score(e.Rank, n)}
		if len(i.writes) > 0 && i.pending+w.Size() > applyBytes || len(i.writes) == applyWrites {
			if err := i.apply(ctx); err != nil {
				return i.counts, err
			}
		}
		i.writes = append(i.writes, w)
		i.pending += w.Size()
	}
	if len(i.writes) == 0 {
		return i.counts, nil
	}
	return i.counts, i.apply(ctx)
}

// score is that of the n-th entry. Where another policy made the ranks, it tells
// the order, and whether the entry was ever read.
func (i *Import) score(rank float64, n int) float64 {
	if i.from == i.limits.Eviction {
		return rank
	}
	from, _ := store.PolicyByName(i.from) // a later version may have others
	to, _ := store.PolicyByName(i.limits.Eviction)
	return to.Scale.AtPlace(max(i.counts.Total, n)-n, from.Scale.Unread(0, rank))
}

// apply restores what is pending.
func (i *Import) apply(ctx context.Context) error {
	for len(i.writes) > 0 {
		applied, err := bounded(ctx, func(ctx context.Context) (store.Applied, error) {
			return i.Target.Apply(ctx, store.Batch{Writes: i.writes, Limits: i.Limits})
		})
		if err != nil {
			return err
		}
		var again []store.Write
		for n, r := range applied.Results {
			switch {
			case r.Outcome == store.Created:
				i.counts.Restored++
				i.restored[i.hash(i.writes[n].Key)] = struct{}{}
			case r.Outcome == store.Conflict && r.SameValue:
				i.counts.Same++
			case r.Outcome == store.Conflict:
				i.counts.Other++
			case r.Outcome == store.TooLarge:
				i.counts.NoRoom++
			case r.Outcome == store.TooMuchAtOnce:
				again = append(again, i.writes[n])
			case r.Outcome == store.Refused:
				return fmt.Errorf("%w: %w", store.ErrRefused, r.Refusal())
			default:
				return fmt.Errorf("the store answered a restore with the outcome %s", r.Outcome)
			}
		}
		for _, key := range applied.Evicted {
			if _, isOurs := i.restored[i.hash(key)]; !isOurs {
				i.counts.Evicted++
				continue
			}
			delete(i.restored, i.hash(key))
			i.counts.Restored--
			i.counts.NoRoom++
		}
		i.writes = append(i.writes[:0], again...)
		if i.Progress != nil {
			i.Progress(i.counts)
		}
	}
	i.pending = 0
	return nil
}

func (i *Import) hash(key string) uint64 { return maphash.String(i.seed, key) }

// String says how far the import is.
func (c ImportCounts) String() string {
	done := c.Restored + c.Same + c.Other + c.NoRoom + c.Unusable
	parts := []string{"imported " + strconv.Itoa(done) + " of " + strconv.Itoa(max(c.Total, done)) + " entries: " + strconv.Itoa(c.Restored) + " restored"}
	for _, p := range []struct {
		n    int
		what string
	}{
		{c.Same, "were there already"},
		{c.Other, "exist with another value, which stays"},
		{c.NoRoom, "have no room"},
		{c.Unusable, "cannot be entries"},
		{c.Evicted, "left for them"},
	} {
		if p.n > 0 {
			parts = append(parts, strconv.Itoa(p.n)+" "+p.what)
		}
	}
	return strings.Join(parts, ", ")
}
