package faultproxy

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"
)

// conn is a connection of a client, with its connection to the server.
type conn struct {
	*Proxy
	client, server net.Conn
	subscribed     bool // under Proxy.mu
}

// reset ends both connections, the client's with a RST.
func (c *conn) reset() {
	if tcp, ok := c.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.client.Close()
	c.server.Close()
}

// run passes commands on, each after the reply to the one before. Once the client
// subscribes, both sides may send at any time.
func (c *conn) run(client, server *bufio.Reader) {
	for {
		request, err := readFrame(client)
		if err != nil {
			return
		}
		var f Fault
		name := commandName(request)
		script := name == "EVALSHA" || name == "EVAL"
		if script {
			f = c.fault()
		}
		if name == "SUBSCRIBE" {
			c.subscribe(request, client, server)
			return
		}
		if !c.open(false) || !c.exchange(f, script, request, client, server) {
			return
		}
	}
}

// exchange passes on one command and its reply. It reports false if the connection ends.
func (c *conn) exchange(f Fault, script bool, request []byte, client, server *bufio.Reader) bool {
	if !c.held(f.Hold) {
		return false
	}
	switch f.Ending {
	case Refuse:
		return false
	case Mute:
		_, _ = io.Copy(io.Discard, client)
		return false
	}
	if _, err := c.server.Write(request); err != nil {
		return false
	}
	reply, err := readFrame(server)
	if err == nil && script {
		c.mu.Lock()
		c.answered++
		c.mu.Unlock()
	}
	if err != nil || !c.held(f.HoldReply) || !c.pause(f.Delay) || !c.open(false) {
		return false
	}
	switch f.Ending {
	case Lose:
		return false
	case Silence:
		_, _ = io.Copy(io.Discard, client)
		return false
	case Cut:
		_, _ = c.client.Write(reply[:len(reply)/2])
		c.reset()
		return false
	}
	_, err = c.client.Write(reply)
	return err == nil
}

// subscribe passes on everything in both directions.
func (c *conn) subscribe(request []byte, client, server *bufio.Reader) {
	c.mu.Lock()
	c.subscribed = true
	c.mu.Unlock()
	if !c.open(true) {
		return
	}
	if _, err := c.server.Write(request); err != nil {
		return
	}
	var pumping sync.WaitGroup
	pumping.Go(func() { c.pump(c.server, client) })
	pumping.Go(func() { c.pump(c.client, server) })
	pumping.Wait()
}

func (c *conn) pump(to net.Conn, from *bufio.Reader) {
	defer c.reset()
	for {
		frame, err := readFrame(from)
		if err != nil || !c.open(true) {
			return
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// open waits while traffic is frozen. Like held and pause, it returns false when the proxy
// ends.
func (c *conn) open(subscription bool) bool {
	c.mu.Lock()
	frozen := c.frozen
	if c.onlySubscriptions && !subscription {
		frozen = nil
	}
	c.mu.Unlock()
	return c.held(frozen)
}

func (c *conn) held(until <-chan struct{}) bool {
	if until == nil {
		return true
	}
	select {
	case <-until:
		return true
	case <-c.done:
		return false
	}
}

func (c *conn) pause(d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.done:
		return false
	}
}
