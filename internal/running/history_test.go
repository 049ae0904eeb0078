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
			time.Sleep(sampleEvery)
			synctest.Wait()
		}
		if v := h.View(); v.IntervalSeconds != 5 || v.Samples == nil || len(v.Samples) != 0 {
			t.Errorf("at first: %+v", v)
		}
		happen(3)
		happen(4)
		v := h.View()
		if len(v.Samples) != 2 || v.Samples[0].Local != 3 || v.Samples[1].Local != 4 || v.Samples[1].StoreSeconds != .5 {
			t.Errorf("%+v", v.Samples)
		}
		if at := v.Samples[1].At.Sub(begin); at != 10*time.Second {
			t.Errorf("the second sample is of %v", at)
		}
		for i := range uint64(200) {
			happen(i)
		}
		v = h.View()
		if len(v.Samples) != 120 || v.Samples[0].Local != 80 || v.Samples[119].Local != 199 {
			t.Errorf("%d samples, from %d to %d", len(v.Samples), v.Samples[0].Local, v.Samples[len(v.Samples)-1].Local)
		}
	})
}
