package redisproxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
	carol = netip.MustParseAddr("192.0.2.3")

	patient = waitLimits{still: 30 * time.Second, most: 5 * time.Minute}
)

// admission is what came of a body in a goroutine of its own.
type admission struct {
	body *arrival
	err  error
}

func admitLater(a *arrivals, ctx context.Context, from netip.Addr, bytes int64) <-chan admission {
	c := make(chan admission, 1)
	go func() {
		b, err := a.admit(ctx, from, bytes, patient)
		c <- admission{b, err}
	}()
	synctest.Wait()
	return c
}

func admitNow(t *testing.T, a *arrivals, from netip.Addr, bytes int64) *arrival {
	t.Helper()
	select {
	case got := <-admitLater(a, t.Context(), from, bytes):
		if got.err != nil {
			t.Fatal(got.err)
		}
		return got.body
	default:
		t.Fatalf("%d bytes of %v wait; held are %+v", bytes, from, a.stats())
		return nil
	}
}

// expectWaiting checks that bodies wait.
func expectWaiting(t *testing.T, bodies ...<-chan admission) {
	t.Helper()
	synctest.Wait()
	for i, c := range bodies {
		select {
		case got := <-c:
			t.Fatalf("body %d does not wait: %+v", i, got)
		default:
		}
	}
}

func expectAdmitted(t *testing.T, c <-chan admission) *arrival {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-c:
		if got.err != nil {
			t.Fatal(got.err)
		}
		return got.body
	default:
		t.Fatal("the body still waits")
		return nil
	}
}

// expectNone checks that nothing is held, waits or is remembered.
func expectNone(t *testing.T, a *arrivals) {
	t.Helper()
	if s := a.stats(); s.Bytes != 0 || s.Waiting != 0 || len(a.clients) != 0 || a.line.Len() != 0 {
		t.Errorf("left are %+v, %d clients, %d in line", s, len(a.clients), a.line.Len())
	}
}

func TestAClientGetsAQuarterOfTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(400)
		first := admitNow(t, a, alice, 50)
		second := admitNow(t, a, alice, 50)
		third := admitLater(a, t.Context(), alice, 50)
		tiny := admitLater(a, t.Context(), alice, 1)
		expectWaiting(t, third, tiny)
		others := admitNow(t, a, bob, 100)
		// In the order of arrival: a small body does not overtake.
		first.end()
		last := expectAdmitted(t, third)
		expectWaiting(t, tiny)
		second.end()
		expectAdmitted(t, tiny).end()
		last.end()
		others.end()
		expectNone(t, a)
	})
}

func TestAClientGetsRoomForOneBodyOfAnySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(400)
		large := admitNow(t, a, alice, 400)
		waiting := admitLater(a, t.Context(), bob, 1)
		expectWaiting(t, waiting)
		large.end()
		small := expectAdmitted(t, waiting)
		large2 := admitLater(a, t.Context(), alice, 400)
		expectWaiting(t, large2)
		small.end()
		expectAdmitted(t, large2).end()
		expectNone(t, a)
	})
}

func TestClientsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(100)
		full := admitNow(t, a, carol, 100)
		var alices, bobs []<-chan admission
		for range 3 {
			alices = append(alices, admitLater(a, t.Context(), alice, 60))
		}
		for range 3 {
			bobs = append(bobs, admitLater(a, t.Context(), bob, 60))
		}
		full.end()
		for i := range 3 {
			expectWaiting(t, bobs[i:]...)
			expectAdmitted(t, alices[i]).end()
			expectWaiting(t, alices[i+1:]...)
			expectAdmitted(t, bobs[i]).end()
		}
		expectNone(t, a)
	})
}

// Also of the client whose turn comes last.
func TestMuchRoomAdmitsMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(100)
		full := admitNow(t, a, carol, 100)
		var waiting []<-chan admission
		for range 5 {
			waiting = append(waiting, admitLater(a, t.Context(), alice, 5))
		}
		waiting = append(waiting, admitLater(a, t.Context(), bob, 20), admitLater(a, t.Context(), bob, 5))
		full.end()
		for _, c := range waiting {
			defer expectAdmitted(t, c).end()
		}
	})
}

func TestAWaitingClientStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(400)
		held := admitNow(t, a, alice, 100)
		byShare := admitLater(a, t.Context(), alice, 100)
		rest := admitNow(t, a, bob, 250)
		byRoom := admitLater(a, t.Context(), carol, 60)
		expectWaiting(t, byShare, byRoom)
		admitNow(t, a, netip.MustParseAddr("192.0.2.4"), 50).end()
		expectWaiting(t, byRoom)
		rest.end()
		expectAdmitted(t, byRoom).end()
		held.end()
		expectAdmitted(t, byShare).end()
		expectNone(t, a)
	})
}

func TestWaitingForRoomIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(100)
		begin := time.Now()
		took := func() time.Duration { return time.Since(begin) }

		stalled := admitNow(t, a, alice, 100)
		if got := <-admitLater(a, t.Context(), alice, 10); got.err != errShareFull || took() != 30*time.Second {
			t.Errorf("behind its own: %v after %v", got.err, took())
		}
		if got := <-admitLater(a, t.Context(), bob, 10); got.err != errBodiesFull || took() != time.Minute {
			t.Errorf("behind others': %v after %v", got.err, took())
		}

		// While those in its way move it waits on, but not for ever.
		begin = time.Now()
		waiting := admitLater(a, t.Context(), bob, 10)
		for range 10 {
			time.Sleep(29 * time.Second)
			stalled.move()
		}
		if got := <-waiting; got.err != errBodiesFull || took() != patient.most {
			t.Errorf("behind what moves: %v after %v", got.err, took())
		}
		if !errors.Is(errBodiesFull, engine.ErrQueueFull) || !errors.Is(errShareFull, engine.ErrQueueFull) {
			t.Error("they are not counted as a full queue")
		}
		stalled.end()
		expectNone(t, a)
	})
}

// Over HTTP/2 a body that is not read stops the others of its connection: it
// must not wait on since bodies of other clients move.
func TestABodyGivesWayToThoseOfItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(400)
		own, others := admitNow(t, a, alice, 100), admitNow(t, a, bob, 300)
		begin := time.Now()
		waiting := admitLater(a, t.Context(), alice, 10)
		for range 2 {
			time.Sleep(14 * time.Second)
			others.move()
		}
		if got := <-waiting; got.err != errShareFull || time.Since(begin) != 30*time.Second {
			t.Errorf("%v after %v", got.err, time.Since(begin))
		}
		own.end()
		others.end()
		expectNone(t, a)
	})
}

func TestABodyWhoseClientLeavesWaitsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(400)
		held := admitNow(t, a, alice, 70)
		ctx, leave := context.WithCancel(t.Context())
		gone := admitLater(a, ctx, alice, 90)
		behind := admitLater(a, t.Context(), alice, 30)
		expectWaiting(t, gone, behind)
		leave()
		if got := <-gone; !errors.Is(got.err, context.Canceled) {
			t.Errorf("%+v", got)
		}
		expectAdmitted(t, behind).end()
		held.end()
		expectNone(t, a)
	})
}

func TestAChangedBoundDropsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(400)
		held := admitNow(t, a, alice, 100)
		a.configure(50)
		waiting := admitLater(a, t.Context(), bob, 10)
		expectWaiting(t, waiting)
		a.configure(110)
		expectAdmitted(t, waiting).end()
		held.end()
		expectNone(t, a)
	})
}

func TestNobodyWaitsForAClosedEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(100)
		held := admitNow(t, a, alice, 100)
		waiting := []<-chan admission{admitLater(a, t.Context(), alice, 1), admitLater(a, t.Context(), bob, 1), admitLater(a, t.Context(), bob, 1)}
		expectWaiting(t, waiting...)
		a.close()
		for _, c := range append(waiting, admitLater(a, t.Context(), carol, 1)) {
			if got := <-c; !errors.Is(got.err, engine.ErrClosed) {
				t.Errorf("%+v", got)
			}
		}
		held.end()
		expectNone(t, a)
	})
}

func TestClientsAreToldApartByAddress(t *testing.T) {
	for _, c := range []struct{ name, clientIP, remote, want string }{
		{"what Caddy takes for the client's", "192.0.2.7", "198.51.100.1:5", "192.0.2.7"},
		{"the other end of the connection", "", "198.51.100.1:5", "198.51.100.1"},
		{"an IPv6 network", "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"},
		{"a zone", "", "[fe80::1%eth0]:5", "fe80::"},
		{"IPv4 in IPv6", "::ffff:192.0.2.7", "", "192.0.2.7"},
		{"a Unix socket", "", "@", "invalid IP"},
	} {
		r := httptest.NewRequest("POST", "/cache/k", http.NoBody)
		r.RemoteAddr = c.remote
		vars := map[string]any{caddyhttp.ClientIPVarKey: c.clientIP}
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, vars))
		if got := clientOf(r).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
