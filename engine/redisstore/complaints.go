package redisstore

import (
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// complaintEvery spaces warnings of one kind.
const complaintEvery = time.Minute

// complaints remembers which warnings were given lately: what is wrong with
// one request is wrong with all, and one line says so.
type complaints struct {
	mu    sync.Mutex
	given map[string]time.Time
}

// complain warns of an error, mostly one that Redis gave, unless it did so a
// moment ago. The first word of a Redis error is its kind.
func (s *Store) complain(message, err string) {
	kind, _, _ := strings.Cut(err, " ")
	c := &s.complaints
	c.mu.Lock()
	now := time.Now()
	recent := now.Sub(c.given[message+kind]) < complaintEvery
	if !recent {
		if c.given == nil {
			c.given = make(map[string]time.Time)
		}
		c.given[message+kind] = now
	}
	c.mu.Unlock()
	if !recent {
		s.logger.Warn(message, zap.String("error", err))
	}
}
