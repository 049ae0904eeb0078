package redisstore

import (
	"errors"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// diagnose is diagnosed for errors of this store.
func (s *Store) diagnose(err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	target := s.target
	s.mu.Unlock()
	return diagnosed(err, target, s.greeted.Load())
}

// diagnosed adds the cause and an advice to err, where they are known. If no connection
// to the target ever finished its greeting, the settings may be wrong; after that, an
// error is an outage.
func diagnosed(err error, target *Target, greeted bool) error {
	if err == nil || store.CauseOf(err) != "" {
		return err
	}
	var cause store.Cause
	advice := ""
	handshake, isHandshake := errors.AsType[*handshakeError](err)
	_, isTurnedAway := errors.AsType[*turnedAwayError](err)
	switch {
	case isReply(err) && target.kind == cluster && isMoving(err):
		cause = store.Busy // the call waited for the end of the move in vain
	case isReply(err):
		cause = replyCause(err)
	case isTurnedAway:
		cause = replyCause(err)
		if isProtected(err) {
			advice = "set a password in Redis (requirepass) and here (redis_password), or set protected-mode no " +
				"in Redis if nobody else reaches it"
		}
	case isHandshake:
		cause, advice = store.TLS, handshake.advice(target)
	case target.alertAdvice(err) != "":
		cause, advice = store.TLS, target.alertAdvice(err)
	case greeted:
	case target.isRefusedLate(err):
		cause, advice = store.TLS, target.ownAdvice()
	case isTimeout(err) && target.shaking.Load() > 0:
		cause, advice = store.TLS, silentAdvice
	case isNotRESP(err):
		cause = store.NotRedis
	case !target.HasTLS() && isClosed(err):
		cause, advice = store.TLS, "the server closes connections before it says anything: "+
			"if its port speaks TLS, write rediss:// in store; else see whether it is a proxy whose server is down"
	}
	if cause == "" {
		return err
	}
	if advice == "" {
		advice = advices[cause]
	}
	return &store.CausedError{Cause: cause, Err: err, Advice: advice}
}

// advices has the advice for a cause, where there is one.
var advices = map[store.Cause]string{
	store.Credentials:     "check the user and the password: redis_username and redis_password, or those in store",
	store.Permission:      "give the user of Redis the right: docs/redis.md has a line with all that are needed",
	store.Full:            "raise maxmemory of Redis, or lower max_keys or max_bytes",
	store.ReadOnly:        "give store the address of the primary, or write redis+sentinel:// with the addresses of the Sentinels: this server is a replica, or was not promoted yet",
	store.NotSaved:        "see in the log of Redis why it cannot save to disk",
	store.TooFewReplicas:  "see why Redis has fewer replicas than its min-replicas-to-write asks for",
	store.Busy:            "wait until Redis has loaded its data or moved the slot, or has a primary, a free connection, or time again",
	store.NoDatabase:      "choose a database that Redis has: it is the number at the end of store, and 0 is always there",
	store.NotRedis:        "check host and port in store: they lead to something else than a Redis server, such as a web server; for Sentinels write redis+sentinel://host:26379/mymaster",
	store.Elsewhere:       "write redis+cluster:// in store: the server is a node of a cluster, and another node has the keys of this namespace",
	store.UnknownLayout:   "run the version of this module that wrote the namespace, or export it with that version and import it with this one, or choose another namespace",
	store.UnknownEviction: "run the version of this module that set the policy or a later one, or choose another namespace",
	store.OtherPartitions: "write the same partitions on all nodes; for another number of partitions, export the namespace and import it into another one",
	store.NotDurable:      "see whether enough replicas are connected to Redis and keep up, or its disk does; redis_timeout gives them time, and durability may ask for less",
	store.TooOld:          "durability fsync needs Redis 7.2 or newer, or Valkey: update the server, or write durability replicas and a number, or leave durability out",
	store.NoAppendOnly:    "durability fsync needs an append-only file: set appendonly yes in Redis, or write durability replicas and a number, or leave durability out",
	store.WrongType:       "find out which program keeps its data under a key of this namespace, and choose another namespace for one of them",
}
