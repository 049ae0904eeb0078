package dump

import (
	"context"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// sizesOf reads the sizes of the partitions of a namespace.
func sizesOf[P interface {
	Size(context.Context) (store.Size, error)
}](ctx context.Context, partitions []P) ([]store.Size, error) {
	sizes := make([]store.Size, len(partitions))
	for i, p := range partitions {
		var err error
		if sizes[i], err = bounded(ctx, p.Size); err != nil {
			return nil, err
		}
	}
	return sizes, nil
}

// limitsOf returns the limits of a namespace with partitions of these sizes; zero if no
// partition has limits yet. A partition without limits counts like the average of the
// others.
func limitsOf(sizes []store.Size) store.Limits {
	var sum store.Limits
	having := 0
	for _, size := range sizes {
		if size.Limits.MaxKeys == 0 {
			continue
		}
		if having++; having == 1 {
			sum.Eviction = size.Limits.Eviction
		}
		sum.MaxKeys += size.Limits.MaxKeys
		sum.MaxBytes += size.Limits.MaxBytes
	}
	if having > 0 {
		sum.MaxKeys = sum.MaxKeys * len(sizes) / having
		sum.MaxBytes = sum.MaxBytes * int64(len(sizes)) / int64(having)
	}
	return sum
}
