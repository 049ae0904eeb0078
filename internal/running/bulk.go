package running

import "sync/atomic"

// Bulk counts the bulk requests that are running, and bounds the memory of the answers that
// their clients have not read.
type Bulk struct {
	streams atomic.Int64
	answers atomic.Int64
}

// Begin counts a bulk request, until End.
func (b *Bulk) Begin() { b.streams.Add(1) }

// End ends what Begin began.
func (b *Bulk) End() { b.streams.Add(-1) }

// Keep takes memory for answers. It reports false, and takes none, if all requests together
// would then hold more than max. Free gives it back.
func (b *Bulk) Keep(bytes, max int64) bool {
	if b.answers.Add(bytes) > max {
		b.answers.Add(-bytes)
		return false
	}
	return true
}

// Free gives back memory that Keep took.
func (b *Bulk) Free(bytes int64) { b.answers.Add(-bytes) }

// Streams returns how many bulk requests are running.
func (b *Bulk) Streams() int64 { return b.streams.Load() }
