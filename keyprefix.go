package redisproxy

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
)

// twoPlaceholders finds the end of a placeholder and the begin of another one in
// one segment of a path.
var twoPlaceholders = regexp.MustCompile(`\}[^/{}]*\{`)

// checkKeyPrefix looks at a key_prefix whose placeholders are not replaced yet.
//
// Of two prefixes made from one template none may begin the other, or one
// tenant could name the keys of another. With a slash at the end, and none in
// what placeholders stand for, both have equally many slashes and end with one.
// With one placeholder at most between two slashes, other values never make the
// same prefix.
func checkKeyPrefix(prefix string) error {
	switch {
	case strings.Count(prefix, "{") != strings.Count(prefix, "}"):
		return fmt.Errorf("%q has a placeholder without its other brace", prefix)
	case hasPlaceholder(prefix) && !strings.HasSuffix(prefix, "/"):
		return fmt.Errorf("%q has a placeholder and must end with a slash, so that no value of it makes the prefix reach into another one's keys", prefix)
	case twoPlaceholders.MatchString(prefix):
		return fmt.Errorf("%q has two placeholders without a slash between them, so that other values of both could make the same prefix", prefix)
	case !utf8.ValidString(prefix):
		return errors.New("must be valid UTF-8")
	case hasControl(prefix):
		return fmt.Errorf("%q must not contain control characters", prefix)
	case hasDotSegment(prefix):
		return fmt.Errorf("%q must not have . or .. segments", prefix)
	}
	return nil
}

// prefixOf returns what key_prefix puts before every key of a request. The
// errors are *statusErrors: a request without its whole prefix must not get to
// see the keys of others.
func (h *Handler) prefixOf(r *http.Request) (string, error) {
	if h.KeyPrefix == "" {
		return "", nil
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	return repl.ReplaceFunc(h.KeyPrefix, func(name string, value any) (any, error) {
		s := caddy.ToString(value)
		switch {
		case s == "":
			return nil, badRequest("the request has nothing to put in the place of {%s}, which key_prefix in the configuration of redis_proxy asks for", name)
		case strings.Contains(s, "/"):
			return nil, badRequest("what stands for {%s}, which key_prefix in the configuration of redis_proxy asks for, must not contain a slash", name)
		}
		return s, nil
	})
}

// checkFullKey says what is wrong with a key, or with it and its prefix.
func (h *Handler) checkFullKey(prefix, key string) error {
	if err := h.checkKey(key); err != nil || prefix == "" {
		return err
	}
	if err := h.checkKey(prefix + key); err != nil {
		return fmt.Errorf("with what key_prefix puts before the key: %w", err)
	}
	return nil
}

// withoutPrefix returns an envelope with the key as the client knows it. The
// escapes of a JSON string are those of its characters, so that the escaped
// prefix begins the escaped key.
func (f *form) withoutPrefix(prefix string) *form {
	short := *f
	cut := quotedLen(prefix) - len(`""`)
	short.body = make([]byte, 0, len(f.body)-cut)
	short.body = append(short.body, f.body[:len(envelopeKey)+1]...)
	short.body = append(short.body, f.body[len(envelopeKey)+1+cut:]...)
	short.length = strconv.Itoa(len(short.body))
	return &short
}
