package engine

import (
	"sync/atomic"
	"time"
)

// pace knows how long the store takes to answer, and so when it is too late to
// ask it. A call that is sent with too little time left ends without an answer;
// where many wait, so would all that come after it.
type pace struct{ took atomic.Int64 }

// needs returns how much of its time a call must have left when it is sent: a
// part of it for a lost answer to be asked for again, and twice what an answer
// takes, since a store gives a first try half of the time. It is never so much
// that nothing would be sent.
func (p *pace) needs(timeout time.Duration) time.Duration {
	return min(max(timeout/4, time.Duration(p.took.Load())*5/2), timeout*3/4)
}

// note learns from a call that took so long. One that failed shows only that an
// answer takes longer than the half of it.
func (p *pace) note(took time.Duration, err error) {
	old := time.Duration(p.took.Load())
	if err != nil {
		p.took.Store(int64(max(old, took*3/4)))
		return
	}
	p.took.Store(int64(max(took, (3*old+took)/4)))
}

// near is how soon a store answers that is worked for rather than waited for. As
// everything here it is measured from this process, whose own work counts too:
// on a core that is full and has hundreds of calls to serve, no store is near.
const near = 2 * time.Millisecond

// share is how many of those that wait go into the next call. Of many only half
// does: while that is in the store, answers to the other half go out, and the
// next ones come in. A few are not parted, since a call has costs of its own, nor
// are any where the way to the store is what takes the time.
func (p *pace) share(waiting int) int {
	if time.Duration(p.took.Load()) > near {
		return waiting
	}
	return max(16, (waiting+1)/2)
}
