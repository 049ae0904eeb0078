package httpapi

import (
	"encoding/base64"
	"math"
	"net/http"
	"strconv"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// maxBulkReads bounds the bytes of the values that a bulk request holds between the store
// and its answers. The first value may exceed it alone.
const maxBulkReads = 1 << 20

// bulkTally counts the lines of a bulk request.
type bulkTally struct {
	lines, failed int
	// outcome is OutcomeStreamed, or that of the line which ended the request early.
	outcome running.Outcome
}

// answerAll answers the lines in order.
func (b *bulk) answerAll() {
	defer b.out.close()
	b.tally.outcome = running.OutcomeStreamed
	var answer []byte
	for {
		l := b.window.first(false)
		if l == nil || !l.isReady() {
			b.out.flush() // what is there, before waiting
			if l = b.window.first(true); l == nil {
				return
			}
		}
		var outcome running.Outcome
		answer, outcome = b.answer(answer[:0], l)
		if b.ctx.Err() == nil {
			b.out.add(answer)
		}
		b.window.answered()
		requests := b.config.Cache.Requests
		requests.Add(l.op, outcome, false, requests.Elapsed()-l.began)
		b.tally.lines++
		if l.failure != nil {
			b.tally.failed++
		}
		if l.isLast {
			b.tally.outcome = outcome
		}
	}
}

// isReady reports whether a line can be answered without waiting.
func (l *bulkLine) isReady() bool {
	return l.failure != nil || l.isRead || l.op != running.OpBulkGet && l.pending.IsAnswered()
}

// answer waits for the outcome of a line, and appends the answer.
func (b *bulk) answer(to []byte, l *bulkLine) ([]byte, running.Outcome) {
	if l.isWrite() {
		result, err := l.pending.Wait(b.ctx)
		if err == nil {
			return b.appendResult(to, l, result)
		}
		l.fail(err)
	}
	for l.isGet() && !l.isRead {
		b.readGets()
	}
	if l.isGet() {
		return b.appendGot(to, l)
	}
	return appendProblem(to, l, problem{Status: l.failure.status, Detail: l.failure.Error()}, ""), l.failure.outcome
}

// readGets reads for as many gets as may read now.
func (b *bulk) readGets() {
	gets, keys, held := b.window.ready()
	places := make(map[string]int, len(keys))
	full := make([]string, len(keys))
	for i, key := range keys {
		places[key], full[i] = i, b.x.keyPrefix+key
	}
	room := store.Room{Enough: max(0, maxBulkReads-held), Most: math.MaxInt64}
	answers, err := b.config.Cache.Engine.GetMany(b.ctx, full, engine.Read{NoCache: true}, room)
	read := gets[:0]
	for _, l := range gets {
		place := places[l.key]
		switch {
		case err != nil:
			l.fail(err)
		case place < len(answers):
			l.got = answers[place]
		default:
			continue // there was no room
		}
		read = append(read, l)
	}
	b.window.read(read)
}

// appendResult appends the answer to a write that the store decided.
func (b *bulk) appendResult(to []byte, l *bulkLine, result store.Result) ([]byte, running.Outcome) {
	etag := ETag(result.Version)
	status := 0
	switch result.Outcome {
	case store.Created:
		status = http.StatusCreated
	case store.Replaced:
		status = http.StatusOK
	case store.Deleted:
		status, etag = http.StatusNoContent, ""
	default:
		l.failure = &failure{} // which counts the line
		return appendProblem(to, l, b.writeProblem(result, l.ifMatch), etag), writeOutcome(result.Outcome)
	}
	to = appendStatus(to, l, status)
	to = appendETagField(to, etag)
	return append(to, "}\n"...), writeOutcome(result.Outcome)
}

// appendGot appends the answer to a get.
func (b *bulk) appendGot(to []byte, l *bulkLine) ([]byte, running.Outcome) {
	outcome := readOutcome(l.got)
	if l.got.Entry == nil {
		l.failure = &failure{}
		return appendProblem(to, l, problem{Status: http.StatusNotFound, Detail: b.detailAbsent()}, ""), outcome
	}
	v := l.got.Entry.Prepared.(*representations)
	to = appendStatus(to, l, http.StatusOK)
	if v.plain.isRaw {
		to = append(to, `,"base64":"`...)
		to = base64.StdEncoding.AppendEncode(to, v.raw.body)
		to = append(to, `","content_type":`...)
		to = content.AppendQuoted(to, v.raw.contentType)
	} else {
		to = append(to, v.valueField(b.x.keyPrefix, l.key)...)
	}
	to = appendETagField(to, v.etag)
	return append(to, "}\n"...), outcome
}

// appendStatus appends the beginning of an answer.
func appendStatus(to []byte, l *bulkLine, status int) []byte {
	to = append(to, '{')
	if l.failure != nil {
		to = append(to, `"line":`...)
		to = strconv.AppendInt(to, int64(l.number), 10)
		to = append(to, ',')
	}
	if l.key != "" {
		to = append(to, `"key":`...)
		to = content.AppendQuoted(to, l.key)
		to = append(to, ',')
	}
	to = append(to, `"status":`...)
	return strconv.AppendInt(to, int64(status), 10)
}

func appendETagField(to []byte, etag string) []byte {
	if etag == "" {
		return to
	}
	return content.AppendQuoted(append(to, `,"etag":`...), etag)
}

// appendProblem appends the answer to a line that failed.
func appendProblem(to []byte, l *bulkLine, p problem, etag string) []byte {
	to = appendStatus(to, l, p.Status)
	to = appendETagField(to, etag)
	if p.SameValue != nil {
		to = strconv.AppendBool(append(to, `,"same_value":`...), *p.SameValue)
	}
	detail := p.Detail
	if l.isLast {
		detail += "; this line and those behind it were not carried out"
	}
	to = content.AppendQuoted(append(to, `,"detail":`...), detail)
	if l.isLast {
		to = append(to, `,"ended":true`...)
	}
	return append(to, "}\n"...)
}
