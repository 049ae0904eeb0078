package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/faultproxy"
)

func TestABatchThatComesAgainIsAnsweredAsBeforeAndChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.limits.MaxKeys = 2
	f.apply(create("a", "1"))
	w := newWriter()
	args := f.store.applyArgs(store.Batch{Limits: f.limits, Writes: []store.Write{create("b", "1"), create("a", "2"), create("c", "3"), remove("b"), remove("b")}}, 1)
	first, err := f.store.call(f.ctx(), applyScript, w, args, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := f.dump()
	w.number-- // the next call is sent under the same number
	second, err := f.store.call(f.ctx(), applyScript, w, args, nil)
	if err != nil {
		t.Fatal(err)
	}
	if after := f.dump(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	a, err := f.store.readApplied(first, w, 5, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.store.readApplied(second, w, 5, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Results {
		if a.Results[i] != b.Results[i] {
			t.Errorf("write %d: %+v, then %+v", i, a.Results[i], b.Results[i])
		}
	}
	if strings.Join(a.Evicted, " ") != "a" || strings.Join(b.Evicted, " ") != "a" || a.Number != b.Number {
		t.Errorf("evicted %v at %d, then %v at %d", a.Evicted, a.Number, b.Evicted, b.Number)
	}
}

func TestAFetchThatComesAgainReadsAgainAndRaisesNothing(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	for _, mode := range []int{fetchRaising, fetchAgain, fetchAgain} {
		args := []any{mode, store.MaxFetchBytes, store.MaxFetchBytes, 1, "a", "a", 5}
		reply, err := fetchScript.Run(f.ctx(), f.redis, f.store.keys.fetches(), args...).Slice()
		if err != nil || fmt.Sprint(reply[3]) != "[1]" {
			t.Fatalf("%v, %v", reply, err)
		}
	}
	if score := f.rank("a"); score != 6 {
		t.Fatalf("rank %v, want 6", score)
	}
}

func TestABatchThatComesTooLateIsRefusedUnchanged(t *testing.T) {
	f := newFixture(t)
	w := newWriter()
	late := f.store.applyArgs(store.Batch{Limits: f.limits, Writes: []store.Write{create("late", "1")}}, 1)
	if _, err := f.store.call(f.ctx(), applyScript, w, f.store.applyArgs(store.Batch{Limits: f.limits, Writes: []store.Write{create("a", "1")}}, 1), nil); err != nil {
		t.Fatal(err)
	}
	late[0], late[1] = w.number-1, 0
	err := applyScript.Run(f.ctx(), f.redis, f.store.keys.scripts(w.id), late...).Err()
	if err == nil || !strings.HasPrefix(err.Error(), "REFUSED") {
		t.Errorf("a lower number: %v", err)
	}
	// The record is gone, and the writer knows that there was one.
	late[0], late[1] = w.number+1, 1
	f.do("DEL", "{cache}:writer:"+w.id)
	err = applyScript.Run(f.ctx(), f.redis, f.store.keys.scripts(w.id), late...).Err()
	if err == nil || !strings.HasPrefix(err.Error(), "REFUSED") {
		t.Errorf("a lost record: %v", err)
	}
	if n := f.redis.HLen(f.ctx(), "{cache}:values").Val(); n != 1 {
		t.Errorf("%d values", n)
	}
}

func TestAWriterThatRedisForgotGoesOnUnderANewName(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	f.fetch("a")
	f.do("FLUSHALL")
	f.outcomes(f.apply(create("b", "1")), store.Created)
	if got := f.fetch("a", "b"); got.Entries[0] != nil || got.Entries[1] == nil {
		t.Errorf("%+v", got.Entries)
	}
	f.consistent()
}

func TestRecordsOfWritersExpire(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	f.fetch("a")
	records := f.redis.Keys(f.ctx(), "{cache}:writer:*").Val()
	if len(records) == 0 {
		t.Fatal("no record")
	}
	for _, key := range records {
		if ttl := f.redis.TTL(f.ctx(), key).Val(); ttl <= 2*writerIdle-writerIdle/5 || ttl > 2*writerIdle {
			t.Errorf("%s expires in %v", key, ttl)
		}
	}
}

func TestARetryWhoseRecordIsGoneIsNotRunAgain(t *testing.T) {
	f := newFixture(t)
	f.apply(create("first", "1"))
	proxy := faultproxy.Start(t, f.server.Addr)
	tries := 0
	proxy.Rule(func() faultproxy.Fault {
		tries++
		if tries == 1 {
			return faultproxy.Fault{Ending: faultproxy.Lose} // applied, without an answer
		}
		for _, key := range f.redis.Keys(f.ctx(), "{cache}:writer:*").Val() {
			f.redis.Del(f.ctx(), key)
		}
		return faultproxy.Fault{}
	})
	s, _ := f.open(proxy.URL())
	// The writer expects its record in Redis, and notices that it is missing.
	w := newWriter()
	w.recorded, w.used = true, time.Now()
	s.writers.put(w)
	f.do("SET", "{cache}:writer:"+w.id, make([]byte, insertionSize))
	_, err := s.Apply(f.ctx(), store.Batch{Limits: f.limits, Writes: []store.Write{create("k", "v"), remove("k"), create("k", "v")}})
	if !errors.Is(err, store.ErrFateUnknown) {
		t.Errorf("got %v", err)
	}
	if n := f.head().number; n != 4 {
		t.Errorf("%v writes, want the 4 that were asked for once", n)
	}
}

func TestAWriterIsNotUsedOnceItsRecordMayBeGone(t *testing.T) {
	var ws writers
	w := ws.take()
	ws.put(w)
	if ws.take() != w {
		t.Error("a writer just used was not taken again")
	}
	ws.put(w)
	w.used = time.Now().Add(-writerIdle)
	if ws.take() == w {
		t.Error("a writer that rested was taken again")
	}
}

func TestAForgottenWriterLeavesNoSecondRecord(t *testing.T) {
	f := newFixture(t)
	f.apply(create("a", "1"))
	old := f.redis.Keys(f.ctx(), "{cache}:writer:*").Val()[0]
	f.redis.Del(f.ctx(), old)
	f.outcomes(f.apply(create("b", "1")), store.Created)
	if f.redis.Exists(f.ctx(), old).Val() != 0 {
		t.Error("the batch ran under the name whose record was lost")
	}
}

func TestAnEventThatIsNotUnderstoodIsLikeANewSubscription(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(f.ctx())
	o := observed{subscribed: make(chan struct{}), changed: make(chan store.Event, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.store.Watch(ctx, o)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	for _, payload := range []string{"", `{"version":4,"number":1,"changes":[]}`, "not JSON"} {
		select {
		case <-o.subscribed:
		case <-ctx.Done():
			t.Fatal("nothing was dropped")
		}
		if payload != "" {
			f.do("PUBLISH", "{cache}:events:0", payload)
			continue
		}
		f.do("PUBLISH", "{cache}:events:0", `{"version":3,"number":1,"changes":[["created"]]}`)
	}
	select {
	case <-o.subscribed:
	case <-ctx.Done():
		t.Fatal("nothing was dropped")
	}
}
