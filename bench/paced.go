package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// pacedConnections share the rate: each has plenty of time for an answer before
// its next turn, also from a server that is busy.
const pacedConnections = 128

// paced are POSTs of new keys at a fixed rate, each at its time however long
// the one before it took.
type paced struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	begun   time.Time
	done    atomic.Int64
	failed  atomic.Int64
}

// pacedOutcome is what became of them.
type pacedOutcome struct {
	rate   float64 // answered with 201, a second
	failed int
}

// startPaced starts the POSTs that run beside a side's load, if it has any.
func startPaced(ctx context.Context, sv *servers, s *side) *paced {
	p := &paced{}
	ctx, p.cancel = context.WithCancel(ctx)
	if s.posts == 0 {
		return p
	}
	var conns []net.Conn
	for range pacedConnections {
		conn, err := net.Dial("tcp", sv.addr(s.site))
		if err != nil {
			p.failed.Add(1)
			continue
		}
		conns = append(conns, conn)
	}
	first := sv.newKeys()
	every := time.Second * pacedConnections / time.Duration(s.posts)
	p.begun = time.Now()
	for c, conn := range conns {
		p.running.Go(func() {
			at := p.begun.Add(every * time.Duration(c) / pacedConnections)
			p.post(ctx, conn, first+c*1_000_000, at, every)
		})
	}
	return p
}

// stop ends the POSTs.
func (p *paced) stop() pacedOutcome {
	p.cancel()
	o := pacedOutcome{rate: float64(p.done.Load()) / time.Since(p.begun).Seconds()}
	p.running.Wait()
	o.failed = int(p.failed.Load())
	return o
}

// post sends the POSTs of one connection. The client of net/http would cost the
// load core many times what this does.
func (p *paced) post(ctx context.Context, conn net.Conn, number int, at time.Time, every time.Duration) {
	defer conn.Close()
	answers := bufio.NewReader(conn)
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		number++
		if err := postOnce(conn, answers, number); err != nil {
			progress("a POST beside the load failed: %v", err)
			p.failed.Add(1)
			return
		}
		p.done.Add(1)
		at = at.Add(every)
		timer.Reset(time.Until(at))
	}
}

func postOnce(conn net.Conn, answers *bufio.Reader, number int) error {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path(number), len(postBody), postBody)
	if err != nil {
		return err
	}
	status := ""
	for {
		line, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		switch {
		case status == "":
			status = line
		case line == "\r\n":
			if !strings.Contains(status, " 201 ") {
				return fmt.Errorf("answered %q", status)
			}
			return nil // a 201 has no body here
		}
	}
}
