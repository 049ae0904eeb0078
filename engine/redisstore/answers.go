package redisstore

import (
	"fmt"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// answers are the answers of writes.lua to the writes of a batch, one behind the other.
// Each begins with a letter.
type answers struct {
	rest string
	// version is the version of the last write that changed something, or tried to. Each
	// such write takes the next number.
	version store.Version
}

var outcomes = map[byte]store.Outcome{
	'c': store.Created, 'p': store.Replaced, 'd': store.Deleted, 's': store.TooMuchAtOnce,
	'k': store.Conflict, 'K': store.Conflict, 'f': store.PreconditionFailed,
	'a': store.Absent, 'l': store.TooLarge, 'x': store.Expired, 'r': store.Refused,
}

// next reads an answer and removes it.
func (a *answers) next() (store.Result, error) {
	letter := a.rest[0]
	a.rest = a.rest[1:]
	r := store.Result{Outcome: outcomes[letter], SameValue: letter == 'K'}
	switch r.Outcome {
	case 0:
		return r, fmt.Errorf("unknown answer %q", letter)
	case store.Created, store.Replaced, store.Deleted:
		a.version.Number++
		r.Version = a.version
	case store.TooMuchAtOnce:
		a.version.Number++
	case store.Conflict, store.PreconditionFailed:
		if len(a.rest) < versionSize {
			return r, fmt.Errorf("answer %q without a version", letter)
		}
		r.Version = decodeVersion(a.rest)
		a.rest = a.rest[versionSize:]
	case store.Refused:
		r.Reason, a.rest, _ = strings.Cut(a.rest, "\x00")
	}
	return r, nil
}
