package redisstore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// reader takes the reply of a script apart, one element after another, and
// keeps the first error.
type reader struct {
	reply []any
	next  int
	err   error
}

func (r *reader) element() any {
	if r.next >= len(r.reply) {
		r.fail("an element more")
		return nil
	}
	r.next++
	return r.reply[r.next-1]
}

func (r *reader) fail(expected string) {
	if r.err == nil {
		r.err = fmt.Errorf("unexpected reply of a script: expected %s at element %d", expected, r.next)
	}
}

// failure returns the first error in the terms of a store.
func (r *reader) failure() error {
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, r.err)
}

func (r *reader) int() int64 {
	n, ok := r.element().(int64)
	if !ok {
		r.fail("a number")
	}
	return n
}

func (r *reader) string() string {
	s, ok := r.element().(string)
	if !ok {
		r.fail("a string")
	}
	return s
}

// optional returns false for a nil element.
func (r *reader) optional() (string, bool) {
	e := r.element()
	if e == nil {
		return "", false
	}
	s, ok := e.(string)
	if !ok {
		r.fail("a string or nil")
	}
	return s, ok
}

func (r *reader) strings() []string {
	list, ok := r.element().([]any)
	if !ok {
		r.fail("a list")
	}
	inner := reader{reply: list}
	s := make([]string, len(list))
	for i := range s {
		s[i] = inner.string()
	}
	if r.err == nil {
		r.err = inner.err
	}
	return s
}

// decodeEntry makes an entry of a value and its meta, which has the form that
// entry.lua describes. Under a meta of any other form, which somebody else
// wrote, the value is raw bytes without a version. A content type that cannot
// stand in headers and JSON is as good as none.
func decodeEntry(value, meta string) *store.Entry {
	e := &store.Entry{Value: store.Value{Data: []byte(value), Kind: store.Raw}}
	fields := strings.SplitN(meta, " ", 5)
	if len(fields) != 5 || len(fields[2]) != 8 || len(fields[3]) != 1 {
		return e
	}
	version := parseVersion(fields[1] + fields[2])
	_, err := strconv.ParseUint(fields[0], 16, 64) // the insertion number
	if version.Number == 0 || err != nil || len(fields[0]) > 16 {
		return e
	}
	switch kind := store.Kind(fields[3][0]); kind {
	case store.Raw, store.String, store.JSON:
		e.Kind, e.Version = kind, version
		if store.CheckContentType(fields[4]) == nil {
			e.ContentType = fields[4]
		}
	}
	return e
}
