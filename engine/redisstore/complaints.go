package redisstore

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// complaintEvery is the least time between two warnings of one kind.
const complaintEvery = time.Minute

// complaints remembers faults. A fault of one request is mostly a fault of all, so one
// log line reports it, and one reports its end. A fault is named by its cause, or by the
// code of the error.
type complaints struct {
	any   atomic.Bool // wrong is not empty
	mu    sync.Mutex
	given map[string]time.Time       // time of the last warning, by fault
	wrong map[string]map[string]bool // present faults, by kind of work
	told  map[string]bool            // present faults that were warned of
}

// Kinds of work that may fail independently. A fault of connecting is a fault of all.
const (
	connecting = "connecting"
	fetching   = "fetching"
	applying   = "applying"
	writing    = "writing" // of new values
	raising    = "raising"
	publishing = "publishing"
	browsing   = "browsing"
	probing    = "probing"
	securing   = "securing" // writes, as durability demands
)

// isNews notes a fault of a kind of work, and reports whether it is time to warn of it.
// Without a kind of work, the fault is no lasting one.
func (c *complaints) isNews(work, fault string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.given == nil {
		c.given, c.wrong, c.told = make(map[string]time.Time), make(map[string]map[string]bool), make(map[string]bool)
	}
	if work != "" {
		if c.wrong[work] == nil {
			c.wrong[work] = make(map[string]bool)
		}
		c.wrong[work][fault] = true
		c.any.Store(true)
	}
	now := time.Now()
	if now.Sub(c.given[fault]) < complaintEvery {
		return false
	}
	c.given[fault], c.told[fault] = now, work != ""
	return true
}

// goesWell notes that a kind of work succeeded, and logs the faults that are thereby
// mended.
func (s *Store) goesWell(work string) {
	c := &s.complaints
	if !c.any.Load() {
		return
	}
	c.mu.Lock()
	ended := c.wrong[work]
	delete(c.wrong, work)
	var mended []string
	for fault := range ended {
		if c.told[fault] && !c.isWrong(fault) {
			delete(c.told, fault)
			mended = append(mended, fault)
		}
	}
	c.any.Store(len(c.wrong) > 0)
	c.mu.Unlock()
	for _, fault := range mended {
		s.logger.Info("Redis does again what it refused", zap.String("cause", fault))
	}
}

func (c *complaints) isWrong(fault string) bool {
	for _, all := range c.wrong {
		if all[fault] {
			return true
		}
	}
	return false
}

// refused warns of an error in the server's answer to a kind of work.
func (s *Store) refused(work string, err error) {
	s.complain(work, "Redis answers with an error; calls that need it are refused", err)
}

// complain warns of an error, unless a warning of it was logged within complaintEvery.
func (s *Store) complain(work, message string, err error) {
	cause := store.CauseOf(err)
	fault := string(cause)
	switch cause {
	case "":
		fault = code(said(err))
	case store.Credentials, store.NoDatabase, store.NotRedis, store.TLS, store.Elsewhere, store.Busy:
		work = connecting
	}
	if work == publishing {
		fault = publishing // other kinds of work do not need it
	}
	if !s.complaints.isNews(work, fault) {
		return
	}
	fields := errorFields(err)
	if isUnnamedRight(err) {
		if missing := s.missingRights(); missing != "" {
			fields = append(fields, zap.String("missing_rights", missing))
		}
	}
	s.logger.Warn(message, fields...)
}

// errorFields returns log fields for an error, with its cause and an advice where they
// are known.
func errorFields(err error) []zap.Field {
	caused, ok := errors.AsType[*store.CausedError](err)
	if !ok {
		return []zap.Field{zap.Error(err)}
	}
	return []zap.Field{
		zap.String("error", caused.Err.Error()), zap.String("cause", string(caused.Cause)), zap.String("advice", caused.Advice),
	}
}

// scriptError is the error of a server to a command within a script.
type scriptError string

func (e scriptError) Error() string { return plain(string(e)) }

// RedisError implements redis.Error.
func (scriptError) RedisError() {}
