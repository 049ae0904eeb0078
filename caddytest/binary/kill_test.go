package binary

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

const (
	cannotEvict = 1_000_000
	evicts      = 100
)

// Rounds of writes end with a kill. An acknowledged entry still exists, or was evicted
// by the rules. In rounds that evict, the test reads nothing, so the oldest entries are
// evicted. A write without an answer happened once or not at all.
func TestAcknowledgedWritesSurviveKills(t *testing.T) {
	for _, tt := range []struct {
		name    string
		maxKeys int
		rounds  int
		round   func(*killing)
	}{
		{"of Caddy", cannotEvict, usually(6, 60), (*killing).killCaddy},
		{"of Redis", cannotEvict, usually(6, 60), (*killing).killRedis},
		{"of Caddy while entries are evicted", evicts, usually(4, 40), (*killing).killCaddy},
		{"of Redis while entries are evicted", evicts, usually(4, 40), (*killing).killRedis},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Short, so requests soon fail while Redis is down.
			k := startKilling(t, tt.maxKeys, "redis_timeout 500ms")
			for n := range tt.rounds {
				tt.round(k)
				if t.Failed() {
					t.Fatalf("in round %d", n+1)
				}
			}
			t.Logf("%d rounds: %d answered, without an answer %d, 503 that changed nothing %d, of unknown fate %d; %s", tt.rounds,
				k.load.answered.Load(), k.load.cut.Load(), k.load.refused.Load(), k.load.unknown.Load(), k.kept())
		})
	}
}

// killing is a running test.
type killing struct {
	*testing.T
	caddy     *caddy
	inspector *inspector
	load      *load
	random    *rand.Rand
	maxKeys   int
	last      snapshot
}

func startKilling(t *testing.T, maxKeys int, settings string) *killing {
	seed := newSeed(t)
	redis := startDurableRedis(t)
	c := startCaddy(t, redis, "", fmt.Sprintf("methods GET HEAD POST PUT DELETE\nmax_keys %d\n%s", maxKeys, settings))
	return &killing{
		T:         t,
		caddy:     c,
		inspector: newInspector(t, redis),
		load:      newLoad(t, c, 16, seed, maxKeys == evicts),
		random:    rand.New(rand.NewPCG(seed, 1<<32)),
		maxKeys:   maxKeys,
	}
}

// someAnswers waits until a round has some answers.
func (k *killing) someAnswers() { k.load.awaitAnswered(k, 100+k.random.Int64N(300)) }

func (k *killing) killCaddy() {
	stop := k.load.start(k)
	k.someAnswers()
	k.caddy.proc.Kill()
	stop()
	k.inspector.awaitAlone()
	k.check()
	k.caddy.start()
}

func (k *killing) killRedis() {
	for _, w := range k.load.writers {
		w.ledger.losesRaises = true
	}
	stop := k.load.start(k)
	k.someAnswers()
	k.caddy.redis.Kill()
	if k.random.IntN(2) == 0 {
		// Otherwise Redis could be back before any call fails.
		refused := k.refusals() + 30
		await(k, "requests are refused", func() bool { return k.refusals() >= refused })
	}
	if err := k.caddy.redis.Restart(); err != nil {
		k.Fatal(err)
	}
	k.someAnswers() // it works again
	stop()
	if n := k.load.cut.Load(); n > 0 {
		k.Errorf("%d requests got no answer: Caddy is to answer while Redis is down", n)
	}
	// All requests were answered or have failed: Caddy sends nothing more.
	k.inspector.settle()
	k.check()
}

func (k *killing) refusals() int64 { return k.load.refused.Load() + k.load.unknown.Load() }

func (k *killing) check() {
	k.Helper()
	k.last = k.inspector.look()
	if n := len(k.last.entries); n > k.maxKeys {
		k.Errorf("Redis holds %d entries, more than max_keys", n)
	}
	k.load.check(k, k.last)
}

func (k *killing) kept() string {
	return fmt.Sprintf("%d changes in Redis, %d entries", k.last.number, len(k.last.entries))
}
