package command

import (
	"fmt"
	"testing"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
)

func TestAnExportThatCannotBeFinishedIsNoMistakeOfTheUser(t *testing.T) {
	for err, want := range map[error]int{dump.ErrReplaced: 1, dump.ErrOther: 2} {
		if got := exitCode(fmt.Errorf("exporting: %w", err)); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
}
