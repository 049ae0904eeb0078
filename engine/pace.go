package engine

import (
	"sync/atomic"
	"time"
)

// pace estimates how long the store takes to answer, and tells from that when it is
// too late to send a call. A call with too little time left would get no answer in time,
// and would delay all calls behind it until they are late too.
type pace struct {
	took   atomic.Int64
	waited atomic.Int64 // for replicas or a disk, behind that
}

// needs returns how much of its timeout a call must have left when it is sent. A
// quarter leaves time to ask again after a lost answer. Two and a half times the
// estimate leaves time for a slow answer, since the store gives a first try half of the
// time; it has no such bound on a wait for durability. Three quarters are always enough.
// Otherwise a slow store would get no calls.
func (p *pace) needs(timeout time.Duration) time.Duration {
	return min(max(timeout/4, time.Duration(p.took.Load())*5/2+time.Duration(p.waited.Load())), timeout*3/4)
}

// note updates the estimate with the duration of a call, and with that of the wait for
// durability behind it. A failed call shows only that an answer takes longer than about
// half of that.
func (p *pace) note(took, waited time.Duration, err error) {
	old := time.Duration(p.took.Load())
	if err != nil {
		p.took.Store(int64(max(old, took*3/4)))
		return
	}
	p.took.Store(int64(max(took, (3*old+took)/4)))
	p.waited.Store(int64(max(waited, (3*time.Duration(p.waited.Load())+waited)/4)))
}

// near bounds the time of an answer from a near store. Up to this time, the work of this
// process takes longer than the way to the store. The measured time has that work in it:
// on a busy core with hundreds of calls, no store is near.
const near = 2 * time.Millisecond

// share returns how many of the waiting calls go into the next batch. Of many, only
// half do: while these are in the store, this process hands out the answers to the
// other half and takes in new calls. The calls that were just answered count as
// waiting, since others mostly come in their place at once. Up to 16 stay together,
// since each batch has a cost of its own. All stay together if the store is not near.
func (p *pace) share(waiting, answered int) int {
	if time.Duration(p.took.Load()+p.waited.Load()) > near {
		return waiting
	}
	return max(16, (waiting+answered+1)/2)
}
