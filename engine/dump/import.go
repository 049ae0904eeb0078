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

// ErrCutOff says that a file has no end line.
var ErrCutOff = errors.New("the export was cut off before its end")

// Target is the part of a store that an import needs.
type Target interface {
	Size(context.Context) (store.Size, error)
	Apply(context.Context, store.Batch) (store.Applied, error)
}

// Import puts entries into a store, with their places in the eviction order. It never
// overwrites an entry. An interrupted import can be run again.
type Import struct {
	Target Target
	// Limits are put in force if the store has none yet.
	Limits store.Limits
	// Prefix is put before every key.
	Prefix string
	// Progress, if set, is called with the counts after each batch.
	Progress func(ImportCounts)

	counts  ImportCounts
	from    string       // the policy of the ranks
	limits  store.Limits // in force
	writes  []store.Write
	pending int64 // bytes of writes
	// restored has the hashes of the keys that this import restored. Hashes need less
	// memory than keys, and two equal ones are very unlikely.
	restored map[uint64]struct{}
	seed     maphash.Seed
}

// ImportCounts is the progress of an import.
type ImportCounts struct {
	Total    int
	Restored int
	// Same and Other are entries that existed already, with the same value or with
	// another one.
	Same, Other int
	// NoRoom are entries for which the store is too small. They include entries that
	// were evicted again for other entries of the same import.
	NoRoom int
	// Evicted are older entries that were evicted for restored ones.
	Evicted int
	// Unusable are entries of the original whose keys a store cannot have.
	Unusable int
}

// File restores the entries of a file. If there is no room for all, it restores the most
// valued ones. If the store has another eviction policy than the file, ranks mean
// nothing, and only the order is kept.
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

// Ranked restores about total entries with ranks, in eviction order. It counts and skips
// the entries whose keys unusable refuses.
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
	i.from = store.Rank.Name // the format has ranks, whatever policy is in force here
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

// score returns the score of the n-th entry. If another policy made the ranks, the score
// keeps only the order, and whether the entry was ever fetched.
func (i *Import) score(rank float64, n int) float64 {
	if i.from == i.limits.Eviction {
		return rank
	}
	from, _ := store.PolicyByName(i.from) // unknown if a later version made the file
	to, _ := store.PolicyByName(i.limits.Eviction)
	return to.Scale.AtPlace(max(i.counts.Total, n)-n, from.Scale.Unread(0, rank))
}

// apply restores the pending entries.
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

// String describes the progress in words.
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
		{c.Evicted, "were evicted for them"},
	} {
		if p.n > 0 {
			parts = append(parts, strconv.Itoa(p.n)+" "+p.what)
		}
	}
	return strings.Join(parts, ", ")
}
