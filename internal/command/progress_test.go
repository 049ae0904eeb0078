package command

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
)

func TestProgressIsOneLineOnATerminalAndLinesElsewhere(t *testing.T) {
	for _, c := range []struct {
		name              string
		terminal, isQuiet bool
		want              string
	}{
		{"a terminal", true, false, "\r\x1b[Kexported 2 of 3 entries, 9 bytes\r\x1b[Kexported 3 of 3 entries, 9 bytes\n"},
		{"elsewhere", false, false, "exported 2 of 3 entries, 9 bytes\nexported 3 of 3 entries, 9 bytes\n"},
		{"quiet", true, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				p := newProgress(&out, c.isQuiet)
				p.isTerminal = c.terminal
				at := dump.ExportCounts{Entries: 1, Total: 3, Bytes: 9}
				p.show(at) // too soon
				time.Sleep(p.every)
				at.Entries = 2
				p.show(at)
				p.show(at)
				at.Entries = 3
				p.end(at)
				if out.String() != c.want {
					t.Errorf("got %q", out.String())
				}
			})
		})
	}
}
