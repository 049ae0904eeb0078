package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/farstore"
)

// farCallers is the number of concurrent requests in the benchmarks.
const farCallers = 256

// BenchmarkFarGet and BenchmarkFarPost answer requests from a store that needs 200 µs for
// an answer, but no CPU. Run them with -test.cpu 1,2.
func BenchmarkFarGet(b *testing.B) {
	askFar(b, http.StatusOK, func(key string) *http.Request {
		return &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/cache/" + key}, Header: http.Header{}}
	})
}

func BenchmarkFarPost(b *testing.B) {
	body := []byte(`{"value":"012345678901234567890123456789"}`)
	askFar(b, http.StatusCreated, func(key string) *http.Request {
		return &http.Request{
			Method: http.MethodPost, URL: &url.URL{Path: "/cache/" + key},
			Header: http.Header{"Content-Type": {typeJSON}},
			Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}
	})
}

func askFar(b *testing.B, status int, request func(key string) *http.Request) {
	// A heap as large as that of a Caddy with a full local tier. In a small one the garbage
	// is collected hundreds of times a second, and two cores wait for each other then.
	tier := make([]byte, 64<<20)
	defer runtime.KeepAlive(tier)
	far := farstore.New(200*time.Microsecond, 30)
	e := engine.New(far, engine.Settings{
		Limits:        store.Limits{MaxKeys: 1000, Eviction: store.Rank.Name},
		LocalMaxBytes: 1 << 20,
		MaxQueueJobs:  2 * farCallers,
		MaxQueueBytes: 64 << 20,
		Timeout:       time.Minute,
		DrainTimeout:  time.Second,
	}, engine.Options{Prepare: Prepare})
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	s := New(Config{
		PathPrefix: "/cache", Methods: methodGet | methodPost, MaxKeySize: 512, MaxValueSize: 1 << 20, BodyTimeout: time.Minute,
		CacheControl: "no-cache", CrossOrigin: http.NewCrossOriginProtection(), Logger: zap.NewNop(),
		Cache: &running.Cache{Engine: e, Requests: running.NewRequestCounters(), Bodies: running.NewBodies(64 << 20)},
	})
	var turn atomic.Uint64
	b.ReportAllocs()
	b.SetParallelism(farCallers / runtime.GOMAXPROCS(0))
	begin := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for pb.Next() {
			w := answer{header: http.Header{}}
			r := request(fmt.Sprintf("key-%016d", turn.Add(1))).WithContext(ctx)
			key, where := s.Locate(r)
			if err := s.Serve(&w, r, key, where); err != nil || w.status != status || where != keypath.Item {
				b.Errorf("%s: status %d, %v", key, w.status, err)
				return
			}
		}
	})
	b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/float64(far.Calls()), "keys/call")
}

// cpuTime returns the CPU time of this process.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// answer is a response whose body is discarded.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }

// SetReadDeadline exists because body_timeout needs it.
func (a *answer) SetReadDeadline(time.Time) error { return nil }
