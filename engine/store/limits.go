package store

// Limits bound a store and name its eviction policy. They belong to the namespace: every
// process that uses it obeys the limits that were set last.
type Limits struct {
	MaxKeys  int
	MaxBytes int64 // of keys and values together; 0 is no limit
	Eviction string
}

// Share returns the limits of partition i of n. The shares add up to l.
func (l Limits) Share(i, n int) Limits {
	share := Limits{MaxKeys: l.MaxKeys / n, MaxBytes: l.MaxBytes / int64(n), Eviction: l.Eviction}
	if i < l.MaxKeys%n {
		share.MaxKeys++
	}
	if int64(i) < l.MaxBytes%int64(n) {
		share.MaxBytes++
	}
	return share
}
