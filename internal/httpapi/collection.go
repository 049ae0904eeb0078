package httpapi

import (
	"slices"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
)

// parameter is a parameter of a query.
type parameter struct {
	value string
	count int
}

// collectionQuery has the parameters that requests to the collection take.
type collectionQuery struct {
	key, prefix, limit, cursor, watch parameter
	// misspelt is a name that is one of these, but for its case.
	misspelt string
}

func parseCollectionQuery(query string) (q collectionQuery) {
	for name, value := range content.FormFields(query) {
		var p *parameter
		switch name {
		case "key":
			p = &q.key
		case "prefix":
			p = &q.prefix
		case "limit":
			p = &q.limit
		case "cursor":
			p = &q.cursor
		case "watch":
			p = &q.watch
		default:
			if slices.Contains([]string{"key", "prefix", "limit", "cursor", "watch"}, strings.ToLower(name)) {
				q.misspelt = name
			}
			continue
		}
		p.value = value
		p.count++
	}
	return q
}

// check refuses parameters that would not do what their names say.
func (q *collectionQuery) check(query string) error {
	if q.misspelt != "" {
		return badRequest("the query has the parameter %q; parameters are case-sensitive, write it %s", q.misspelt, strings.ToLower(q.misspelt))
	}
	return checkReadQuery(query)
}

// serveCollection answers GET and HEAD of the collection: a batch read, a listing, or a watch.
func (s *Server) serveCollection(x *exchange) error {
	q := parseCollectionQuery(x.r.URL.RawQuery)
	if err := q.check(x.r.URL.RawQuery); err != nil {
		return s.fail(x, err)
	}
	isListing := q.prefix.count+q.limit.count+q.cursor.count > 0
	switch {
	case q.watch.count > 0:
		return s.serveWatch(x, q)
	case q.key.count > 0 && isListing && s.config.Listing:
		return s.fail(x, badRequest("the query has key, for a batch read, and prefix, limit or cursor, for a listing; send one of them"))
	case q.key.count > 0:
		return s.serveBatch(x)
	case s.config.Listing:
		return s.serveListing(x, q)
	case isListing:
		return s.fail(x, badRequest(listingIsOff))
	}
	return s.serveBatch(x)
}

const listingIsOff = "listing the keys is switched off: `listing` is not in the configuration of redis_proxy"

// nothingAsked is the error for a batch read without a key. It names all that a GET of the
// collection can be.
func (s *Server) nothingAsked() error {
	detail := "the query names no key" + s.batchHint()
	if s.watching != nil {
		detail += ", or send ?watch for a stream of changes"
	}
	return badRequest("%s; %s", detail, listingIsOff)
}
