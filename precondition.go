package redisproxy

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// ifMatch returns the versions that If-Match names. It compares strongly
// (RFC 9110, section 13.1.1): a weak tag matches nothing.
func ifMatch(header http.Header) (store.VersionSet, error) {
	return versions(header, "If-Match", false)
}

// ifNoneMatch returns the versions that If-None-Match names, weak or not
// (RFC 9110, section 13.1.2).
func ifNoneMatch(header http.Header) (store.VersionSet, error) {
	return versions(header, "If-None-Match", true)
}

func versions(header http.Header, name string, weakMatches bool) (store.VersionSet, error) {
	lines := header[name]
	if lines == nil {
		return "", nil
	}
	list := strings.Join(lines, ",")
	if strings.Trim(list, " \t") == "*" {
		return store.AnyVersion, nil
	}
	broken := fmt.Errorf(`%s is neither * nor a list of ETags such as "1a2b3c"`, name)
	var tags []string
	members := 0
	for {
		list = strings.TrimLeft(list, " \t,")
		if list == "" {
			break
		}
		member, isWeak := strings.CutPrefix(list, "W/")
		tag, rest, ok := cutTag(member)
		if !ok {
			return "", broken
		}
		members++
		if weakMatches || !isWeak {
			tags = append(tags, plainTag(tag))
		}
		list = rest
	}
	if members == 0 {
		return "", broken
	}
	return store.NewVersionSet(tags...), nil
}

// cutTag cuts an opaque tag off a list, without its quotes, and what separates
// it from the next.
func cutTag(list string) (tag, rest string, ok bool) {
	list, ok = strings.CutPrefix(list, `"`)
	if !ok {
		return "", "", false
	}
	tag, rest, ok = strings.Cut(list, `"`)
	if !ok || strings.ContainsFunc(tag, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return "", "", false
	}
	rest = strings.TrimLeft(rest, " \t")
	return tag, rest, rest == "" || rest[0] == ','
}

// plainTag takes away what Caddy's encode directive adds to the tags of answers
// that it compresses; of requests it mends only If-None-Match.
func plainTag(tag string) string {
	for _, encoding := range [...]string{"-gzip", "-zstd", "-br"} {
		if plain, ok := strings.CutSuffix(tag, encoding); ok {
			return plain
		}
	}
	return tag
}
