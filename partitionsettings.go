package redisproxy

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

// smallShare is a number of keys for one partition. The keys of a namespace fall on its
// partitions by chance, so some partitions have more than others. With a share below this
// number, a partition is often full while others have room for much more.
const smallShare = 600

// checkPartitioned checks that the store can have as many partitions as are set. target is
// nil for the embedded store.
func (h *Handler) checkPartitioned(target *redisstore.Target) error {
	if *h.Partitions == 1 || target != nil && target.IsCluster() {
		return nil
	}
	return &conflictError{
		[]string{"partitions", "store"},
		fmt.Sprintf("%d need a Redis Cluster, whose servers share them; a store that is no cluster gains nothing by partitions: leave the line out, or set store to redis+cluster://…",
			*h.Partitions),
	}
}

// checkShares checks that every partition has room for entries. Its share of the limits is
// fixed.
func (h *Handler) checkShares() error {
	n := *h.Partitions
	if *h.MaxKeys < n {
		return &conflictError{
			[]string{"max_keys", "partitions"},
			fmt.Sprintf("%d is less than one key for each of the %d partitions; write at least %d, or fewer partitions", *h.MaxKeys, n, n),
		}
	}
	largest := int64(*h.MaxKeySize) + *h.MaxValueSize
	if share := *h.MaxBytes / int64(n); n > 1 && *h.MaxBytes > 0 && share < largest {
		return &conflictError{
			[]string{"max_bytes", "partitions", "max_value_size", "max_key_size"},
			fmt.Sprintf("%s for %d partitions is %d bytes for each, which has no room for the largest entry; write at least %d, or fewer partitions: an entry may have %d bytes, the sum of max_key_size (%s) and max_value_size (%s)",
				sizeText(*h.MaxBytes), n, share, largest*int64(n), largest, sizeText(int64(*h.MaxKeySize)), sizeText(*h.MaxValueSize)),
		}
	}
	return nil
}

// warnOfSmallShares warns if the share of a partition is so small that entries are evicted
// long before max_keys is reached.
func (h *Handler) warnOfSmallShares() {
	if share := *h.MaxKeys / *h.Partitions; *h.Partitions > 1 && share < smallShare {
		h.logger.Warn("each partition has a small, fixed share of max_keys: it is often full, and evicts, while others have room; write fewer partitions, or so many max_keys that each has 600 or more",
			zap.Int("partitions", *h.Partitions), zap.Int("max_keys", *h.MaxKeys), zap.Int("share", share),
			zap.Int("enough", *h.Partitions*smallShare), zap.String("namespace", h.Namespace))
	}
}
