package httpapi

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// record collects the facts of one request, for the counters and `placeholders`.
type record struct {
	request *http.Request // nil without placeholders
	key     string        // empty until it is known to be valid
	outcome running.Outcome
	isEnded bool
	noCache bool // the client asked to read from the store
}

// end records the outcome of the request. It must be called before the answer is
// written, because header directives may use the placeholders. Only the first call
// counts.
func (r *record) end(o running.Outcome) {
	if r.isEnded {
		return
	}
	r.outcome, r.isEnded = o, true
	if r.request != nil {
		r.publish(0, false)
	}
}

// endRead is end for a read that the engine answered. The outcome says where the answer
// came from, even if the response is then a 304, 404, 412 or 416.
func (r *record) endRead(a engine.Answer) {
	r.outcome, r.isEnded = readOutcome(a), true
	if r.request != nil {
		r.publish(a.TTL, a.Source == engine.Local)
	}
}

// endBulk records how a bulk request ended. Its end was called when it began.
func (r *record) endBulk(o running.Outcome, lines, failed int) {
	r.outcome = o
	if r.request == nil {
		return
	}
	r.publish(0, false, zap.Int("lines", lines), zap.Int("failed_lines", failed))
}

// publish sets the placeholders and the field of the access log.
func (r *record) publish(ttl time.Duration, isLocal bool, fields ...zap.Field) {
	status := running.OutcomeNames[r.outcome]
	fields = append([]zap.Field{zap.String("status", status)}, fields...)
	ctx := r.request.Context()
	repl, _ := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	set := func(name string, value any) {
		if repl != nil {
			repl.Set("http.redis_proxy."+name, value)
		}
	}
	set("status", status)
	if r.key != "" {
		set("key", r.key)
		fields = append(fields, zap.String("key", r.key))
	}
	if isLocal {
		seconds := hitSeconds(ttl)
		if r.outcome == running.OutcomeStale {
			seconds = int64(ttl / time.Second) // as in Cache-Status
		}
		set("ttl", seconds)
		fields = append(fields, zap.Int64("ttl", seconds))
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.Dict("redis_proxy", fields...))
	}
}

func readOutcome(a engine.Answer) running.Outcome {
	switch {
	case a.StaleIfError:
		return running.OutcomeStale
	case a.Source == engine.Local:
		return running.OutcomeLocal
	case a.Entry == nil:
		return running.OutcomeAbsent
	default:
		return running.OutcomeStore
	}
}

// batchOutcome returns the outcome of a batch read: stale if one answer is stale, else
// store if one came from the store, else local.
func batchOutcome(answers []engine.Answer) running.Outcome {
	worst := running.OutcomeLocal
	for _, a := range answers {
		switch {
		case a.StaleIfError:
			return running.OutcomeStale
		case a.Source == engine.Store:
			worst = running.OutcomeStore
		}
	}
	return worst
}

func writeOutcome(o store.Outcome) running.Outcome {
	switch o {
	case store.Created:
		return running.OutcomeCreated
	case store.Replaced:
		return running.OutcomeReplaced
	case store.Deleted:
		return running.OutcomeDeleted
	case store.Conflict:
		return running.OutcomeConflict
	case store.Absent:
		return running.OutcomeAbsent
	case store.PreconditionFailed:
		return running.OutcomePreconditionFailed
	case store.TooLarge:
		return running.OutcomeTooLarge
	}
	return running.OutcomeFailed
}
