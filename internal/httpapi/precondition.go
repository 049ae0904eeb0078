package httpapi

import (
	"iter"
	"net/http"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// ifMatch returns the versions that If-Match names. It compares strongly
// (RFC 9110, section 13.1.1): a weak tag matches nothing.
func ifMatch(header http.Header) (store.VersionSet, error) {
	return versions(header, "If-Match", false)
}

// detailWeakMatch is for a client whose If-Match failed, and has a weak tag:
// mostly that of the entry, as a proxy on the way changed it.
const detailWeakMatch = `a weak ETag (W/"…") never matches If-Match; send the ETag in this answer, without W/`

// failsWeakly reports whether If-Match does not match v and has a weak tag.
func failsWeakly(header http.Header, v store.Version) bool {
	if set, err := ifMatch(header); err != nil || set.Has(v) {
		return false
	}
	for _, isWeak := range tags(header["If-Match"]) {
		if isWeak {
			return true
		}
	}
	return false
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
	if strings.Trim(strings.Join(lines, ","), " \t") == "*" {
		return store.AnyVersion, nil
	}
	members, isBroken := 0, false
	var matching []string
	for tag, isWeak := range tags(lines) {
		members++
		isBroken = isBroken || tag == brokenTag
		if weakMatches || !isWeak {
			matching = append(matching, plainTag(tag))
		}
	}
	if members == 0 || isBroken {
		return "", badRequest(`%s is neither * nor a list of ETags such as "1a2b3c"`, name)
	}
	return store.NewVersionSet(matching...), nil
}

// brokenTag is what tags ends with where a list is not one. No tag has quotes.
const brokenTag = `"`

// tags returns the tags of a list over several lines, without their quotes, and
// whether they are weak.
func tags(lines []string) iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		list := strings.Join(lines, ",")
		for {
			list = strings.TrimLeft(list, " \t,")
			if list == "" {
				return
			}
			member, isWeak := strings.CutPrefix(list, "W/")
			tag, rest, ok := cutTag(member)
			if !ok {
				tag, rest = brokenTag, ""
			}
			if !yield(tag, isWeak && ok) {
				return
			}
			list = rest
		}
	}
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
