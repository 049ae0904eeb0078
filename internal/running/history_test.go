package running

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestHistoryHasTheDifferencesOfTheLastTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var done Sample
		h := startHistory(func() Sample {
			mu.Lock()
			defer mu.Unlock()
			now := done
			now.At = time.Now()
			return now
		})
		defer h.Stop()
		begin := time.Now()
		happen := func(local uint64) {
			mu.Lock()
			done.Local += local
			done.StoreSeconds += .5
			mu.Unlock()
			time.Sleep(SampleInterval)
			synctest.Wait()
		}
		if got := h.Samples(); got == nil || len(got) != 0 {
			t.Errorf("at first: %+v", got)
		}
		happen(3)
		happen(4)
		got := h.Samples()
		if len(got) != 2 || got[0].Local != 3 || got[1].Local != 4 || got[1].StoreSeconds != .5 {
			t.Errorf("%+v", got)
		}
		if at := got[1].At.Sub(begin); at != 10*time.Second {
			t.Errorf("the second sample is of %v", at)
		}
		for i := range uint64(200) {
			happen(i)
		}
		got = h.Samples()
		if len(got) != 120 || got[0].Local != 80 || got[119].Local != 199 {
			t.Errorf("%d samples, from %d to %d", len(got), got[0].Local, got[len(got)-1].Local)
		}
	})
}
