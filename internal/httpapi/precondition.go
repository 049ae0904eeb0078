package httpapi

import (
	"iter"
	"net/http"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// ifMatch returns the versions in If-Match. The comparison is strong: a weak tag matches
// nothing (RFC 9110, section 13.1.1).
func ifMatch(header http.Header) (store.VersionSet, error) {
	return versions("If-Match", header["If-Match"], false)
}

// detailWeakMatch is for an If-Match that failed and has a weak tag. Mostly it is the
// tag of the entry, which a proxy has made weak.
const detailWeakMatch = `a weak ETag (W/"…") never matches If-Match; send the ETag in this answer, without W/`

// failsWeakly reports whether the lines of an If-Match do not match v and have a weak tag.
func failsWeakly(lines []string, v store.Version) bool {
	if set, err := versions("If-Match", lines, false); err != nil || set.Has(v) {
		return false
	}
	for _, isWeak := range tags(lines) {
		if isWeak {
			return true
		}
	}
	return false
}

// ifNoneMatch returns the versions in If-None-Match. The comparison is weak (RFC 9110,
// section 13.1.2).
func ifNoneMatch(header http.Header) (store.VersionSet, error) {
	return versions("If-None-Match", header["If-None-Match"], true)
}

// versions returns the versions in the lines of a condition. Its name is for errors.
func versions(name string, lines []string, weakMatches bool) (store.VersionSet, error) {
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

// brokenTag is the last tag that tags yields if the list is not valid. No real tag
// contains a quote.
const brokenTag = `"`

// tags yields the tags in the lines of a header, without their quotes, and whether each
// is weak.
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

// cutTag returns the opaque tag at the beginning of a list, without its quotes. The rest
// of the list is empty or begins with a comma.
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

// plainTag removes the suffix that Caddy's encode directive adds to the tags of answers
// that it compresses. The directive itself removes it only in If-None-Match.
func plainTag(tag string) string {
	for _, encoding := range [...]string{"-gzip", "-zstd", "-br"} {
		if plain, ok := strings.CutSuffix(tag, encoding); ok {
			return plain
		}
	}
	return tag
}
