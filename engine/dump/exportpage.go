package dump

import (
	"context"
	"io"
	"sync"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// page writes a page of the partition.
func (x *Export) page(ctx context.Context, out io.Writer) (more bool, err error) {
	page, err := bounded(ctx, func(ctx context.Context) (store.Page, error) {
		return x.Sources[x.partition].Page(ctx, x.after, pageEntries, store.Next)
	})
	if err != nil {
		return false, err
	}
	// After a failover that lost writes, the number is lower. An emptied store has
	// another epoch.
	if begun := x.header.Partitions[x.partition]; page.Number < begun.Number || page.Epoch != begun.Epoch {
		return false, ErrReplaced
	}
	var group []*Entry
	var bytes int64
	for i := range page.Entries {
		e, ok := x.entry(&page.Entries[i], &page)
		if ok {
			group = append(group, e)
			bytes += page.Entries[i].Size
		}
		if len(group) == readEntries || bytes >= readBytes || i == len(page.Entries)-1 {
			if err := x.writeGroup(ctx, out, group); err != nil {
				return false, err
			}
			group, bytes = group[:0], 0
		}
	}
	x.after = page.Next
	return page.Next != "", nil
}

// entry returns the entry for the file, still without its value. It returns false if the
// entry does not belong into the file.
func (x *Export) entry(l *store.Listed, page *store.Page) (*Entry, bool) {
	created := page.Number - l.Age
	begun := x.header.Partitions[x.partition]
	if created > begun.Number {
		return nil, false
	}
	age := begun.Number - created
	// A fetch raises an entry, which may then come a second time.
	if _, isWritten := x.written[age]; isWritten {
		return nil, false
	}
	if x.Check != nil && x.Check(l.Key) != nil {
		x.counts.Left++
		x.written[age] = struct{}{}
		return nil, false
	}
	return &Entry{Key: l.Key, Rank: l.Rank + page.Clock - begun.Clock, Age: age, HasAge: true}, true
}

func (x *Export) writeGroup(ctx context.Context, out io.Writer, group []*Entry) error {
	found := make([]bool, len(group))
	errs := make([]error, len(group))
	next := make(chan int, len(group))
	for i := range group {
		next <- i
	}
	close(next)
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			for i := range next {
				listed, err := bounded(ctx, func(ctx context.Context) (*store.Listed, error) {
					return x.Sources[x.partition].Look(ctx, group[i].Key)
				})
				if err == nil && listed != nil {
					group[i].Value, group[i].Expires, found[i] = listed.Entry.Value, listed.Expires, true
				}
				errs[i] = err
			}
		})
	}
	reading.Wait()
	var b []byte
	for i, e := range group {
		if errs[i] != nil {
			return errs[i]
		}
		if !found[i] {
			continue // it was evicted or deleted since it was listed
		}
		b = appendEntry(b[:0], e)
		if err := x.write(out, b); err != nil {
			return err
		}
		x.written[e.Age] = struct{}{}
		x.counts.Entries++
		if x.Progress != nil {
			x.Progress(x.counts)
		}
	}
	return nil
}
