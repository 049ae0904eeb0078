package httpapi

import (
	"errors"
	"net/http"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// failure is how an error is answered and counted. Without a detail it goes to
// Caddy as it is.
type failure struct {
	status  int
	outcome running.Outcome
	detail  string
}

// failures are those of the engine. A write that the store decided against, as by a 409
// or 412, is no failure: see answerWrite.
var failures = map[engine.Kind]failure{
	engine.KindNotLocal: {
		http.StatusGatewayTimeout, running.OutcomeNotLocal,
		"no fresh value is held locally, and only-if-cached forbids to ask the store; repeat the request without it",
	},
	engine.KindQueueFull: {
		http.StatusServiceUnavailable, running.OutcomeQueueFull,
		"too many writes are waiting, nothing was changed; repeat the request later",
	},
	engine.KindUnknown: {
		http.StatusServiceUnavailable, running.OutcomeUnknown,
		"the store did not answer in time" + mayBeApplied,
	},
	engine.KindClosed: {
		http.StatusServiceUnavailable, running.OutcomeClosed,
		"this configuration is closing down, nothing was changed; repeat the request",
	},
	engine.KindTimeout: {
		http.StatusServiceUnavailable, running.OutcomeTimedOut,
		"the store did not get to the request in time, nothing was changed; repeat it later",
	},
	engine.KindRefused: {
		http.StatusServiceUnavailable, running.OutcomeRefused,
		"the store answers with an error, nothing was changed; the log of this server tells which",
	},
	engine.KindUnavailable: {
		http.StatusServiceUnavailable, running.OutcomeUnavailable,
		"the store cannot be reached, nothing was changed; repeat the request later",
	},
	engine.KindCanceled: {statusClientGone, running.OutcomeClientGone, ""},
	engine.KindFailed:   {http.StatusInternalServerError, running.OutcomeFailed, ""},
}

const mayBeApplied = ": the write may have been applied, or may still be; read the key before you repeat it"

// particulars are the details of errors whose kind does not say it all.
var particulars = []struct {
	err    error
	detail string
}{
	{running.ErrShareFull, "the bodies that this client is sending leave no room for another large one, nothing was changed; let them end, and repeat the request later"},
	{running.ErrBodiesFull, "so many bodies are arriving that there is no room for another large one, nothing was changed; repeat the request later"},
	{engine.ErrTooMuchAtOnce, "so many entries have to leave for this value, or for others written with it, that it takes several steps, of which this was one; repeat the request"},
}

// causeDetails say to clients what is wrong with the store. What to do about it is
// not theirs, and stands in the log.
var causeDetails = map[store.Cause]string{
	store.Credentials:     "the store does not accept the user or the password of this server",
	store.Permission:      "the user of this server lacks a right in the store",
	store.Full:            "the store is full",
	store.ReadOnly:        "the store can only be read",
	store.NotSaved:        "the store takes no writes, since it cannot save them",
	store.TooFewReplicas:  "the store takes no writes, since it has too few replicas",
	store.Busy:            "the store is not ready for requests",
	store.NoDatabase:      "the store does not have the database that this server is set up for",
	store.TLS:             "no secure connection to the store comes about, or it expects one",
	store.NotRedis:        "no Redis that runs scripts answers where the store should be",
	store.Elsewhere:       "another node of the cluster has the entries",
	store.UnknownLayout:   "another version of this server keeps the entries in another layout",
	store.UnknownEviction: "another version of this server set an eviction policy that this one does not know",
	store.WrongType:       "another program uses the keys of this cache in the store",
}

// failureOf returns how an error of the engine is answered.
func failureOf(err error) failure {
	kind := engine.KindOf(err)
	f := failures[kind]
	if cause := causeDetails[store.CauseOf(err)]; cause != "" {
		switch {
		case kind == engine.KindUnknown:
			f.detail = cause + mayBeApplied
		case kind.HasCause():
			f.detail = cause + ", nothing was changed; the log of this server tells what to do"
		}
		return f
	}
	for _, p := range particulars {
		if errors.Is(err, p.err) {
			f.detail = p.detail
		}
	}
	return f
}

// StatusOf returns the status with which an error of the engine is answered.
func StatusOf(err error) int { return failureOf(err).status }

// statusOutcomes are the outcomes of requests that are refused before they get to
// the engine. Their details are their own.
var statusOutcomes = map[int]running.Outcome{
	http.StatusBadRequest:            running.OutcomeBadRequest,
	http.StatusForbidden:             running.OutcomeForbidden,
	http.StatusMethodNotAllowed:      running.OutcomeNotAllowed,
	http.StatusRequestTimeout:        running.OutcomeSlowBody,
	http.StatusRequestEntityTooLarge: running.OutcomeTooLarge,
	http.StatusUnsupportedMediaType:  running.OutcomeUnsupportedType,
	statusClientGone:                 running.OutcomeClientGone,
}
