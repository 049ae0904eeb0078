package binary

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// The log line of Caddy when its grace period ends while requests are in progress.
const graceOver = `"server shutdown"`

func TestAStopAnswersRequestsInProgress(t *testing.T) {
	redis := startDurableRedis(t)
	c, proxy := startCaddyBehind(t, redis, "metrics", "")
	w := startWaitingWrites(c, proxy, 100)
	c.proc.Signal(syscall.SIGTERM)
	await(t, "caddy stops its servers", func() bool { return c.log.Contains("servers shutting down") })
	redis.Resume()
	c.awaitEnd()
	answers := w.wait()
	if code := c.proc.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d, want 0", code)
	}
	s := newInspector(t, redis).look()
	for key, a := range answers {
		if a.status != http.StatusCreated {
			t.Errorf("POST of %q: %s", key, a)
		}
		if s.entries[key].value != key {
			t.Errorf("the acknowledged %q is lost", key)
		}
	}
}

func TestAStopAppliesWhatIsQueued(t *testing.T) {
	redis := startDurableRedis(t)
	// More writes than fit into one batch, and no time for requests to finish.
	c, proxy := startCaddyBehind(t, redis, "metrics\ngrace_period 500ms", "")
	w := startWaitingWrites(c, proxy, 300)
	c.proc.Signal(syscall.SIGTERM)
	await(t, "the grace period is over", func() bool { return c.log.Contains(graceOver) })
	redis.Resume()
	c.awaitEnd()
	if code := c.proc.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d, want 0", code)
	}
	inspector := newInspector(t, redis)
	inspector.awaitAlone()
	s := inspector.look()
	acknowledged := 0
	for key, a := range w.wait() {
		if a.status == http.StatusCreated {
			acknowledged++
		} else if a.err == nil {
			t.Errorf("POST of %q: %s", key, a)
		}
		if s.entries[key].value != key {
			t.Errorf("%q was queued and not applied: %s", key, a)
		}
	}
	t.Logf("of %d writes %d were acknowledged before the process ended", len(s.entries), acknowledged)
}

func TestAStopEndsAlthoughRedisHangs(t *testing.T) {
	const drain = time.Second
	redis := redistest.Start(t)
	c, proxy := startCaddyBehind(t, redis, "metrics\ngrace_period 50ms", "drain_timeout 1s")
	w := startWaitingWrites(c, proxy, 300)
	began := time.Now()
	c.proc.Signal(syscall.SIGTERM)
	c.awaitEnd() // at once, though the requests would wait ten minutes
	took := time.Since(began)
	t.Logf("it ended after %s", took.Round(time.Millisecond))
	if took < drain {
		t.Errorf("it ended after %s: before drain_timeout, though writes were waiting", took)
	}
	for key, a := range w.wait() {
		if a.err == nil && a.status != http.StatusServiceUnavailable {
			t.Errorf("POST of %q: %s", key, a)
		}
	}
}

func TestAStopUnderLoadLosesNothingThatWasAcknowledged(t *testing.T) {
	k := startKilling(t, cannotEvict, "")
	for range usually(3, 30) {
		stop := k.load.start(k)
		k.someAnswers()
		k.caddy.proc.Signal(syscall.SIGTERM)
		k.caddy.awaitEnd()
		if code := k.caddy.proc.Cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("it ended with %d, want 0", code)
		}
		stop()
		k.inspector.awaitAlone()
		k.check()
		k.caddy.start()
	}
	if n := k.load.refused.Load() + k.load.unknown.Load(); n > 0 {
		t.Errorf("%d requests were answered 503: there was time for all", n)
	}
}

// waitingWrites are writes that wait for a paused Redis.
type waitingWrites struct {
	running sync.WaitGroup
	mu      sync.Mutex
	answers map[string]answer
}

// startCaddyBehind starts caddy with a proxy between it and Redis.
func startCaddyBehind(t testing.TB, redis *redistest.Server, options, settings string) (*caddy, *faultproxy.Proxy) {
	t.Helper()
	proxy := faultproxy.Start(t, redis.Addr)
	return startCaddy(t, redis, options, "store "+proxy.URL()+"\n"+settings), proxy
}

// startWaitingWrites pauses Redis, sends creates whose values equal their keys, and returns
// when caddy has all of them. It needs Caddy's metrics.
//
// A scrape of the metrics asks Redis too. It must not take the open connection before the
// first batch: a batch that could not be sent is answered 503 as soon as Redis counts as
// down, and nothing would wait any longer.
func startWaitingWrites(c *caddy, proxy *faultproxy.Proxy, writes int) *waitingWrites {
	c.t.Helper()
	client := newClient(c.t, c, writes)
	if a := client.send(http.MethodPost, "/cache/first", "first"); a.status != http.StatusCreated {
		c.t.Fatalf("POST: %s", a)
	}
	c.redis.Pause()
	w := &waitingWrites{answers: make(map[string]answer)}
	c.t.Cleanup(func() { c.proc.Kill(); w.running.Wait() })
	before, _ := proxy.Scripts()
	for n := range writes {
		if n == 1 {
			await(c.t, "the first batch is on its way to Redis", func() bool {
				came, _ := proxy.Scripts()
				return came > before
			})
		}
		w.running.Go(func() {
			key := fmt.Sprintf("waiting%d", n)
			a := client.send(http.MethodPost, "/cache/"+key, key)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.answers[key] = a
		})
	}
	await(c.t, "all writes are in progress", func() bool { return c.inProgress() == writes })
	return w
}

func (w *waitingWrites) wait() map[string]answer {
	w.running.Wait()
	return w.answers
}

// inProgress returns the number of requests that caddy is serving.
func (c *caddy) inProgress() int {
	for line := range strings.Lines(get(c.admin, "http://127.0.0.1/metrics")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if strings.HasPrefix(name, "caddy_http_requests_in_flight{") {
			n, _ := strconv.Atoi(value)
			return n
		}
	}
	return 0
}
