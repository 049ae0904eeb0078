package faultproxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

const increment = "return redis.call('INCR', KEYS[1])"

// patience bounds waiting for what must happen.
const patience = time.Minute

// start returns a proxy with a client that is connected through it, and a client
// that is not.
func start(t *testing.T) (*faultproxy.Proxy, *redis.Client, *redis.Client) {
	t.Helper()
	server := redistest.Start(t)
	p := faultproxy.Start(t, server.Addr)
	through := redis.NewClient(&redis.Options{
		Addr: p.Addr, MaxRetries: -1, DialerRetries: 1, ReadTimeout: patience, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { through.Close() })
	if err := through.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return p, through, server.Client()
}

// briefly is a context for a call that gets no answer.
func briefly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAFaultMeetsOneExchangeOnly(t *testing.T) {
	released := make(chan struct{})
	close(released)
	for name, c := range map[string]struct {
		fault    faultproxy.Fault
		executed bool
		fails    func(error) bool // nil: it does not
	}{
		"none":                   {executed: true},
		"a delay":                {fault: faultproxy.Fault{Delay: time.Millisecond}, executed: true},
		"a hold":                 {fault: faultproxy.Fault{Hold: released}, executed: true},
		"a lost reply":           {fault: faultproxy.Fault{Ending: faultproxy.Lose}, executed: true, fails: isEnd},
		"a reset in mid-reply":   {fault: faultproxy.Fault{Ending: faultproxy.Cut}, executed: true, fails: isEnd},
		"a swallowed reply":      {fault: faultproxy.Fault{Ending: faultproxy.Silence}, executed: true, fails: isTimeout},
		"a refused command":      {fault: faultproxy.Fault{Ending: faultproxy.Refuse}, fails: isEnd},
		"a connection half-open": {fault: faultproxy.Fault{Ending: faultproxy.Mute}, fails: isTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			p, through, direct := start(t)
			ctx := context.Background()
			p.Next(c.fault)
			call := ctx
			if c.fails != nil && c.fails(context.DeadlineExceeded) {
				call = briefly(t)
			}
			err := through.Eval(call, increment, []string{"n"}).Err()
			if c.fails == nil && err != nil || c.fails != nil && (err == nil || !c.fails(err)) {
				t.Errorf("got %v", err)
			}
			want := map[bool]string{true: "1", false: ""}[c.executed]
			awaitScripts(t, p, 1, len(want))
			if got := direct.Get(ctx, "n").Val(); got != want {
				t.Errorf("n is %q, want %q", got, want)
			}
			if err := through.Eval(ctx, increment, []string{"n"}).Err(); err != nil {
				t.Errorf("the next exchange: %v", err)
			}
			awaitScripts(t, p, 2, len(want)+1)
		})
	}
}

// awaitScripts waits until so many scripts came and were answered: a client that
// gave up may be ahead of them.
func awaitScripts(t *testing.T, p *faultproxy.Proxy, wantCame, wantAnswered int) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		came, answered := p.Scripts()
		if came == wantCame && answered == wantAnswered {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d scripts came, %d were answered; want %d and %d", came, answered, wantCame, wantAnswered)
		}
	}
}

func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || strings.Contains(err.Error(), "reset by peer")
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestAProxyThatIsDownRefusesUntilItIsUp(t *testing.T) {
	p, through, _ := start(t)
	ctx := context.Background()
	p.Down()
	if err := through.Ping(ctx).Err(); err == nil {
		t.Error("it answers")
	}
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	if err := through.Ping(ctx).Err(); err != nil {
		// The pool may have kept a connection that is gone.
		if err := through.Ping(ctx).Err(); err != nil {
			t.Error(err)
		}
	}
}

func TestASubscriptionCanBeFrozenAndCutByItself(t *testing.T) {
	p, through, direct := start(t)
	ctx := context.Background()
	s := through.Subscribe(ctx, "c")
	defer s.Close()
	if _, err := s.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	p.FreezeSubscriptions()
	direct.Publish(ctx, "c", "held")
	if err := through.Ping(ctx).Err(); err != nil {
		t.Errorf("the other connections: %v", err)
	}
	if m, err := s.ReceiveTimeout(ctx, 100*time.Millisecond); err == nil || !isTimeout(err) {
		t.Errorf("got %v, %v", m, err)
	}
	p.Thaw()
	if m, err := s.ReceiveMessage(ctx); err != nil || m.Payload != "held" {
		t.Errorf("got %v, %v", m, err)
	}
	p.CutSubscriptions()
	if _, err := s.ReceiveTimeout(ctx, patience); err == nil || !isEnd(err) {
		t.Errorf("after the cut: %v", err)
	}
}

func TestAFrozenProxyTakesConnectionsAndSaysNothing(t *testing.T) {
	p, through, direct := start(t)
	ctx := context.Background()
	p.Freeze()
	if err := through.Set(briefly(t), "k", "v", 0).Err(); err == nil || !isTimeout(err) {
		t.Errorf("got %v", err)
	}
	if direct.Exists(ctx, "k").Val() == 1 {
		t.Error("the command came through")
	}
	p.Thaw()
	if err := through.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
}

func TestRandomFaultsRepeatWithTheirSeed(t *testing.T) {
	kinds := map[faultproxy.Ending]bool{}
	a, b := faultproxy.Random(7, 2, time.Nanosecond), faultproxy.Random(7, 2, time.Nanosecond)
	for i := range 200 {
		one, other := a(), b()
		if one.Ending != other.Ending || one.Delay != other.Delay || (one.Hold == nil) != (other.Hold == nil) {
			t.Fatalf("exchange %d: %+v and %+v", i, one, other)
		}
		kinds[one.Ending] = true
	}
	if len(kinds) != 6 {
		t.Errorf("only %v", kinds)
	}
}
