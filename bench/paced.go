package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// pacedConnections is the number of connections that share the rate. Each has enough time
// for an answer before its next turn, even from a busy server.
const pacedConnections = 128

// paced are requests at a fixed rate. Each is sent at its time, however long the one before
// took.
type paced struct {
	request func(number int) string
	cancel  context.CancelFunc
	running sync.WaitGroup
	begun   time.Time
	done    atomic.Int64
	failed  atomic.Int64
}

// pacedOutcome is the outcome of paced requests.
type pacedOutcome struct {
	done   int     // answered with 200 or 201
	rate   float64 // of those, a second
	failed int
}

// startPosts starts the POSTs of new keys that run beside a side's load, if it has
// any.
func startPosts(ctx context.Context, sv *servers, s *side) *paced {
	return startPaced(ctx, sv.addr(s.site), pacedLoad{rate: s.posts, first: sv.newKeys(), request: postRequest})
}

// pacedLoad is requests at a steady rate.
type pacedLoad struct {
	rate    int // a second
	first   int // number
	request func(number int) string
}

// startPaced starts requests to a site.
func startPaced(ctx context.Context, addr string, load pacedLoad) *paced {
	p := &paced{request: load.request}
	ctx, p.cancel = context.WithCancel(ctx)
	if load.rate == 0 {
		return p
	}
	var conns []net.Conn
	for range pacedConnections {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			p.failed.Add(1)
			continue
		}
		conns = append(conns, conn)
	}
	every := time.Second * pacedConnections / time.Duration(load.rate)
	p.begun = time.Now()
	for c, conn := range conns {
		p.running.Go(func() {
			at := p.begun.Add(every * time.Duration(c) / pacedConnections)
			p.send(ctx, conn, load.first+c*1_000_000, at, every)
		})
	}
	return p
}

// stop ends the requests.
func (p *paced) stop() pacedOutcome {
	p.cancel()
	done := p.done.Load()
	o := pacedOutcome{done: int(done), rate: float64(done) / time.Since(p.begun).Seconds()}
	p.running.Wait()
	o.failed = int(p.failed.Load())
	return o
}

// send sends the requests of one connection. The client of net/http would use much more time
// of the load core.
func (p *paced) send(ctx context.Context, conn net.Conn, number int, at time.Time, every time.Duration) {
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
		if err := askOnce(conn, answers, p.request(number)); err != nil {
			progress("a paced request failed: %v", err)
			p.failed.Add(1)
			return
		}
		p.done.Add(1)
		at = at.Add(every)
		timer.Reset(time.Until(at))
	}
}

func postRequest(number int) string { return ourForm.set(number, postBody) }

// askOnce sends a request and reads its answer, which must be a 200 or 201.
func askOnce(conn net.Conn, answers *bufio.Reader, request string) error {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	status, length := "", 0
	for {
		line, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case status == "":
			status = line
		case name == "Content-Length":
			length, _ = strconv.Atoi(value)
		case name == "":
			if !strings.Contains(status, " 200 ") && !strings.Contains(status, " 201 ") {
				return fmt.Errorf("answered %q", status)
			}
			_, err := answers.Discard(length)
			return err
		}
	}
}
