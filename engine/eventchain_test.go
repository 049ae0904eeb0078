package engine

import (
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// TestTheChainOfEvents replays events, answers and answered pings in the order in
// which a node gets them. A step in missed must show that events were missed.
func TestTheChainOfEvents(t *testing.T) {
	type step struct {
		what   string
		id     store.Version
		before store.Version // of an event; for a ping, Number is when it was sent
		missed bool
	}
	v := func(number uint64, tag uint32) store.Version { return store.Version{Number: number, Tag: tag} }
	heard := func(id, before store.Version) step { return step{what: "heard", id: id, before: before} }
	answered := func(id store.Version) step { return step{what: "answered", id: id} }
	// The steps count the time: a ping is sent between two of them.
	ponged := func(sentAfter uint64) step { return step{what: "ponged", before: v(sentAfter, 0)} }
	missed := func(s step) step {
		s.missed = true
		return s
	}

	for name, steps := range map[string][]step{
		"the first event accepts any":                    {heard(v(7, 1), v(6, 9)), heard(v(8, 2), v(7, 1))},
		"an event that names another":                    {heard(v(7, 1), v(6, 9)), missed(heard(v(9, 3), v(8, 2))), heard(v(10, 4), v(9, 3))},
		"the same number of another server":              {heard(v(7, 1), v(6, 9)), missed(heard(v(8, 2), v(7, 5)))},
		"numbers that go back":                           {heard(v(7, 1), v(6, 9)), missed(heard(v(3, 2), v(2, 1)))},
		"an event that comes after the answer":           {heard(v(7, 1), v(6, 9)), answered(v(8, 2)), heard(v(8, 2), v(7, 1)), ponged(3)},
		"an event that came before the answer":           {heard(v(7, 1), v(6, 9)), heard(v(8, 2), v(7, 1)), answered(v(8, 2)), answered(v(7, 1)), ponged(4)},
		"a ping that was sent before the answer":         {heard(v(7, 1), v(6, 9)), answered(v(8, 2)), ponged(0), heard(v(8, 2), v(7, 1)), ponged(4)},
		"an event that never comes":                      {heard(v(7, 1), v(6, 9)), answered(v(8, 2)), missed(ponged(2)), ponged(3), heard(v(9, 3), v(8, 2))},
		"one of two events never comes":                  {heard(v(7, 1), v(6, 9)), answered(v(8, 2)), answered(v(9, 3)), heard(v(8, 2), v(7, 1)), ponged(4), missed(ponged(5))},
		"answers do not put the check off":               {heard(v(7, 1), v(6, 9)), answered(v(8, 2)), answered(v(9, 3)), missed(ponged(2))},
		"an answer with the number of another server":    {heard(v(7, 1), v(6, 9)), missed(answered(v(7, 2))), heard(v(8, 3), v(7, 2))},
		"the first answer says where the chain begins":   {answered(v(7, 1)), heard(v(8, 2), v(7, 1))},
		"events after the first answer are missed":       {answered(v(7, 1)), missed(heard(v(9, 3), v(8, 2)))},
		"late events after the first answer":             {answered(v(7, 1)), heard(v(6, 9), v(5, 8)), heard(v(7, 1), v(6, 9)), heard(v(8, 2), v(7, 1))},
		"no events are late after a ping":                {answered(v(7, 1)), ponged(1), missed(heard(v(6, 9), v(5, 8)))},
		"the first answers overtake each other":          {answered(v(8, 2)), answered(v(7, 1)), heard(v(8, 2), v(7, 1)), ponged(3)},
		"and the event of the later one never comes":     {answered(v(8, 2)), answered(v(7, 1)), missed(ponged(2))},
		"an empty namespace":                             {answered(v(0, 0)), heard(v(1, 1), v(0, 0)), answered(v(1, 1)), ponged(3)},
		"the first event of an empty namespace is lost":  {answered(v(0, 0)), answered(v(1, 1)), missed(ponged(2))},
		"an event of a batch that failed half-way":       {heard(v(7, 1), v(6, 9)), missed(heard(v(8, 3), v(7, 2)))},
		"an answer after a batch that failed half-way":   {heard(v(7, 1), v(6, 9)), missed(answered(v(7, 2)))},
		"an event that was not published, and its reply": {heard(v(7, 1), v(6, 9)), answered(v(8, 2)), missed(heard(v(9, 3), v(8, 2))), ponged(3)},
	} {
		t.Run(name, func(t *testing.T) {
			var c eventChain
			for i, s := range steps {
				now := time.Duration(i+1) * time.Second
				var got bool
				switch s.what {
				case "heard":
					got = c.heard(s.id, s.before)
				case "answered":
					got = c.answered(s.id, now)
				case "ponged":
					got = c.ponged(time.Duration(s.before.Number)*time.Second + time.Second/2)
				}
				if got != s.missed {
					t.Fatalf("step %d, %s %s: missed is %v", i+1, s.what, s.id, got)
				}
			}
		})
	}
}
