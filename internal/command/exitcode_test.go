package command

import (
	"errors"
	"fmt"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func TestAnExportThatCannotBeFinishedIsNoMistakeOfTheUser(t *testing.T) {
	for err, want := range map[error]int{dump.ErrReplaced: 1, dump.ErrOther: 2} {
		if got := exitCode(fmt.Errorf("exporting: %w", err)); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
}

func TestADatabaseThatRedisLacksIsAMistakeOfTheUserAndOtherCausesAreNot(t *testing.T) {
	for _, cause := range store.Causes {
		want := 1
		if cause == store.NoDatabase {
			want = 2
		}
		err := fmt.Errorf("pinging Redis: %w", &store.CausedError{Cause: cause, Err: errors.New("DB index is out of range")})
		if got := exitCode(err); got != want {
			t.Errorf("%s: exit code %d, want %d", cause, got, want)
		}
	}
}
