package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Size implements store.Store.
func (s *Store) Size(ctx context.Context) (store.Size, error) {
	reply, err := s.read(ctx, browseScript, "size")
	if err != nil {
		return store.Size{}, fmt.Errorf("reading the size: %w", err)
	}
	r := reader{reply: reply}
	size := store.Size{Number: uint64(r.int()), Epoch: r.string(), Keys: int(r.int()), Bytes: r.int()}
	size.Limits = store.Limits{MaxKeys: int(r.int()), MaxBytes: r.int(), Eviction: r.string()}
	size.Expiring = int(r.int())
	return size, r.failure()
}

// Page implements store.Store.
func (s *Store) Page(ctx context.Context, after store.Cursor, n int, order store.Order) (store.Page, error) {
	if n > store.MaxBatch {
		return store.Page{}, fmt.Errorf("%w: %d at once, where %d is the most", store.ErrUnavailable, n, store.MaxBatch)
	}
	args := []any{"page", "next", n}
	if order == store.Valued {
		args[1] = "valued"
	}
	if after != "" {
		score, insertion, err := after.Place()
		if err != nil {
			return store.Page{}, err
		}
		args = append(args, formatScore(score), insertion)
	}
	reply, err := s.read(ctx, browseScript, args...)
	if err != nil {
		return store.Page{}, fmt.Errorf("reading a page: %w", err)
	}
	return readPage(reply, order)
}

// formatScore writes a score as Redis and Lua read it.
func formatScore(score float64) string { return strconv.FormatFloat(score, 'g', -1, 64) }

func readPage(reply []any, order store.Order) (store.Page, error) {
	r := reader{reply: reply}
	number, epoch, clock, more, now := uint64(r.int()), r.string(), r.string(), r.int() == 1, r.int()
	type row struct {
		member, score, rank, meta string
		size                      int64
		hasMeta                   bool
	}
	var rows []row
	for r.next < len(reply) && r.err == nil {
		row := row{member: r.string(), score: r.string(), rank: r.string()}
		row.meta, row.hasMeta = r.optional()
		row.size = r.int()
		rows = append(rows, row)
	}
	if err := r.failure(); err != nil {
		return store.Page{}, err
	}
	if order == store.Valued {
		slices.Reverse(rows)
	}
	page := store.Page{Number: number, Epoch: epoch}
	var err error
	if page.Clock, err = strconv.ParseFloat(clock, 64); err != nil {
		return store.Page{}, fmt.Errorf("%w: a clock of %q", store.ErrUnavailable, clock)
	}
	for _, row := range rows {
		insertion, key, ok := cutMember(row.member)
		if !ok || !row.hasMeta {
			continue // another program wrote it; a repair will remove it
		}
		m, known := decodeMeta(row.meta)
		if known && m.expires > 0 && m.expires <= now {
			continue
		}
		listed, err := newListed(key, row.rank, entryOf("", m, known), age(number, insertion))
		if err != nil {
			return store.Page{}, err
		}
		listed.Expires = m.expiry()
		if listed.Score, err = strconv.ParseFloat(row.score, 64); err != nil {
			return store.Page{}, fmt.Errorf("%w: a score of %q", store.ErrUnavailable, row.score)
		}
		listed.Size += row.size
		page.Entries = append(page.Entries, *listed)
	}
	if more && len(rows) > 0 {
		last := rows[len(rows)-1]
		insertion, _, _ := cutMember(last.member)
		score, err := strconv.ParseFloat(last.score, 64)
		if err != nil {
			return store.Page{}, fmt.Errorf("%w: a score of %q", store.ErrUnavailable, last.score)
		}
		page.Next = store.NewCursor(score, insertion)
	}
	return page, nil
}

// cutMember splits a member of the ranks into insertion number and key.
func cutMember(member string) (insertion uint64, key string, ok bool) {
	if len(member) < insertionSize {
		return 0, "", false
	}
	return number6(member), member[insertionSize:], true
}

// age returns the age of an entry; 0 if another program wrote impossible numbers.
func age(number, insertion uint64) uint64 { return number - min(number, insertion) }

func newListed(key, rank string, e *store.Entry, age uint64) (*store.Listed, error) {
	score, err := strconv.ParseFloat(rank, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: a score of %q", store.ErrUnavailable, rank)
	}
	return &store.Listed{Key: key, Rank: score, Age: age, Size: int64(len(key) + len(e.Data)), Entry: e}, nil
}

// Look implements store.Store.
func (s *Store) Look(ctx context.Context, key string) (*store.Listed, error) {
	reply, err := s.read(ctx, browseScript, "look", key)
	if err != nil {
		return nil, fmt.Errorf("looking at a key: %w", err)
	}
	r := reader{reply: reply}
	number := uint64(r.int())
	value, found := r.optional()
	text, _ := r.optional()
	rank, isRanked := r.optional()
	if err := r.failure(); err != nil || !found {
		return nil, err
	}
	m, known := decodeMeta(text)
	e := entryOf(value, m, known)
	if !isRanked || !known {
		return newListed(key, "0", e, 0) // it has no place yet
	}
	listed, err := newListed(key, rank, e, age(number, m.insertion))
	if err == nil {
		listed.Expires = m.expiry()
	}
	return listed, err
}
