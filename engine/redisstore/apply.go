package redisstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// The shape of apply.lua's ARGV: so many before the writes, and so many a
// write.
const (
	applyHead   = 8
	applyStride = 6
)

// Apply implements store.Store.
func (s *Store) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	w := s.writers.take()
	defer s.writers.put(w)
	tag := rand.Uint32()
	reply, err := s.call(ctx, applyScript, w, s.applyArgs(b, tag))
	if err != nil {
		return store.Applied{}, fmt.Errorf("applying %d writes: %w", len(b.Writes), err)
	}
	applied, err := s.readApplied(reply, w, len(b.Writes))
	if err != nil {
		return store.Applied{}, fmt.Errorf("%w: reading the answer to a batch: %w", store.ErrFateUnknown, err)
	}
	return applied, nil
}

func (s *Store) applyArgs(b store.Batch, tag uint32) []any {
	args := make([]any, applyHead, applyHead+applyStride*len(b.Writes))
	copy(args[2:], []any{store.Version{Tag: tag}.String()[1:], s.keys.events(), b.Limits.MaxKeys, b.Limits.MaxBytes, b.Limits.Eviction, b.SetLimits})
	for i := range b.Writes {
		w := &b.Writes[i]
		// Strings by pointer: an interface then holds them without an allocation.
		args = append(args, opArg(w), &w.Key, w.Value.Data, attrsArg(w), (*string)(&w.IfMatch), (*string)(&w.IfNoneMatch))
	}
	return args
}

var (
	createOp, putOp, deleteOp       = string(store.Create), string(store.Put), string(store.Delete)
	noAttrs, stringAttrs, jsonAttrs = "", string(store.String) + " ", string(store.JSON) + " "
)

func opArg(w *store.Write) any {
	switch w.Op {
	case store.Create:
		return &createOp
	case store.Put:
		return &putOp
	case store.Delete:
		return &deleteOp
	default:
		return string(w.Op) + strconv.FormatFloat(w.Relative(), 'f', -1, 64)
	}
}

// attrsArg is what meta says of a value beside its numbers.
func attrsArg(w *store.Write) any {
	switch {
	case w.Op == store.Delete:
		return &noAttrs
	case w.Value.ContentType == "" && w.Value.Kind == store.String:
		return &stringAttrs
	case w.Value.ContentType == "" && w.Value.Kind == store.JSON:
		return &jsonAttrs
	default:
		return string(w.Value.Kind) + " " + w.Value.ContentType
	}
}

func (s *Store) readApplied(reply []any, w *writer, writes int) (store.Applied, error) {
	r := reader{reply: reply}
	a := store.Applied{Number: uint64(r.int()), Epoch: r.string(), LastEvent: parseVersion(r.string()), Keys: int(r.int()), Bytes: r.int()}
	unfinished := r.int()
	a.Over, a.Converting = unfinished&1 != 0, unfinished&2 != 0
	mended := r.int()
	a.Limits = store.Limits{MaxKeys: int(r.int()), MaxBytes: r.int(), Eviction: r.string()}
	answers := r.string()
	a.Evicted = r.strings()
	a.EvictedUnread = int(r.int())
	unpublished := r.string()
	recorded := r.int() == 1
	w.recorded = recorded || w.recorded
	if recorded {
		s.written()
	}
	if r.err != nil {
		return a, r.err
	}
	a.Results = make([]store.Result, 0, writes)
	changed := false
	for answer := range strings.Lines(answers) {
		result, err := readResult(strings.TrimSuffix(answer, "\n"))
		if err != nil {
			return a, err
		}
		changed = s.judge(&result) || changed
		a.Results = append(a.Results, result)
	}
	if len(a.Results) != writes {
		return a, fmt.Errorf("%d answers to %d writes", len(a.Results), writes)
	}
	if mended > 0 {
		s.mended.Add(uint64(mended))
		s.logger.Warn("what Redis has of this namespace disagreed and was repaired: does somebody else write to its values, meta, ranks or state, or does Redis evict?",
			zap.Int64("repaired", mended))
	}
	if changed || unpublished != "" {
		s.published(unpublished)
	}
	return a, nil
}

var outcomes = map[string]store.Outcome{
	"created": store.Created, "replaced": store.Replaced, "deleted": store.Deleted,
	"conflict": store.Conflict, "absent": store.Absent, "failed": store.PreconditionFailed,
	"large": store.TooLarge, "refused": store.Refused, "slow": store.TooMuchAtOnce,
}

// readResult reads an answer of apply.lua: an outcome, mostly with a version.
func readResult(answer string) (store.Result, error) {
	name, rest, _ := strings.Cut(answer, " ")
	r := store.Result{Outcome: outcomes[name]}
	switch r.Outcome {
	case 0:
		return r, fmt.Errorf("unknown outcome %q", name)
	case store.Refused:
		r.Reason = rest
		return r, nil
	}
	version, same, _ := strings.Cut(rest, " ")
	r.SameValue = same != ""
	r.Version = parseVersion(version)
	return r, nil
}

// parseVersion reads Version.String, and returns the zero Version for
// anything else.
func parseVersion(s string) store.Version {
	if len(s) <= 8 {
		return store.Version{}
	}
	number, err := strconv.ParseUint(s[:len(s)-8], 16, 64)
	tag, tagErr := strconv.ParseUint(s[len(s)-8:], 16, 32)
	if err != nil || tagErr != nil {
		return store.Version{}
	}
	return store.Version{Number: number, Tag: uint32(tag)}
}
