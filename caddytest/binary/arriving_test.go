package binary

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// Slow clients must not fill the memory with arriving bodies. They get their turns one after
// another.
func TestBodiesThatArriveSlowlyTakeBoundedMemory(t *testing.T) {
	const (
		clients = 100
		// Halves of all bodies have 200 MiB. The bound is counted as overloadMemory: an idle
		// caddy, the connections and three times max_queue_bytes, all twice.
		maxMemory = 2 * (15 + 10 + 3*16) * mebi
	)
	redis := redistest.Start(t)
	c := startCaddy(t, redis, "", "max_queue_bytes 16MiB\nmax_value_size 4MiB")
	client := newClient(t, c, clients)
	memory := c.watchMemory()
	release := make(chan struct{})
	released := sync.OnceFunc(func() { close(release) })
	var sending sync.WaitGroup
	t.Cleanup(func() { released(); sending.Wait() })
	for n := range clients {
		sending.Go(func() {
			req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("%s/cache/slow%d", client.base, n), newHeldBody(release))
			if err != nil {
				t.Error(err)
				return
			}
			req.ContentLength = heldSize
			if a := client.do(req); a.status != http.StatusCreated {
				t.Error(a)
			}
		})
	}
	// One client has a quarter of the room, which is one body.
	await(t, "all others wait for room", func() bool {
		return strings.Contains(get(c.admin, "http://127.0.0.1/redis_proxy/caches"), fmt.Sprintf(`"bodies_waiting":%d`, clients-1))
	})
	released()
	sending.Wait()
	peak := memory()

	t.Logf("memory %d MiB at most", peak/mebi)
	if peak > maxMemory {
		t.Errorf("caddy took %d MiB, want at most %d", peak/mebi, maxMemory/mebi)
	}
	// Only the sizes: an answer of 400 MiB would take long.
	stored := redis.Client()
	for n := range clients {
		key := fmt.Sprintf("slow%d", n)
		if size, err := stored.HStrLen(t.Context(), "{cache}:values", key).Result(); err != nil || size != heldSize {
			t.Errorf("%q was acknowledged and has %d bytes, %v", key, size, err)
		}
	}
}

const heldSize = 4 * mebi

// heldBody is a body whose second half comes when release is closed.
type heldBody struct {
	sent    int
	release <-chan struct{}
	closing sync.Once
	closed  chan struct{}
}

func newHeldBody(release <-chan struct{}) *heldBody {
	return &heldBody{release: release, closed: make(chan struct{})}
}

func (b *heldBody) Read(p []byte) (int, error) {
	const early = heldSize / 2
	n := min(len(p), early-b.sent)
	if b.sent >= early {
		select {
		case <-b.release:
		case <-b.closed:
			return 0, io.ErrClosedPipe
		}
		n = min(len(p), heldSize-b.sent)
	}
	b.sent += n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *heldBody) Close() error {
	b.closing.Do(func() { close(b.closed) })
	return nil
}
