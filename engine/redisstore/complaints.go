package redisstore

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// complaintEvery spaces warnings of one kind.
const complaintEvery = time.Minute

// complaints remembers what is wrong: with one request it is wrong with all, and
// one line says so, and one that it is mended.
type complaints struct {
	any   atomic.Bool // something is in wrong
	mu    sync.Mutex
	given map[string]time.Time       // when a warning was given, by what is wrong
	wrong map[string]map[string]bool // what is wrong with each kind of work
	told  map[string]bool            // of what is wrong, what a warning was given of
}

// Kinds of work that may go wrong by themselves. What is wrong with connecting is
// wrong with all of them.
const (
	connecting = "connecting"
	fetching   = "fetching"
	applying   = "applying"
	writing    = "writing" // a new value, that is
	raising    = "raising"
	publishing = "publishing"
	browsing   = "browsing"
	probing    = "probing"
)

// isNews notes that something is wrong with a kind of work, or with one thing alone
// if the kind is "", and reports whether it is time for a warning of it.
func (c *complaints) isNews(work, what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.given == nil {
		c.given, c.wrong, c.told = make(map[string]time.Time), make(map[string]map[string]bool), make(map[string]bool)
	}
	if work != "" {
		if c.wrong[work] == nil {
			c.wrong[work] = make(map[string]bool)
		}
		c.wrong[work][what] = true
		c.any.Store(true)
	}
	now := time.Now()
	if now.Sub(c.given[what]) < complaintEvery {
		return false
	}
	c.given[what], c.told[what] = now, work != ""
	return true
}

// goesWell notes that a kind of work is done again, and tells of what is mended
// by that.
func (s *Store) goesWell(work string) {
	c := &s.complaints
	if !c.any.Load() {
		return
	}
	c.mu.Lock()
	ended := c.wrong[work]
	delete(c.wrong, work)
	var mended []string
	for what := range ended {
		if c.told[what] && !c.isWrong(what) {
			delete(c.told, what)
			mended = append(mended, what)
		}
	}
	c.any.Store(len(c.wrong) > 0)
	c.mu.Unlock()
	for _, what := range mended {
		s.logger.Info("Redis does again what it refused", zap.String("cause", what))
	}
}

func (c *complaints) isWrong(what string) bool {
	for _, all := range c.wrong {
		if all[what] {
			return true
		}
	}
	return false
}

// refused complains of an error that the server gave to a kind of work.
func (s *Store) refused(work string, err error) {
	s.complain(work, "Redis answers with an error, and what needs it is refused", err)
}

// complain warns of an error, unless it did so a moment ago.
func (s *Store) complain(work, message string, err error) {
	cause := store.CauseOf(err)
	what := string(cause)
	switch cause {
	case "":
		what = code(said(err))
	case store.Credentials, store.NoDatabase, store.NotRedis, store.TLS, store.Elsewhere, store.Busy:
		work = connecting
	}
	if work == publishing {
		what = publishing // which others do without
	}
	if !s.complaints.isNews(work, what) {
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

// errorFields show an error with its cause and what to do, where they are known.
func errorFields(err error) []zap.Field {
	caused, ok := errors.AsType[*store.CausedError](err)
	if !ok {
		return []zap.Field{zap.Error(err)}
	}
	return []zap.Field{
		zap.String("error", caused.Err.Error()), zap.String("cause", string(caused.Cause)), zap.String("advice", caused.Advice),
	}
}

// scriptError is what a server said to a script.
type scriptError string

func (e scriptError) Error() string { return plain(string(e)) }

// RedisError implements redis.Error.
func (scriptError) RedisError() {}
