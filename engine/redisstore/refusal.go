package redisstore

import (
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Redis may refuse single commands of a script. The script then does as much as it can,
// and answers with the server's words for the rest.

// raised notes the refusal of a fetch's raises, "" if there was none, and whether the
// fetch raised any.
func (s *Store) raised(refusal string, raisedAny bool) {
	if refusal == "" {
		if raisedAny {
			s.goesWell(raising)
		}
		return
	}
	err := s.diagnose(scriptError(refusal))
	s.complain(raising, "Redis answers reads, and does not count them for eviction", err)
	s.leaveReadOnly(err)
}

// judge adds the cause to a refused write, and notes whether Redis takes new values. It
// reports whether the write changed anything.
func (s *Store) judge(r *store.Result) (changed bool) {
	switch r.Outcome {
	case store.Created, store.Replaced:
		s.goesWell(writing)
		return true
	case store.Deleted:
		return true
	case store.Refused:
		err := s.diagnose(scriptError(r.Reason))
		r.Reason, r.Cause = err.Error(), store.CauseOf(err)
		s.complain(writing, "Redis refused a write", err)
		s.leaveReadOnly(err)
	}
	return false
}

// published notes why an event was not published; "" if it was.
func (s *Store) published(refusal string) {
	if refusal == "" {
		s.goesWell(publishing)
		return
	}
	s.complain(publishing, "Redis did not publish an event: other nodes may serve old entries for as long as local_ttl",
		s.diagnose(scriptError(refusal)))
}
