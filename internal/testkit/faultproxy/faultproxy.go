// Package faultproxy stands between a client of Redis and the server, and
// breaks what passes through it as a test says.
package faultproxy

import (
	"bufio"
	"net"
	"sync"
	"testing"
	"time"
)

// Ending says how an exchange, that is a command and its reply, ends.
type Ending int

const (
	// Pass passes the reply on.
	Pass Ending = iota
	// Lose executes the command and closes the connection without the reply.
	Lose
	// Cut executes the command and resets the connection in mid-reply.
	Cut
	// Silence executes the command and says nothing, on an open connection.
	Silence
	// Refuse closes the connection instead of passing the command on.
	Refuse
	// Mute never passes the command on and leaves the connection open.
	Mute
)

// Fault is what happens to one exchange. The zero Fault is none.
type Fault struct {
	// Hold, if set, keeps the command back until it is closed. The command is
	// then passed on also if the client is gone, as a network does.
	Hold <-chan struct{}
	// HoldReply does so with the reply, and Delay keeps it back for a time.
	HoldReply <-chan struct{}
	Delay     time.Duration
	Ending    Ending
}

// Proxy passes connections to a server on. It ends with the test.
type Proxy struct {
	// Addr is the host and port that it listens on.
	Addr string

	server  string
	done    chan struct{}
	running sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while it is down
	conns    map[*conn]struct{}
	next     []Fault
	rule     func() Fault
	frozen   chan struct{} // closed by Thaw; nil while all passes
	// onlySubscriptions says that only those are frozen.
	onlySubscriptions bool
	came, answered    int
}

// Start starts a proxy for the server at addr.
func Start(t testing.TB, addr string) *Proxy {
	t.Helper()
	p := &Proxy{server: addr, done: make(chan struct{}), conns: make(map[*conn]struct{})}
	if err := p.listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// URL returns the address as a store in a configuration is written.
func (p *Proxy) URL() string { return "redis://" + p.Addr + "/0" }

// Next sets the faults of the next commands that run a script, in order.
// Those after them meet the rule.
func (p *Proxy) Next(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, faults...)
}

// Rule sets what decides the fault of each command that runs a script; nil
// is none. It may be called from any number of goroutines.
func (p *Proxy) Rule(rule func() Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

// Scripts returns how many commands to run a script came so far, and how many
// of them the server has answered.
func (p *Proxy) Scripts() (came, answered int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.came, p.answered
}

// Down resets all connections and lets no new ones in.
func (p *Proxy) Down() {
	p.mu.Lock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.CutAll()
}

// Up ends Down.
func (p *Proxy) Up() error { return p.listen(p.Addr) }

// CutAll resets all connections.
func (p *Proxy) CutAll() { p.cut(func(*conn) bool { return true }) }

// CutSubscriptions resets those that subscribed.
func (p *Proxy) CutSubscriptions() { p.cut(func(c *conn) bool { return c.subscribed }) }

func (p *Proxy) cut(which func(*conn) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if which(c) {
			c.reset()
		}
	}
}

// Freeze stops passing anything on, without a word: connections stay open,
// and new ones are taken.
func (p *Proxy) Freeze() { p.freeze(false) }

// FreezeSubscriptions does the same to the connections that subscribe.
func (p *Proxy) FreezeSubscriptions() { p.freeze(true) }

func (p *Proxy) freeze(only bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
	p.onlySubscriptions = only
}

// Thaw lets what was frozen go on.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// Close ends all connections and waits for the end of everything that Start
// started.
func (p *Proxy) Close() {
	select {
	case <-p.done:
		return
	default:
	}
	close(p.done)
	p.Down()
	p.running.Wait()
}

func (p *Proxy) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.listener = l
	if p.Addr == "" {
		p.Addr = l.Addr().String()
	}
	p.mu.Unlock()
	p.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(l, client) })
		}
	})
	return nil
}

// serve connects client to the server until either of them ends.
func (p *Proxy) serve(l net.Listener, client net.Conn) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", p.server, 10*time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	c := &conn{Proxy: p, client: client, server: server}
	p.mu.Lock()
	if p.listener != l {
		p.mu.Unlock()
		return
	}
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	c.run(bufio.NewReader(client), bufio.NewReader(server))
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// fault returns what happens to a script that comes now.
func (p *Proxy) fault() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came++
	if len(p.next) > 0 {
		f := p.next[0]
		p.next = p.next[1:]
		return f
	}
	if p.rule != nil {
		return p.rule()
	}
	return Fault{}
}
