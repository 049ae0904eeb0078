package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// told returns the uses that the store was told of, by key, and forgets them.
func (s *scripted) told() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := map[string]int{}
	for _, u := range s.uses {
		told[u.Key] += u.Count
	}
	s.uses = nil
	return told
}

func rankingLocalHits() engine.Settings {
	s := settings()
	s.LocalTTL = time.Hour
	s.RankLocalHits = true
	return s
}

func TestLocalHitsGoWithTheNextFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, rankingLocalHits(), engine.Options{})
		defer e.Close()
		create(t, e, "a", "1")
		create(t, e, "b", "1")
		for range 4 {
			get(t, e, "a")
		}
		time.Sleep(time.Second)
		get(t, e, "b")
		if told := fmt.Sprint(st.told()); told != "map[a:3]" {
			t.Errorf("told %s", told)
		}
		if rows := st.Order(-1); rows[0].Key != "b" || rows[0].Score != 1 || rows[1].Score != 4 {
			t.Errorf("%+v", rows)
		}

		get(t, e, "a")
		get(t, e, "none")
		if told := st.told(); len(told) != 0 {
			t.Errorf("told of %v within a second", told)
		}
		time.Sleep(time.Second)
		get(t, e, "none")
		if told := fmt.Sprint(st.told()); told != "map[a:1]" {
			t.Errorf("told %s", told)
		}
	})
}

func TestLocalHitsAreToldBesideABatchOfWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, rankingLocalHits(), engine.Options{})
		defer e.Close()
		create(t, e, "a", "1")
		get(t, e, "a")
		get(t, e, "a")
		time.Sleep(time.Second)
		create(t, e, "b", "1")
		synctest.Wait()
		if told := fmt.Sprint(st.told()); told != "map[a:1]" {
			t.Errorf("told %s", told)
		}
	})
}

func TestLocalHitsOfOneEntryAndTheNextAreCountedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, rankingLocalHits(), engine.Options{})
		defer e.Close()
		create(t, e, "a", "1")
		time.Sleep(time.Second)
		get(t, e, "none") // the second begins
		for i := range 2 {
			put(t, e, "a", fmt.Sprint(i)) // drops it locally
			for range 3 {
				get(t, e, "a")
			}
		}
		time.Sleep(time.Second)
		get(t, e, "none")
		if told := fmt.Sprint(st.told()); told != "map[a:4]" {
			t.Errorf("told %s", told)
		}
	})
}

func TestLocalHitsOfMoreKeysThanACallMayHaveAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = store.MaxBatch + 100
		st := newScripted()
		s := rankingLocalHits()
		s.Limits.MaxKeys = keys
		e := engine.New(st, s, engine.Options{})
		defer e.Close()
		for i := range keys {
			create(t, e, fmt.Sprint(i), "1")
			get(t, e, fmt.Sprint(i))
		}
		st.told()
		for range 2 {
			for range 3 {
				for i := range keys {
					get(t, e, fmt.Sprint(i))
				}
			}
			time.Sleep(time.Second)
			get(t, e, "none")
			told := st.told()
			if len(told) != store.MaxBatch {
				t.Fatalf("told of %d keys", len(told))
			}
			for key, n := range told {
				if n != 3 {
					t.Fatalf("%s: %d hits", key, n)
				}
			}
		}
	})
}

func TestLocalHitsAreNotToldUnlessThatIsSwitchedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		e := engine.New(st, settings(), engine.Options{})
		defer e.Close()
		create(t, e, "a", "1")
		get(t, e, "a")
		get(t, e, "a")
		time.Sleep(time.Second)
		get(t, e, "none")
		if told := st.told(); len(told) != 0 {
			t.Errorf("told %v", told)
		}
	})
}

func TestLocalHitsAreToldFromASwitchOnAndUntilASwitchOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newScripted()
		off, on := settings(), rankingLocalHits()
		off.LocalTTL = on.LocalTTL
		e := engine.New(st, off, engine.Options{})
		defer e.Close()
		create(t, e, "before", "1")
		create(t, e, "after", "1")
		hit := func() {
			for range 3 {
				get(t, e, "before")
				get(t, e, "after")
			}
			time.Sleep(time.Second)
		}
		get(t, e, "before")
		e.Configure(on)
		get(t, e, "after")
		hit()
		get(t, e, "none")
		if told := fmt.Sprint(st.told()); told != "map[after:3]" {
			t.Errorf("told %s, want what was fetched after the switch", told)
		}
		hit()
		e.Configure(off)
		get(t, e, "none")
		hit()
		get(t, e, "none")
		if told := st.told(); len(told) != 0 {
			t.Errorf("told %v when switched off", told)
		}
	})
}
