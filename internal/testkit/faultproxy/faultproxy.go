// Package faultproxy is a proxy between a client of Redis and the server. Tests tell it
// which faults to cause.
package faultproxy

import (
	"bufio"
	"net"
	"sync"
	"testing"
	"time"
)

// Ending says how an exchange ends. An exchange is a command and its reply.
type Ending int

const (
	// Pass passes the reply on.
	Pass Ending = iota
	// Lose executes the command and closes the connection without the reply.
	Lose
	// Cut executes the command and resets the connection in mid-reply.
	Cut
	// Silence executes the command and sends no reply on the open connection.
	Silence
	// Refuse closes the connection instead of passing the command on.
	Refuse
	// Mute never passes the command on and leaves the connection open.
	Mute
)

// Fault is a fault of one exchange. The zero Fault is none.
type Fault struct {
	// Hold, if set, holds back the command until the channel is closed. The command is
	// then passed on even if the client is gone, as a network does.
	Hold <-chan struct{}
	// HoldReply does the same with the reply. Delay holds back the reply for a time.
	HoldReply <-chan struct{}
	Delay     time.Duration
	Ending    Ending
}

// Proxy passes on connections to a server. It ends with the test.
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
	frozen   chan struct{} // closed by Thaw; nil while nothing is frozen
	// onlySubscriptions says that only subscriptions are frozen.
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

// URL returns the address as a value of the setting store.
func (p *Proxy) URL() string { return "redis://" + p.Addr + "/0" }

// Next sets the faults of the next commands that run a script, in order. Later commands
// follow the rule.
func (p *Proxy) Next(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, faults...)
}

// Rule sets a function that returns the fault of each command that runs a script; nil means
// no faults. The function may be called from any number of goroutines.
func (p *Proxy) Rule(rule func() Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

// Scripts returns how many commands that run a script came so far, and how many of them
// the server has answered.
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

// CutSubscriptions resets the connections that subscribed.
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

// Freeze stops all traffic silently: connections stay open, and new ones are accepted.
func (p *Proxy) Freeze() { p.freeze(false) }

// FreezeSubscriptions stops the traffic of connections that subscribed.
func (p *Proxy) FreezeSubscriptions() { p.freeze(true) }

func (p *Proxy) freeze(only bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
	p.onlySubscriptions = only
}

// Thaw ends Freeze and FreezeSubscriptions.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// Close ends all connections, and waits until everything that Start started has ended.
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

// fault returns the fault of a script that comes now.
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
