package httpapi

import (
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
)

// parameter is a parameter of a query.
type parameter struct {
	value string
	count int
}

// collectionQuery has the parameters that requests to the collection take.
type collectionQuery struct {
	key, prefix, limit, cursor parameter
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
		default:
			continue
		}
		p.value = value
		p.count++
	}
	return q
}

// serveCollection answers GET and HEAD of the collection: a batch read, or a listing.
func (s *Server) serveCollection(x *exchange) error {
	q := parseCollectionQuery(x.r.URL.RawQuery)
	isListing := q.prefix.count+q.limit.count+q.cursor.count > 0
	switch {
	case q.key.count > 0 && isListing && s.config.Listing:
		return s.fail(x, badRequest("the query has key, for a batch read, and prefix, limit or cursor, for a listing; send one of them"))
	case q.key.count > 0:
		return s.serveBatch(x)
	case s.config.Listing:
		return s.serveListing(x, q)
	case isListing:
		return s.fail(x, badRequest("listing the keys is switched off: `listing` is not in the configuration of redis_proxy"))
	}
	return s.serveBatch(x)
}
