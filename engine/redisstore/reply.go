package redisstore

import (
	"fmt"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// reader reads the reply of a script, one element after another, and keeps the first
// error.
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

// more reports whether there is another element.
func (r *reader) more() bool { return r.next < len(r.reply) }

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

func (r *reader) list() []any {
	list, ok := r.element().([]any)
	if !ok {
		r.fail("a list")
	}
	return list
}

func (r *reader) strings() []string {
	inner := reader{reply: r.list()}
	s := make([]string, len(inner.reply))
	for i := range s {
		s[i] = inner.string()
	}
	if r.err == nil {
		r.err = inner.err
	}
	return s
}
