package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// TestAnOrderIsConvertedEvenWithoutWrites counts the steps of a conversion. They
// are small, with pauses for other clients. After the last one, nothing is sent.
func TestAnOrderIsConvertedEvenWithoutWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 1000
		st := newScripted()
		s := settings()
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		for i := range keys {
			create(t, e, fmt.Sprint(i), "1")
		}
		s.Limits.Eviction = store.Adaptive.Name
		e.Configure(s)
		st.set(func() { st.batches = nil })
		get(t, e, "0")
		synctest.Wait()
		steps := func() (n int) {
			st.set(func() { n = len(st.batches) })
			return n
		}
		if n := steps(); n != 1 {
			t.Errorf("%d batches at once", n)
		}
		time.Sleep(time.Second)
		n := steps()
		if n < keys/200 || n > keys/200+1 {
			t.Errorf("%d batches, for %d keys", n, keys)
		}
		time.Sleep(time.Minute)
		if now := steps(); now != n {
			t.Errorf("%d batches more when all was done", now-n)
		}
	})
}
