package redisstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// event is the JSON of one message; docs/events.md describes it.
type event struct {
	Version  int      `json:"version"`
	Number   uint64   `json:"number"`
	Tag      string   `json:"tag"`
	Previous string   `json:"previous"`
	Epoch    string   `json:"epoch"`
	Changes  [][3]any `json:"changes"`
}

// EventVersion is the version of events that this package publishes and reads.
const EventVersion = 3

func decodeEvent(payload string) (store.Event, error) {
	if e, ok := cutEvent(payload); ok {
		return e, nil
	}
	return parseEvent(payload)
}

// parseEvent reads an event. Its errors contain nothing of the payload but the version:
// they are logged, and keys must not be.
func parseEvent(payload string) (store.Event, error) {
	var e event
	if json.Unmarshal([]byte(payload), &e) != nil {
		return store.Event{}, fmt.Errorf("decoding an event: %d bytes that are not JSON of the known form", len(payload))
	}
	if e.Version != EventVersion {
		return store.Event{}, fmt.Errorf("decoding an event: version %d, where %d is known; run one version of this module on all nodes, as docs/upgrade.md says", e.Version, EventVersion)
	}
	decoded := store.Event{
		ID:       store.Version{Number: e.Number, Tag: parseTag(e.Tag)},
		Previous: parseVersion(e.Previous),
		Epoch:    e.Epoch,
		Changes:  make([]store.Change, len(e.Changes)),
	}
	for i, c := range e.Changes {
		what, isWhat := c[0].(string)
		key, isKey := c[1].(string)
		number, isNumber := c[2].(float64)
		if !isWhat || !isKey || !isNumber || number < 0 || number > 1<<53 {
			return store.Event{}, fmt.Errorf("decoding an event: change %d of %d has an unknown form", i+1, len(e.Changes))
		}
		decoded.Changes[i] = store.Change{What: what, Key: key, Number: uint64(number)}
	}
	return decoded, nil
}

// parseTag reads the eight digits of a tag, and returns 0 for anything else.
func parseTag(s string) uint32 {
	if len(s) != 8 {
		return 0
	}
	tag, _ := strconv.ParseUint(s, 16, 32)
	return uint32(tag)
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

// cutEvent reads an event fast, if it looks exactly as commit.lua writes it and has no
// escaped characters. A node receives an event for every batch, its own too, and
// encoding/json would take longer than all further work.
func cutEvent(payload string) (e store.Event, ok bool) {
	c := cutter{rest: payload}
	c.literal(`{"version":3,"number":`)
	e.ID.Number = c.number()
	c.literal(`,"tag":`)
	e.ID.Tag = parseTag(c.text())
	c.literal(`,"previous":`)
	e.Previous = parseVersion(c.text())
	c.literal(`,"epoch":`)
	e.Epoch = c.text()
	c.literal(`,"changes":[`)
	e.Changes = make([]store.Change, 0, strings.Count(payload, `["`)) // at most one in a key, whose quotes are escaped
	for separator := "["; !c.failed && c.rest != "]}"; separator = ",[" {
		c.literal(separator)
		what := c.text()
		c.literal(",")
		key := c.text()
		c.literal(",")
		e.Changes = append(e.Changes, store.Change{What: what, Key: key, Number: c.number()})
		c.literal("]")
	}
	return e, !c.failed
}

// cutter reads a text piece by piece, until a piece is not as expected.
type cutter struct {
	rest   string
	failed bool
}

func (c *cutter) literal(s string) {
	var ok bool
	c.rest, ok = strings.CutPrefix(c.rest, s)
	c.failed = c.failed || !ok
}

// text cuts a JSON string without escapes. Only slashes may be escaped, as Redis does.
func (c *cutter) text() string {
	c.literal(`"`)
	quoted, rest, ok := strings.Cut(c.rest, `"`)
	c.rest = rest
	text := strings.ReplaceAll(quoted, `\/`, "/")
	c.failed = c.failed || !ok || !isPlain(text)
	return text
}

// isPlain reports whether a JSON string can have s between its quotes without escapes.
func isPlain(s string) bool {
	isASCII := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '\\' {
			return false
		}
		isASCII = isASCII && s[i] < utf8.RuneSelf
	}
	return isASCII || utf8.ValidString(s)
}

// number cuts a whole number. It must be small enough to be exact in a float.
func (c *cutter) number() uint64 {
	digits := c.rest[:len(c.rest)-len(strings.TrimLeft(c.rest, "0123456789"))]
	c.rest = c.rest[len(digits):]
	n, err := strconv.ParseUint(digits, 10, 53)
	c.failed = c.failed || err != nil || digits[0] == '0' && len(digits) > 1
	return n
}
