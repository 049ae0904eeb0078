package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

const (
	// largeBody is the default max_value_size. share is the part of the default
	// max_queue_bytes that one client gets.
	largeBody = 1 << 20
	share     = 16 << 20
	stalled   = 64
)

// metric returns the value of a metric of the only cache.
func (s *server) metric(name string) int64 {
	s.t.Helper()
	for line, value := range s.scrape() {
		if strings.HasPrefix(line, name+"{") {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return int64(n)
		}
	}
	s.t.Fatalf("there is no %s", name)
	return 0
}

// pausingBody is a body of largeBody bytes. It sends all but the last byte, and that
// one when it is released.
type pausingBody struct {
	left     int
	released <-chan struct{}
	closing  sync.Once
	closed   chan struct{}
}

func newPausingBody(released <-chan struct{}) *pausingBody {
	return &pausingBody{left: largeBody, released: released, closed: make(chan struct{})}
}

func (b *pausingBody) Read(p []byte) (int, error) {
	switch b.left {
	case 0:
		return 0, io.EOF
	case 1:
		select {
		case <-b.released:
		case <-b.closed:
			return 0, io.ErrClosedPipe
		}
	default:
		p = p[:min(len(p), b.left-1)]
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

func (b *pausingBody) Close() error {
	b.closing.Do(func() { close(b.closed) })
	return nil
}

// sender is the address of the client that sends large bodies.
const sender = "192.0.2.1"

// send posts a body of largeBody bytes as sender, and returns the status.
func send(ctx context.Context, client *http.Client, url string, body io.Reader) (int, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", url, body)
	if err != nil {
		return 0, err
	}
	r.ContentLength = largeBody
	r.Header.Set("X-Forwarded-For", sender)
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		return 0, fmt.Errorf("%s: 503 without Retry-After", url)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// sendRaw posts a body without its last byte over a connection of its own, and returns the
// status of the answer.
func sendRaw(addr, path string) (int, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	go func() {
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: %s\r\nContent-Length: %d\r\n\r\n", path, sender, largeBody)
		_, _ = conn.Write(make([]byte, largeBody-1))
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	if !resp.Close {
		return 0, fmt.Errorf("%d, and the connection stays open", resp.StatusCode)
	}
	return resp.StatusCode, resp.Body.Close()
}

// TestBodiesThatStopHinderNobodyElse has a client that announces 64 MiB, the whole room for
// bodies, and stops before the end of each body.
func TestBodiesThatStopHinderNobodyElse(t *testing.T) {
	// Both handlers share one cache. Bodies that stop get little time, the others enough.
	const site = "redis_proxy\nredis_proxy /stop/* {\nbody_timeout 2s\n}"
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			s := startAdmin(t, site)
			statuses := make(chan int, stalled)
			stop := func(key int) (int, error) {
				path := fmt.Sprint("/stop/", key)
				if protocol == "HTTP/1.1" {
					return sendRaw(s.http, path)
				}
				return send(t.Context(), s.http2, "https://"+s.https+path, newPausingBody(nil))
			}
			for key := range stalled {
				go func() {
					status, err := stop(key)
					if err != nil {
						t.Error(err)
					}
					statuses <- status
				}()
			}
			eventually(t, "the client has its share", func() bool { return s.metric("body_bytes") == share })

			value := strings.Repeat("v", largeBody)
			for i := range 8 {
				at := fmt.Sprintf("http://%s/cache/other%d", s.http, i)
				post(t, s.plain, at, value, "X-Forwarded-For", "192.0.2.2").expectStatus(t, http.StatusCreated)
			}
			// The same client can still write a small value, over the same connection too.
			post(t, s.plain, "http://"+s.http+"/cache/small", "v", "X-Forwarded-For", sender).expectStatus(t, http.StatusCreated)
			post(t, s.http2, "https://"+s.https+"/cache/small2", "v", "X-Forwarded-For", sender).expectStatus(t, http.StatusCreated)

			count := make(map[int]int)
			for range stalled {
				count[<-statuses]++
			}
			if count[408]+count[503] != stalled || count[408] < share/largeBody {
				t.Errorf("they were answered %v", count)
			}
			if left, waiting := s.metric("body_bytes"), s.metric("bodies_waiting"); left != 0 || waiting != 0 {
				t.Errorf("%d bytes are still kept, %d bodies wait", left, waiting)
			}
			eventually(t, "only what was sent whole is stored", func() bool { return s.metric("keys") == 10 })
		})
	}
}

// gatheringBody sends nothing until all bodies have begun, and then slowly.
type gatheringBody struct {
	left  int
	begun bool
	begin *sync.WaitGroup
}

func (b *gatheringBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		b.begin.Done()
		b.begin.Wait()
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Millisecond)
	n := min(len(p), b.left, 32<<10)
	b.left -= n
	return n, nil
}

// TestHonestUploadsAtOnce has one client that sends more bodies at once than there is room
// for.
func TestHonestUploadsAtOnce(t *testing.T) {
	const uploads, size = 80, largeBody
	all := func(t *testing.T, client *http.Client, at string) map[int]int {
		var begin, sending sync.WaitGroup
		begin.Add(uploads)
		statuses := make([]int, uploads)
		for i := range uploads {
			sending.Go(func() {
				var err error
				body := &gatheringBody{left: size, begin: &begin}
				if statuses[i], err = send(t.Context(), client, fmt.Sprint(at, i), body); err != nil {
					t.Error(err)
				}
			})
		}
		sending.Wait()
		count := make(map[int]int)
		for i, status := range statuses {
			count[status]++
			if status == http.StatusServiceUnavailable {
				post(t, client, fmt.Sprint(at, i), strings.Repeat("v", size)).expectStatus(t, http.StatusCreated)
			}
		}
		return count
	}
	t.Run("over connections of their own all are stored", func(t *testing.T) {
		s := startAdmin(t, "redis_proxy")
		if count := all(t, s.plain, "http://"+s.http+"/cache/"); count[201] != uploads {
			t.Errorf("they were answered %v", count)
		}
	})
	// An HTTP/2 connection has one window for all streams: bodies without room would stop
	// bodies with room.
	t.Run("over one connection as many as have room are stored, the rest at the next try", func(t *testing.T) {
		s := startAdmin(t, "redis_proxy")
		if count := all(t, s.http2, "https://"+s.https+"/cache/"); count[201] < share/size || count[201]+count[503] != uploads {
			t.Errorf("they were answered %v", count)
		}
		eventually(t, "all are stored", func() bool { return s.metric("keys") == uploads })
	})
}

func TestAReloadKeepsTheRoomOfBodies(t *testing.T) {
	s := startAdmin(t, "redis_proxy")
	release := make(chan struct{})
	status := make(chan int)
	go func() {
		got, err := send(t.Context(), s.plain, "http://"+s.http+"/cache/k", newPausingBody(release))
		if err != nil {
			t.Error(err)
		}
		status <- got
	}()
	eventually(t, "the body is on its way", func() bool { return s.metric("body_bytes") == largeBody })
	s.reload("redis_proxy {\nmax_queue_bytes 2MiB\n}")
	eventually(t, "the setting is in force", func() bool { return s.metric("max_body_bytes") == 2<<20 })
	if got := s.metric("body_bytes"); got != largeBody {
		t.Errorf("%d bytes are kept", got)
	}
	close(release)
	if got := <-status; got != http.StatusCreated {
		t.Errorf("it was answered %d", got)
	}
	if got := s.metric("body_bytes"); got != 0 {
		t.Errorf("%d bytes are still kept", got)
	}
}

func TestAClientThatLeavesGivesItsRoomBack(t *testing.T) {
	s := startAdmin(t, "redis_proxy {\nmax_queue_bytes 2MiB\n}")
	for name, at := range map[string]struct {
		client *http.Client
		base   string
	}{"HTTP/1.1": {s.plain, "http://" + s.http}, "HTTP/2": {s.http2, "https://" + s.https}} {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			var sending sync.WaitGroup
			for i := range 2 { // one has room, one waits
				sending.Go(func() {
					body := newPausingBody(ctx.Done())
					if status, err := send(ctx, at.client, fmt.Sprint(at.base, "/cache/", i), body); err == nil && status != http.StatusServiceUnavailable {
						t.Errorf("it was answered %d", status)
					}
				})
			}
			eventually(t, "a body is on its way", func() bool { return s.metric("body_bytes") == largeBody })
			leave()
			sending.Wait()
			eventually(t, "its room is free", func() bool { return s.metric("body_bytes") == 0 && s.metric("bodies_waiting") == 0 })
		})
	}
	if got := s.metric("keys"); got != 0 {
		t.Errorf("%d entries are stored", got)
	}
}

// TestTheTimeOfABodyEndsWithIt has a store that takes longer than a body may.
func TestTheTimeOfABodyEndsWithIt(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, "redis_proxy {\nstore "+redis.URL()+"\nbody_timeout 3s\n}")
	post(t, s.plain, "http://"+s.http+"/cache/first", "v").expectStatus(t, http.StatusCreated)
	post(t, s.http2, "https://"+s.https+"/cache/second", "v").expectStatus(t, http.StatusCreated)
	redis.Pause()
	var sending sync.WaitGroup
	for client, base := range map[*http.Client]string{s.plain: "http://" + s.http, s.http2: "https://" + s.https} {
		for _, size := range []int{1, largeBody} {
			sending.Go(func() {
				key := fmt.Sprintf("/cache/%.5s%d", base, size)
				for _, status := range []int{http.StatusCreated, http.StatusConflict} { // over the same connection
					a, err := try(t.Context(), client, request{"POST", base + key, strings.Repeat("v", size), nil})
					if err != nil {
						t.Error(err)
						return
					}
					a.expectStatus(t, status)
				}
			})
		}
	}
	time.Sleep(4 * time.Second) // this time is the subject of the test
	redis.Resume()
	sending.Wait()
}
