package redisstore

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

const (
	// askTimeout bounds a question to another server than the primary. Others may be
	// down, and then the rest must still have time to answer.
	askTimeout = 500 * time.Millisecond
	// listenAgain is the time between tries to listen to a Sentinel, and between PINGs to it.
	listenAgain = time.Second
)

// sentinels are the Sentinels of a URL. A primary is the server that most of them name.
// One alone may have been cut off, together with an old primary. (go-redis's
// FailoverClient believes the first one that answers, does not ask a server for its role,
// and leaves a subscription with the old primary.)
type sentinels struct {
	primary string // name of the primary
	each    []sentinelAt

	mu     sync.Mutex
	closed bool
	asking sync.WaitGroup
}

type sentinelAt struct {
	addr   string
	client *redis.SentinelClient
}

func newSentinels(life context.Context, t *Target) *sentinels {
	s := &sentinels{primary: t.primary}
	for _, host := range t.hosts {
		o := t.clientOptions(life, host)
		o.DB, o.ClientName = 0, ""
		o.Username, o.Password = t.sentinelUser, t.sentinelPassword
		s.each = append(s.each, sentinelAt{host, redis.NewSentinelClient(o)})
	}
	return s
}

// answer is what one server says of the address of the primary.
type answer struct {
	addr string
	err  error
}

func (s *sentinels) find(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answers := make(chan answer, len(s.each))
	s.mu.Lock()
	if s.closed { // close waits already
		s.mu.Unlock()
		return "", store.ErrClosed
	}
	for _, one := range s.each {
		s.asking.Go(func() {
			found, err := one.client.GetMasterAddrByName(ctx, s.primary).Result()
			switch {
			case err == redis.Nil:
				err = fmt.Errorf("it knows no primary of the name %s", s.primary)
			case err == nil && len(found) != 2:
				err = fmt.Errorf("it answers with %d parts in place of host and port", len(found))
			}
			if err != nil {
				answers <- answer{err: fmt.Errorf("the Sentinel at %s: %w", one.addr, err)}
				return
			}
			answers <- answer{addr: net.JoinHostPort(found[0], found[1])}
		})
	}
	s.mu.Unlock()
	votes := make(map[string]int)
	var faults []error
	for range s.each {
		a := <-answers
		if a.err != nil {
			faults = append(faults, a.err)
			continue
		}
		votes[a.addr]++
		if votes[a.addr] > len(s.each)/2 {
			return a.addr, nil
		}
	}
	return "", noMajority(len(s.each), votes, faults)
}

// noMajority returns an error that has the cause of the first fault.
func noMajority(sentinels int, votes map[string]int, faults []error) error {
	var said []string
	for addr, n := range votes {
		said = append(said, fmt.Sprintf("%d name %s", n, addr))
	}
	if len(faults) == 0 {
		return fmt.Errorf("of %d Sentinels, no majority names one primary: %s", sentinels, strings.Join(said, ", "))
	}
	return fmt.Errorf("of %d Sentinels, no majority names one primary: %d do not name any: %w", sentinels, len(faults), faults[0])
}

// confirm asks all Sentinels again. A server that was cut off may still take itself for
// the primary.
func (s *sentinels) confirm(ctx context.Context, _ *redis.Client, addr string) error {
	found, err := s.find(ctx)
	if err == nil && found != addr {
		return errMoved
	}
	return err
}

// believe needs not ask. No node writes to a new primary before the Sentinels name it, and
// then they tell all nodes.
func (*sentinels) believe(string, time.Time) error { return nil }

// The messages of Sentinels that listen waits for.
const (
	// switchMaster is sent by each Sentinel when it learns of the new primary.
	switchMaster = "+switch-master"
	// promoting is sent by the Sentinel that leads a failover, right before it makes a
	// replica the primary. The old primary takes writes for about a second more, until
	// the Sentinels agree, and all of these are lost.
	promoting = "+failover-state-send-slaveof-noone"
	// aborted is sent by it after that, if the replica did not become the primary.
	aborted = "-failover-abort-slave-timeout"
)

func (s *sentinels) listen(ctx context.Context, l listener) {
	var listening sync.WaitGroup
	for _, one := range s.each {
		listening.Go(func() {
			for ctx.Err() == nil {
				s.listenOnce(ctx, one.client, l)
				select {
				case <-ctx.Done():
				case <-time.After(listenAgain):
				}
			}
		})
	}
	listening.Wait()
}

// listenOnce listens to one Sentinel. PINGs show that the connection still works.
func (s *sentinels) listenOnce(ctx context.Context, c *redis.SentinelClient, l listener) {
	ctx, cancel := context.WithCancel(ctx)
	subscription := c.Subscribe(ctx)
	var ending sync.WaitGroup
	ending.Add(1)
	context.AfterFunc(ctx, func() {
		defer ending.Done()
		_ = subscription.Close()
	})
	defer ending.Wait()
	defer cancel()
	subscribing, subscribed := context.WithTimeout(ctx, askTimeout)
	defer subscribed()
	if subscription.Subscribe(subscribing, switchMaster, promoting, aborted) != nil {
		return
	}
	ending.Go(func() {
		tick := time.NewTicker(listenAgain)
		defer tick.Stop()
		for pingOn(ctx, subscription, "") == nil {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	for {
		message, err := receive(ctx, subscription)
		if err != nil {
			return
		}
		switch m := message.(type) {
		case *redis.Subscription:
			if m.Channel == switchMaster { // the primary may have changed before this subscription
				l.moved()
			}
		case *redis.Message:
			switch {
			case !s.isOurs(m):
			case m.Channel == switchMaster:
				l.moved()
			case m.Channel == promoting:
				l.promoting()
			case m.Channel == aborted:
				l.aborted()
			}
		}
	}
}

// isOurs reports whether a message is about the primary of s. Sentinels may watch many. A
// message begins with the name of a primary, or with "master" and its name; or it ends
// with "@", the name, host and port.
func (s *sentinels) isOurs(m *redis.Message) bool {
	words := strings.Fields(m.Payload)
	n := len(words)
	switch {
	case m.Channel == switchMaster:
		return n > 0 && words[0] == s.primary
	case n >= 4 && words[n-4] == "@":
		return words[n-3] == s.primary
	}
	return n > 1 && words[1] == s.primary
}

func (s *sentinels) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, one := range s.each {
		_ = one.client.Close()
	}
	s.asking.Wait()
}

// checkRole is the OnConnect of a server that Sentinels named. A primary that was just
// demoted is a replica, and soon every Sentinel will say so.
func checkRole(ctx context.Context, cn *redis.Conn) error {
	role, err := cn.Do(ctx, "ROLE").Slice()
	if err != nil {
		return fmt.Errorf("asking the server for its role: %w", err)
	}
	if len(role) == 0 || role[0] != "master" {
		return &dialError{fmt.Errorf("the Sentinels name a server that is no primary, but a %v", role[0])}
	}
	return nil
}
