package redisproxy

import (
	"testing"
	"time"
)

func BenchmarkTallyAdd(b *testing.B) {
	t := newTally()
	for b.Loop() {
		t.add(opGet, outcomeLocal, false, 3*time.Microsecond)
	}
}

func BenchmarkTallyNow(b *testing.B) {
	t := newTally()
	for b.Loop() {
		t.now()
	}
}
