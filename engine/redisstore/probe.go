package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// Probe implements store.Store.
func (s *Store) Probe(ctx context.Context, d store.Durability) store.Health {
	reply, err := s.repeat(ctx, probing, runs(probeScript, s.keys.scripts(newWriter().id), nil))
	if err != nil {
		err = fmt.Errorf("probing: %w", err)
		return store.Health{Reads: err, Writes: err}
	}
	r := reader{reply: reply}
	reads, writes, missing := r.string(), r.string(), r.string()
	if err := r.failure(); err != nil {
		return store.Health{Reads: err, Writes: err}
	}
	health := store.Health{Reads: s.probed(reads, missing), Writes: s.probed(writes, missing)}
	if health.Writes == nil {
		health.Writes = s.probeDurable(ctx, d)
	}
	return health
}

// probed returns the error for the words of a refusal; nil for "".
func (s *Store) probed(refusal, missing string) error {
	if refusal == "" {
		return nil
	}
	err := s.diagnose(scriptError(refusal))
	if store.CauseOf(err) == store.Permission {
		err = fmt.Errorf("%w; missing: %s", err, missing)
	}
	return fmt.Errorf("%w: %w", store.ErrRefused, err)
}

// missingRights names the commands of the scripts that the user may not run. Redis 7.0
// does not name the refused command itself.
func (s *Store) missingRights() string {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(s.life, patience)
	defer cancel()
	reply, err := s.try(ctx, patience, runs(probeScript, s.keys.scripts(newWriter().id), nil))
	if err != nil || len(reply) != 3 {
		return ""
	}
	names, _ := reply[2].(string)
	return names
}
