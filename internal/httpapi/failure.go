package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// refusal is the status of an error, and the outcome that counts the request.
type refusal struct {
	status  int
	outcome running.Outcome
}

// These refusals come before the engine is asked. 404, 409 and 412 are not among them:
// such an answer tells a decision of the store. writeanswer.go and read.go write these
// answers; writeOutcome and readOutcome count them.
var (
	wrongRequest    = refusal{http.StatusBadRequest, running.OutcomeBadRequest}
	garbledPath     = refusal{http.StatusBadRequest, running.OutcomeBadPath}
	nearMiss        = refusal{http.StatusNotFound, running.OutcomeBadPath}
	forbidden       = refusal{http.StatusForbidden, running.OutcomeForbidden}
	notAllowed      = refusal{http.StatusMethodNotAllowed, running.OutcomeNotAllowed}
	slowBody        = refusal{http.StatusRequestTimeout, running.OutcomeSlowBody}
	tooLarge        = refusal{http.StatusRequestEntityTooLarge, running.OutcomeTooLarge}
	unsupportedType = refusal{http.StatusUnsupportedMediaType, running.OutcomeUnsupportedType}
	notAcceptable   = refusal{http.StatusNotAcceptable, running.OutcomeBadRequest}
	crowded         = refusal{http.StatusServiceUnavailable, running.OutcomeCrowded}
	clientGone      = refusal{statusClientGone, running.OutcomeClientGone}
)

// failure is an error with its answer and its outcome.
type failure struct {
	refusal
	detail string // for the client
	err    error  // for Caddy, if there is no detail
}

func (f *failure) Error() string {
	if f.detail == "" {
		return f.err.Error()
	}
	return f.detail
}

// because returns an error with a detail for the client.
func (r refusal) because(detail string) error { return &failure{r, detail, nil} }

// passOn returns an error that Caddy answers.
func (r refusal) passOn(err error) error { return &failure{r, "", err} }

// badRequest returns an error with the status 400.
func badRequest(format string, args ...any) error {
	return wrongRequest.because(fmt.Sprintf(format, args...))
}

// engineFailures has the answer to each kind of error of the engine. Caddy answers an
// error without a detail.
var engineFailures = map[engine.Kind]struct {
	refusal
	detail string
}{
	engine.KindNotLocal: {
		refusal{http.StatusGatewayTimeout, running.OutcomeNotLocal},
		"the local tier has no fresh value, and only-if-cached forbids asking the store; repeat the request without only-if-cached",
	},
	engine.KindQueueFull: {
		refusal{http.StatusServiceUnavailable, running.OutcomeQueueFull},
		"too many writes are waiting, nothing was changed; repeat the request later",
	},
	engine.KindUnknown: {
		refusal{http.StatusServiceUnavailable, running.OutcomeUnknown},
		"the store did not answer in time" + mayBeApplied,
	},
	engine.KindNotDurable: {
		refusal{http.StatusServiceUnavailable, running.OutcomeNotDurable},
		"the write is in the store, but" + mayBeLost,
	},
	engine.KindClosed: {
		refusal{http.StatusServiceUnavailable, running.OutcomeClosed},
		"this configuration is closing down, nothing was changed; repeat the request",
	},
	engine.KindTimeout: {
		refusal{http.StatusServiceUnavailable, running.OutcomeTimedOut},
		"the request waited too long for the store, nothing was changed; repeat it later",
	},
	engine.KindRefused: {
		refusal{http.StatusServiceUnavailable, running.OutcomeRefused},
		"the store answered with an error, nothing was changed; the log of this server says which",
	},
	engine.KindUnavailable: {
		refusal{http.StatusServiceUnavailable, running.OutcomeUnavailable},
		"the store cannot be reached, nothing was changed; repeat the request later",
	},
	engine.KindCanceled: {clientGone, ""},
	engine.KindFailed:   {refusal{http.StatusInternalServerError, running.OutcomeFailed}, ""},
}

const mayBeApplied = ": the write may have been applied, or may still be; read the key before you repeat it"

// mayBeLost says what durability was to prevent. An answer to a repeated request waits
// again, whatever it is.
const mayBeLost = " was not made as safe in time as `durability` asks, and may be lost; repeat the request, its answer comes once that is safe"

// particulars are more exact details for some errors than those of their kinds.
var particulars = []struct {
	err    error
	detail string
}{
	{running.ErrShareFull, "this client is already sending as many large bodies as one client may, nothing was changed; wait until they end, and repeat the request"},
	{running.ErrBodiesFull, "too many large bodies are arriving, nothing was changed; repeat the request later"},
	{engine.ErrBasisNotDurable, "nothing was changed because of what the store holds, but that" + mayBeLost},
	{engine.ErrTooMuchAtOnce, "the store evicted as many entries as it may in one step, and this write needs more room; it was not applied, repeat the request"},
}

// causeDetails tell clients why the store fails. The log tells the operator what to do.
var causeDetails = map[store.Cause]string{
	store.Credentials:     "the store does not accept the user or the password of this server",
	store.Permission:      "the user of this server lacks a right in the store",
	store.Full:            "the store is full",
	store.ReadOnly:        "the store is read-only",
	store.NotSaved:        "the store takes no writes, because it cannot save them",
	store.TooFewReplicas:  "the store takes no writes, because it has too few replicas",
	store.Busy:            "the store is not ready for requests",
	store.NoDatabase:      "the store does not have the database that this server is set up for",
	store.TLS:             "the TLS connection to the store failed, or the store expects TLS",
	store.NotRedis:        "the server at the address of the store is not a Redis that runs scripts",
	store.Elsewhere:       "another node of the cluster has the entries",
	store.UnknownLayout:   "another version of this server wrote the entries in another layout",
	store.UnknownEviction: "another version of this server set an eviction policy that this one does not know",
	store.OtherPartitions: "the keys of this cache are spread over partitions in another way than this server knows",
	store.WrongType:       "another program uses the keys of this cache in the store",
	store.NotDurable:      "the store does not make writes as safe in time as `durability` asks",
	store.TooOld:          "the store is older than Redis 7.2, which `durability fsync` needs",
	store.NoAppendOnly:    "the store has no append-only file, which `durability fsync` needs",
}

// failureOf returns the failure for an error of the engine.
func failureOf(err error) *failure {
	kind := engine.KindOf(err)
	f := &failure{engineFailures[kind].refusal, engineFailures[kind].detail, err}
	if cause := causeDetails[store.CauseOf(err)]; cause != "" && kind != engine.KindNotDurable {
		switch {
		case kind == engine.KindUnknown:
			f.detail = cause + mayBeApplied
		case kind.HasCause():
			f.detail = cause + ", nothing was changed; the log of this server says what to do"
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

// StatusOf returns the HTTP status for an error of the engine.
func StatusOf(err error) int { return failureOf(err).status }
