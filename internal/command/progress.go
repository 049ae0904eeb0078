package command

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progress shows the progress of a command: one changing line on a terminal, and
// elsewhere a line every few seconds.
type progress struct {
	to         io.Writer
	isTerminal bool
	isQuiet    bool
	every      time.Duration
	shown      time.Time
}

func newProgress(to io.Writer, quiet bool) *progress {
	p := &progress{to: to, isQuiet: quiet, every: 5 * time.Second, shown: time.Now()}
	if file, ok := to.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.isTerminal, p.every = true, 200*time.Millisecond
	}
	return p
}

// show shows the state, unless it did so a moment ago.
func (p *progress) show(state fmt.Stringer) {
	if p.isQuiet || time.Since(p.shown) < p.every {
		return
	}
	p.shown = time.Now()
	p.print(state, "")
}

// end shows the last state.
func (p *progress) end(state fmt.Stringer) {
	if !p.isQuiet {
		p.print(state, "\n")
	}
}

func (p *progress) print(state fmt.Stringer, end string) {
	if p.isTerminal {
		fmt.Fprintf(p.to, "\r\x1b[K%s%s", state, end)
		return
	}
	fmt.Fprintln(p.to, state)
}
