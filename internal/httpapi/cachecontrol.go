package httpapi

import (
	"strconv"
	"strings"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
)

// readOptions parses the Cache-Control lines of a request.
func (s *Server) readOptions(lines []string) engine.Read {
	var read engine.Read
	for _, line := range lines {
		for line != "" {
			var name string
			name, line = nextDirective(line)
			switch {
			case strings.EqualFold(name, "no-cache"):
				read.NoCache = s.config.HonorNoCache
			case strings.EqualFold(name, "only-if-cached"):
				read.LocalOnly = true
			}
		}
	}
	return read
}

// nextDirective cuts the first directive off a Cache-Control line and returns
// its name. A comma within a quoted argument does not end a directive.
func nextDirective(line string) (name, rest string) {
	end, quoted := len(line), false
loop:
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			end = i
			break loop
		}
	}
	if end < len(line) {
		rest = line[end+1:]
	}
	name, _, _ = strings.Cut(line[:end], "=")
	return strings.Trim(name, " \t"), rest
}

const (
	statusHit     = "redis_proxy; hit; ttl="
	statusMiss    = "redis_proxy; fwd=uri-miss"
	statusStale   = "redis_proxy; fwd=stale"
	statusRequest = "redis_proxy; fwd=request"
	statusBatch   = "redis_proxy; fwd=miss"
	paramsOnError = "; detail=stale-if-error"
	paramsStored  = "; stored"
	paramsAbsent  = "; detail=absent"
	tabledHitTTLs = 10 * 60
)

// hitStatus has the Cache-Status of a hit, by the seconds that the entry stays fresh.
var hitStatus = func() (table [tabledHitTTLs + 1]string) {
	for i := range table {
		table[i] = statusHit + strconv.Itoa(i)
	}
	return table
}()

// cacheStatus returns the member of Cache-Status for an answer (RFC 9211).
func cacheStatus(a engine.Answer, read engine.Read) string {
	switch {
	case a.StaleIfError:
		return statusHit + strconv.FormatInt(int64(a.TTL/time.Second), 10) + paramsOnError
	case a.Source == engine.Local:
		return hitCacheStatus(a.TTL)
	case read.NoCache:
		return forwardStatus(a, statusRequest, statusRequest+paramsStored, statusRequest+paramsAbsent)
	case a.WasStale:
		return forwardStatus(a, statusStale, statusStale+paramsStored, statusStale+paramsAbsent)
	default:
		return forwardStatus(a, statusMiss, statusMiss+paramsStored, statusMiss+paramsAbsent)
	}
}

func forwardStatus(a engine.Answer, plain, stored, absent string) string {
	switch {
	case a.Entry == nil:
		return absent
	case a.Stored:
		return stored
	default:
		return plain
	}
}

// hitCacheStatus rounds the ttl up: a fresh entry never shows 0, and an entry that was
// just read shows its whole time.
func hitCacheStatus(ttl time.Duration) string {
	seconds := hitSeconds(ttl)
	if seconds < int64(len(hitStatus)) {
		return hitStatus[seconds]
	}
	return statusHit + strconv.FormatInt(seconds, 10)
}

func hitSeconds(ttl time.Duration) int64 { return int64(max(0, (ttl+time.Second-1)/time.Second)) }
