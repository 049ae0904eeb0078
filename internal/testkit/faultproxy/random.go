package faultproxy

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Random returns a rule that gives one exchange in oneIn a random fault, or a delay of up
// to delay.
func Random(seed uint64, oneIn int, delay time.Duration) func() Fault {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return func() Fault {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(oneIn) > 0 {
			return Fault{}
		}
		some := time.Duration(random.Int64N(int64(delay)) + 1)
		switch ending := Ending(random.IntN(int(Mute) + 4)); ending {
		case Pass:
			return Fault{Delay: some}
		case Mute + 2, Mute + 3:
			return Fault{Delay: some / 4}
		case Mute + 1:
			// The command comes late, mostly after its client has given up.
			hold := make(chan struct{})
			time.AfterFunc(some, func() { close(hold) })
			return Fault{Hold: hold}
		default:
			return Fault{Ending: ending}
		}
	}
}
