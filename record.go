package redisproxy

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// record is what is noted of one request, to count it and for `placeholders`.
type record struct {
	request *http.Request // nil without placeholders
	key     string        // once it is known to be one
	outcome outcome
	isEnded bool
	noCache bool // read from the store since the client asked for it
}

// end notes how the request is answered, before it is: header directives may
// use the placeholders. Only the first call counts.
func (r *record) end(o outcome) {
	if r.isEnded {
		return
	}
	r.outcome, r.isEnded = o, true
	if r.request != nil {
		r.publish(0, false)
	}
}

// endRead is end for a read that found an entry, or that none is there. It
// counts by where the entry came from, however much of it is then sent: also a
// 304, 412 or 416.
func (r *record) endRead(a engine.Answer) {
	r.outcome, r.isEnded = readOutcome(a), true
	if r.request != nil {
		r.publish(a.TTL, a.Source == engine.Local)
	}
}

// publish sets the placeholders and the field of the access log.
func (r *record) publish(ttl time.Duration, isLocal bool) {
	status := outcomeNames[r.outcome]
	fields := []zap.Field{zap.String("status", status)}
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
		if r.outcome == outcomeStale {
			seconds = int64(ttl / time.Second) // as in Cache-Status
		}
		set("ttl", seconds)
		fields = append(fields, zap.Int64("ttl", seconds))
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.Dict("redis_proxy", fields...))
	}
}

func readOutcome(a engine.Answer) outcome {
	switch {
	case a.StaleIfError:
		return outcomeStale
	case a.Source == engine.Local:
		return outcomeLocal
	case a.Entry == nil:
		return outcomeAbsent
	default:
		return outcomeStore
	}
}

// batchOutcome is that of the answer that was hardest to get.
func batchOutcome(answers []engine.Answer) outcome {
	worst := outcomeLocal
	for _, a := range answers {
		switch {
		case a.StaleIfError:
			return outcomeStale
		case a.Source == engine.Store:
			worst = outcomeStore
		}
	}
	return worst
}

func writeOutcome(o store.Outcome) outcome {
	switch o {
	case store.Created:
		return outcomeCreated
	case store.Replaced:
		return outcomeReplaced
	case store.Deleted:
		return outcomeDeleted
	case store.Conflict:
		return outcomeConflict
	case store.Absent:
		return outcomeAbsent
	case store.PreconditionFailed:
		return outcomePreconditionFailed
	case store.TooLarge:
		return outcomeTooLarge
	}
	return outcomeFailed
}
