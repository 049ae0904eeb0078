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
	// pendingBytes bounds the writes that wait for their batches to fill.
	pendingBytes = 8 << 20
)

// ErrCutOff says that a file has no end line.
var ErrCutOff = errors.New("the export was cut off before its end")

// Target is the part of a store that an import needs.
type Target interface {
	Size(context.Context) (store.Size, error)
	Apply(context.Context, store.Batch) (store.Applied, error)
}

// Import puts entries into a namespace, with their places in the eviction order. It never
// overwrites an entry. An interrupted import can be run again.
type Import struct {
	// Targets are the partitions of the namespace. Locate returns the one where a key
	// belongs; a single one needs no Locate.
	Targets []Target
	Locate  func(key string) int
	// Limits are those of the whole namespace. Each partition gets its share, if no
	// partition has limits yet.
	Limits store.Limits
	// Prefix is put before every key.
	Prefix string
	// Progress, if set, is called with the counts after each batch.
	Progress func(ImportCounts)

	counts  ImportCounts
	limits  []store.Limits // of the partitions
	pending []pending      // for the partitions
	bytes   int64          // of pending
	// restored has the hashes of the keys that this import restored. Hashes need less
	// memory than keys, and two equal ones are very unlikely.
	restored map[uint64]struct{}
	seed     maphash.Seed
}

// pending are writes that are not applied yet, and their bytes.
type pending struct {
	writes []store.Write
	bytes  int64
}

// ImportCounts is the progress of an import.
type ImportCounts struct {
	Total    int
	Restored int
	// Same and Other are entries that existed already, with the same value or with
	// another one.
	Same, Other int
	// NoRoom are entries for which their partition is too small. They include entries that
	// were evicted again for other entries of the same import.
	NoRoom int
	// Expired are entries that expired since they were exported.
	Expired int
	// Evicted are older entries that were evicted for restored ones.
	Evicted int
	// Unusable are entries of the original whose keys a store cannot have.
	Unusable int
}

// File restores the entries of a file. If there is no room for all in a partition, it
// restores the most valued ones. If the store has another eviction policy than the file,
// ranks mean nothing, and only the order is kept.
func (i *Import) File(ctx context.Context, f *File) (ImportCounts, error) {
	if err := i.begin(ctx); err != nil {
		return i.counts, err
	}
	i.counts.Total = len(f.rows)
	parts, err := f.split(len(i.Targets), i.place)
	if err != nil {
		return i.counts, err
	}
	for to, all := range parts {
		rows := fitting(all, i.limits[to], len(i.Prefix))
		i.counts.NoRoom += len(all) - len(rows)
		scores := newScoring(&f.Contents.Header, i.limits[to].Eviction, len(i.Targets))
		scores.score(rows)
		if scores.keep {
			f.byAge(rows)
		}
		for e, err := range f.entries(rows) {
			if err == nil {
				err = i.restore(ctx, to, &e)
			}
			if err != nil {
				return i.counts, err
			}
		}
		if err := i.apply(ctx, to); err != nil {
			return i.counts, err
		}
	}
	return i.counts, nil
}

// Ranked restores about total entries with numbers of fetches as ranks, in eviction order.
// It counts and skips the entries whose keys unusable refuses.
func (i *Import) Ranked(ctx context.Context, total int, entries iter.Seq2[Entry, error], unusable func(key string) error) (ImportCounts, error) {
	if err := i.begin(ctx); err != nil {
		return i.counts, err
	}
	i.counts.Total = total
	n := 0
	for e, err := range entries {
		if err != nil {
			return i.counts, err
		}
		if unusable(e.Key) != nil {
			i.counts.Unusable++
			continue
		}
		n++
		to := i.place(e.Key)
		if policy, _ := store.PolicyByName(i.limits[to].Eviction); policy.Name != store.Rank.Name {
			// About as many entries are valued more in each partition.
			behind := (max(total, n) - n) / len(i.Targets)
			e.Rank = policy.Scale.AtPlace(behind, store.Counts.Unread(0, e.Rank))
		}
		if err := i.restore(ctx, to, &e); err != nil {
			return i.counts, err
		}
	}
	err := i.applyAll(ctx)
	return i.counts, err
}

func (i *Import) begin(ctx context.Context) error {
	sizes, err := sizesOf(ctx, i.Targets)
	if err != nil {
		return err
	}
	i.restored, i.seed = make(map[uint64]struct{}), maphash.MakeSeed()
	i.pending = make([]pending, len(sizes))
	i.limits = make([]store.Limits, len(sizes))
	limits := limitsOf(sizes)
	if limits.MaxKeys == 0 {
		limits = i.Limits
	}
	for to, size := range sizes {
		i.limits[to] = size.Limits
		if size.Limits.MaxKeys == 0 {
			i.limits[to] = limits.Share(to, len(sizes))
		}
	}
	return nil
}

// place returns the partition of the entry that key becomes.
func (i *Import) place(key string) int {
	if len(i.Targets) == 1 {
		return 0
	}
	return i.Locate(i.Prefix + key)
}

// restore restores an entry, whose rank is its score in the partition, or keeps it for a
// later batch.
func (i *Import) restore(ctx context.Context, to int, e *Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := store.Write{Op: store.Restore, Key: i.Prefix + e.Key, Value: e.Value, Score: e.Rank, Expires: e.Expires}
	p := &i.pending[to]
	if len(p.writes) > 0 && p.bytes+w.Size() > applyBytes || len(p.writes) == applyWrites {
		if err := i.apply(ctx, to); err != nil {
			return err
		}
	}
	if i.bytes+w.Size() > pendingBytes {
		if err := i.applyAll(ctx); err != nil {
			return err
		}
	}
	p.writes = append(p.writes, w)
	p.bytes += w.Size()
	i.bytes += w.Size()
	return nil
}

// applyAll restores the pending entries of all partitions.
func (i *Import) applyAll(ctx context.Context) error {
	for to := range i.pending {
		if err := i.apply(ctx, to); err != nil {
			return err
		}
	}
	return nil
}

// apply restores the pending entries of a partition.
func (i *Import) apply(ctx context.Context, to int) error {
	p := &i.pending[to]
	for len(p.writes) > 0 {
		applied, err := bounded(ctx, func(ctx context.Context) (store.Applied, error) {
			return i.Targets[to].Apply(ctx, store.Batch{Writes: p.writes, Limits: i.limits[to]})
		})
		if err != nil {
			return err
		}
		var again []store.Write
		for n, r := range applied.Results {
			switch {
			case r.Outcome == store.Created:
				i.counts.Restored++
				i.restored[i.hash(p.writes[n].Key)] = struct{}{}
			case r.Outcome == store.Conflict && r.SameValue:
				i.counts.Same++
			case r.Outcome == store.Conflict:
				i.counts.Other++
			case r.Outcome == store.TooLarge:
				i.counts.NoRoom++
			case r.Outcome == store.Expired:
				i.counts.Expired++
			case r.Outcome == store.TooMuchAtOnce:
				again = append(again, p.writes[n])
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
		p.writes = append(p.writes[:0], again...)
		if i.Progress != nil {
			i.Progress(i.counts)
		}
	}
	i.bytes -= p.bytes
	*p = pending{}
	return nil
}

func (i *Import) hash(key string) uint64 { return maphash.String(i.seed, key) }

// String describes the progress in words.
func (c ImportCounts) String() string {
	done := c.Restored + c.Same + c.Other + c.NoRoom + c.Expired + c.Unusable
	parts := []string{"imported " + strconv.Itoa(done) + " of " + strconv.Itoa(max(c.Total, done)) + " entries: " + strconv.Itoa(c.Restored) + " restored"}
	for _, p := range []struct {
		n    int
		what string
	}{
		{c.Same, "were there already"},
		{c.Other, "exist with another value, which stays"},
		{c.NoRoom, "have no room"},
		{c.Expired, "have expired since"},
		{c.Unusable, "cannot be entries"},
		{c.Evicted, "were evicted for them"},
	} {
		if p.n > 0 {
			parts = append(parts, strconv.Itoa(p.n)+" "+p.what)
		}
	}
	return strings.Join(parts, ", ")
}
