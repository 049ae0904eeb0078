package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

// freshLater begins a no-cache Get of k.
func freshLater(t *testing.T, e *engine.Engine) <-chan string {
	c := make(chan string, 1)
	go func() { c <- fresh(t, e, "k") }()
	synctest.Wait()
	return c
}

func TestOnceAFetchAnsweredAnOlderLocalEntryIsNotServedThoughAnotherFetchIsOnItsWay(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		create(t, e, "k", "old")
		value(t, e, "k")
		change(t, st, o, store.Write{Op: store.Put, Key: "k", Value: text("new")}) // its event is late
		holds := []chan struct{}{make(chan struct{}), make(chan struct{})}
		var n atomic.Int32
		st.set(func() { st.afterFetch = func([]string) error { <-holds[n.Add(1)-1]; return nil } })
		first, second := freshLater(t, e), freshLater(t, e)
		close(holds[0])
		if got := <-first; got != "new" {
			t.Fatalf("the first: %q", got)
		}
		later := make(chan string, 1)
		go func() { later <- value(t, e, "k") }()
		synctest.Wait()
		close(holds[1])
		if got := <-later; got != "new" {
			t.Errorf("the next read: %q", got)
		}
		if got := <-second; got != "new" {
			t.Errorf("the second: %q", got)
		}
	})
}

func TestOnceAFetchAnsweredAnOlderOneIsNeitherJoinedNorKept(t *testing.T) {
	subscribed(t, func(t *testing.T, e *engine.Engine, st *watched, o store.Observer) {
		create(t, e, "k", "old")
		// The first fetch reaches the store after the second.
		before, after := make(chan struct{}), make(chan struct{})
		var n, m atomic.Int32
		st.set(func() {
			st.beforeFetch = func([]string) error {
				if n.Add(1) == 1 {
					<-before
				}
				return nil
			}
			st.afterFetch = func([]string) error {
				if m.Add(1) == 1 {
					<-after
				}
				return nil
			}
		})
		first, second := freshLater(t, e), freshLater(t, e)
		change(t, st, o, store.Write{Op: store.Put, Key: "k", Value: text("new")}) // its event is late
		close(before)
		if got := <-first; got != "new" {
			t.Fatalf("the first: %q", got)
		}
		later := make(chan string, 1)
		go func() { later <- value(t, e, "k") }()
		synctest.Wait()
		close(after)
		if got := <-second; got != "old" {
			t.Errorf("the second, which began before: %q", got)
		}
		if got := <-later; got != "new" {
			t.Errorf("the read that joined the second: %q", got)
		}
		if got := value(t, e, "k"); got != "new" {
			t.Errorf("the next read: %q", got)
		}
	})
}

func TestANoCacheReadJoinsNoFetchThatWasSentBeforeAnotherNodesWrite(t *testing.T) {
	server := redistest.Start(t)
	s := patient()
	a, proxy, _ := proxied(t, server, s)
	b, _ := node(t, server, s)
	create(t, b, "k", "old")
	get(t, a, "other")
	proxy.FreezeSubscriptions() // node a does not hear of the write
	defer proxy.Thaw()
	_, before := proxy.Scripts()
	release := holdReply(proxy)
	first := make(chan string, 1)
	go func() { first <- value(t, a, "k") }()
	eventually(t, "node a reads the old value", func() bool {
		_, answered := proxy.Scripts()
		return answered > before
	})
	put(t, b, "k", "new")
	if got := fresh(t, a, "k"); got != "new" {
		t.Errorf("got %q", got)
	}
	release()
	// On a busy machine it may have been sent again, after the write.
	if got := <-first; got != "old" && got != "new" {
		t.Errorf("the read that began before the write: %q", got)
	}
}

// holdReply keeps the next reply to a script back until release is called.
func holdReply(p *faultproxy.Proxy) (release func()) {
	until := make(chan struct{})
	p.Next(faultproxy.Fault{HoldReply: until})
	return func() { close(until) }
}

// A server that recovers from panics goes on, and later reads must not join a fetch that
// never ends.
func TestAfterAPanicInAFetchTheKeyIsReadAgain(t *testing.T) {
	for name, read := range map[string]func(e *engine.Engine) error{
		"one key": func(e *engine.Engine) error {
			_, err := e.Get(context.Background(), "k", engine.Read{})
			return err
		},
		"many keys": func(e *engine.Engine) error {
			_, err := e.GetMany(context.Background(), []string{"k"}, engine.Read{}, store.AnyRoom)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newScripted()
				e := engine.New(st, settings(), engine.Options{})
				defer e.Close()
				for range 4 { // more than fetches may be on their way
					st.set(func() { st.beforeFetch = func([]string) error { panic("on purpose") } })
					func() {
						defer func() {
							if recover() == nil {
								t.Error("no panic")
							}
						}()
						_ = read(e)
					}()
				}
				st.set(func() { st.beforeFetch = nil })
				if err := read(e); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}
