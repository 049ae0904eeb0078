package running

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
	carol = netip.MustParseAddr("192.0.2.3")

	patient = BodyWait{Idle: 30 * time.Second, Total: 5 * time.Minute}
)

// admission is the result of an Admit in a goroutine of its own.
type admission struct {
	body *Body
	err  error
}

func admitLater(a *Bodies, ctx context.Context, from netip.Addr, bytes int64) <-chan admission {
	c := make(chan admission, 1)
	go func() {
		b, err := a.Admit(ctx, from, bytes, patient)
		c <- admission{b, err}
	}()
	synctest.Wait()
	return c
}

func admitNow(t *testing.T, a *Bodies, from netip.Addr, bytes int64) *Body {
	t.Helper()
	select {
	case got := <-admitLater(a, t.Context(), from, bytes):
		if got.err != nil {
			t.Fatal(got.err)
		}
		return got.body
	default:
		t.Fatalf("%d bytes of %v wait; held are %+v", bytes, from, a.Stats())
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

func expectAdmitted(t *testing.T, c <-chan admission) *Body {
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
func expectNone(t *testing.T, a *Bodies) {
	t.Helper()
	if s := a.Stats(); s.Bytes != 0 || s.Waiting != 0 || len(a.clients) != 0 || a.line.Len() != 0 {
		t.Errorf("left are %+v, %d clients, %d in line", s, len(a.clients), a.line.Len())
	}
}

func TestAClientGetsAQuarterOfTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(400)
		first := admitNow(t, a, alice, 50)
		second := admitNow(t, a, alice, 50)
		third := admitLater(a, t.Context(), alice, 50)
		tiny := admitLater(a, t.Context(), alice, 1)
		expectWaiting(t, third, tiny)
		others := admitNow(t, a, bob, 100)
		// The order of arrival holds: a small body does not overtake.
		first.End()
		last := expectAdmitted(t, third)
		expectWaiting(t, tiny)
		second.End()
		expectAdmitted(t, tiny).End()
		last.End()
		others.End()
		expectNone(t, a)
	})
}

func TestAClientGetsRoomForOneBodyOfAnySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(400)
		large := admitNow(t, a, alice, 400)
		waiting := admitLater(a, t.Context(), bob, 1)
		expectWaiting(t, waiting)
		large.End()
		small := expectAdmitted(t, waiting)
		large2 := admitLater(a, t.Context(), alice, 400)
		expectWaiting(t, large2)
		small.End()
		expectAdmitted(t, large2).End()
		expectNone(t, a)
	})
}

func TestClientsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(100)
		full := admitNow(t, a, carol, 100)
		var alices, bobs []<-chan admission
		for range 3 {
			alices = append(alices, admitLater(a, t.Context(), alice, 60))
		}
		for range 3 {
			bobs = append(bobs, admitLater(a, t.Context(), bob, 60))
		}
		full.End()
		for i := range 3 {
			expectWaiting(t, bobs[i:]...)
			expectAdmitted(t, alices[i]).End()
			expectWaiting(t, alices[i+1:]...)
			expectAdmitted(t, bobs[i]).End()
		}
		expectNone(t, a)
	})
}

// The client whose turn comes last is no exception.
func TestMuchRoomAdmitsMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(100)
		full := admitNow(t, a, carol, 100)
		var waiting []<-chan admission
		for range 5 {
			waiting = append(waiting, admitLater(a, t.Context(), alice, 5))
		}
		waiting = append(waiting, admitLater(a, t.Context(), bob, 20), admitLater(a, t.Context(), bob, 5))
		full.End()
		for _, c := range waiting {
			defer expectAdmitted(t, c).End()
		}
	})
}

func TestAWaitingClientStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(400)
		held := admitNow(t, a, alice, 100)
		byShare := admitLater(a, t.Context(), alice, 100)
		rest := admitNow(t, a, bob, 250)
		byRoom := admitLater(a, t.Context(), carol, 60)
		expectWaiting(t, byShare, byRoom)
		admitNow(t, a, netip.MustParseAddr("192.0.2.4"), 50).End()
		expectWaiting(t, byRoom)
		rest.End()
		expectAdmitted(t, byRoom).End()
		held.End()
		expectAdmitted(t, byShare).End()
		expectNone(t, a)
	})
}

func TestWaitingForRoomIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(100)
		begin := time.Now()
		took := func() time.Duration { return time.Since(begin) }

		stalled := admitNow(t, a, alice, 100)
		if got := <-admitLater(a, t.Context(), alice, 10); got.err != ErrShareFull || took() != 30*time.Second {
			t.Errorf("behind its own: %v after %v", got.err, took())
		}
		if got := <-admitLater(a, t.Context(), bob, 10); got.err != ErrBodiesFull || took() != time.Minute {
			t.Errorf("behind others': %v after %v", got.err, took())
		}

		// It waits on while bytes of the bodies before it come, but not for ever.
		begin = time.Now()
		waiting := admitLater(a, t.Context(), bob, 10)
		for range 10 {
			time.Sleep(29 * time.Second)
			stalled.Move()
		}
		if got := <-waiting; got.err != ErrBodiesFull || took() != patient.Total {
			t.Errorf("behind what moves: %v after %v", got.err, took())
		}
		if !errors.Is(ErrBodiesFull, engine.ErrQueueFull) || !errors.Is(ErrShareFull, engine.ErrQueueFull) {
			t.Error("they are not counted as a full queue")
		}
		stalled.End()
		expectNone(t, a)
	})
}

// Over HTTP/2, a body that is not read stops the other bodies of its connection. It
// must not wait on because bytes of other clients come.
func TestABodyGivesWayToThoseOfItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(400)
		own, others := admitNow(t, a, alice, 100), admitNow(t, a, bob, 300)
		begin := time.Now()
		waiting := admitLater(a, t.Context(), alice, 10)
		for range 2 {
			time.Sleep(14 * time.Second)
			others.Move()
		}
		if got := <-waiting; got.err != ErrShareFull || time.Since(begin) != 30*time.Second {
			t.Errorf("%v after %v", got.err, time.Since(begin))
		}
		own.End()
		others.End()
		expectNone(t, a)
	})
}

func TestABodyWhoseClientLeavesWaitsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(400)
		held := admitNow(t, a, alice, 70)
		ctx, leave := context.WithCancel(t.Context())
		gone := admitLater(a, ctx, alice, 90)
		behind := admitLater(a, t.Context(), alice, 30)
		expectWaiting(t, gone, behind)
		leave()
		if got := <-gone; !errors.Is(got.err, context.Canceled) {
			t.Errorf("%+v", got)
		}
		expectAdmitted(t, behind).End()
		held.End()
		expectNone(t, a)
	})
}

func TestAChangedBoundDropsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(400)
		held := admitNow(t, a, alice, 100)
		a.Configure(50)
		waiting := admitLater(a, t.Context(), bob, 10)
		expectWaiting(t, waiting)
		a.Configure(110)
		expectAdmitted(t, waiting).End()
		held.End()
		expectNone(t, a)
	})
}

func TestNobodyWaitsForAClosedEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewBodies(100)
		held := admitNow(t, a, alice, 100)
		waiting := []<-chan admission{admitLater(a, t.Context(), alice, 1), admitLater(a, t.Context(), bob, 1), admitLater(a, t.Context(), bob, 1)}
		expectWaiting(t, waiting...)
		a.Close()
		for _, c := range append(waiting, admitLater(a, t.Context(), carol, 1)) {
			if got := <-c; !errors.Is(got.err, engine.ErrClosed) {
				t.Errorf("%+v", got)
			}
		}
		held.End()
		expectNone(t, a)
	})
}
