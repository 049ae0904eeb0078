// Package httpapi translates between HTTP and the engine: it reads requests and writes
// the answers.
package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// Config has the settings of a handler that concern HTTP.
type Config struct {
	PathPrefix     string // as configured: / for the root
	KeyPrefix      string // may have placeholders
	Methods        Methods
	MaxKeySize     int
	MaxValueSize   int64
	MaxAnswerBytes int64
	BodyTimeout    time.Duration
	CacheControl   string
	DefaultTTL     time.Duration
	MaxTTL         time.Duration
	HonorNoCache   bool
	RespondWith    string // RespondMinimal or RespondRepresentation
	CrossOrigin    *http.CrossOriginProtection
	PassErrors     bool
	Placeholders   bool
	Listing        bool
	Watch          int // the most watchers

	// TrustedOrigins are those that CrossOrigin lets write. Their pages may read the
	// answers, with TrustedCredentials also those to the cookies of their visitors.
	TrustedOrigins     []string
	TrustedCredentials bool

	Logger *zap.Logger
	Cache  *running.Cache
}

// Server answers the requests of one handler.
type Server struct {
	config     Config
	pathPrefix string // PathPrefix, or "" for "/"
	vary       string // request headers that KeyPrefix depends on
	cors       *cors  // nil without TrustedOrigins
	// ofCollection has the methods that the collection can have.
	ofCollection Methods
	stopping     context.Context // ends when bulk requests should
	stop         context.CancelFunc
	watching     *watching // nil if nobody may watch
}

// New returns a server. The configuration must be valid.
func New(c Config) *Server {
	s := &Server{config: c, pathPrefix: strings.TrimSuffix(c.PathPrefix, "/"), vary: varyOf(c.KeyPrefix), cors: newCORS(&c)}
	s.ofCollection = methodGet | methodHead | methodPost
	if c.Listing {
		s.ofCollection |= methodDelete
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	if c.Watch > 0 {
		s.watching = newWatching(c.Watch)
	}
	return s
}

// Locate returns the key that the path of a request names, and where the path lies.
func (s *Server) Locate(r *http.Request) (key string, where keypath.Place) {
	return s.pathOf(r).Locate()
}

// Serve answers a request. The key and the place are those that Locate returned; the
// place must not be keypath.Outside. Caddy answers an error that Serve returns.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, key string, where keypath.Place) error {
	x := exchange{w: w, r: r, where: where, key: key}
	if s.config.Placeholders {
		x.rec.request = r
	}
	counters := s.config.Cache.Requests
	begin := counters.Elapsed()
	err := s.serve(&x)
	if x.op == running.OpOther {
		x.op = operationOf(r.Method, where)
	}
	counters.Add(x.op, x.rec.outcome, x.rec.noCache, counters.Elapsed()-begin)
	if err == errAnswerCut {
		panic(http.ErrAbortHandler) // net/http then cuts the connection or the stream
	}
	return err
}

// pathOf returns the path of a request, as the client sent it and as it arrived here.
func (s *Server) pathOf(r *http.Request) keypath.Request {
	return keypath.Request{Sent: SentURL(r), Current: r.URL, Prefix: s.pathPrefix}
}

// SentURL returns the URL as the client sent it, before other handlers rewrote it.
func SentURL(r *http.Request) *url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL
	}
	return r.URL
}

// serve is Serve without counting.
func (s *Server) serve(x *exchange) error {
	if s.cors != nil {
		s.cors.begin(x.w.Header(), x.r)
	}
	switch x.where {
	case keypath.NearMiss:
		return s.fail(x, nearMiss.because("the path prefix is taken literally; write "+s.config.PathPrefix+" as it is, without repeated slashes, dot segments or escapes"))
	case keypath.Garbled:
		return s.fail(x, garbledPath.because("a rewrite before redis_proxy removed repeated slashes, dot segments or an escaped %, ? or # from the path, so the key as sent is unknown; send a path without them, or let the site pass paths on unchanged"))
	}
	allowed := s.config.Methods
	if x.where == keypath.Collection {
		allowed &= s.ofCollection
	}
	method := methodOf(x.r.Method)
	switch {
	case allowed.has(method):
		if s.vary != "" {
			x.w.Header().Add("Vary", s.vary)
		}
		var err error
		if x.keyPrefix, err = s.keyPrefixOf(x.r); err != nil {
			return s.fail(x, err)
		}
		switch {
		case method == methodDelete && x.where == keypath.Collection:
			return s.serveDeletePrefix(x)
		case method&(methodGet|methodHead) == 0:
			return s.serveWrite(x, method)
		case x.where == keypath.Collection:
			return s.serveCollection(x)
		}
		return s.serveRead(x)
	case x.r.Method == http.MethodOptions:
		x.rec.end(running.OutcomeOptions)
		x.w.Header().Set("Allow", allowed.allow())
		if s.cors != nil {
			s.cors.preflight(x.w.Header(), x.r)
		}
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}

	x.w.Header().Set("Allow", allowed.allow())
	detail := x.r.Method + " is not supported; use a method that Allow lists"
	switch {
	case s.config.Methods.has(method):
		detail = x.r.Method + " needs a key: " + s.pathPrefix + "/{key}"
		if method == methodDelete {
			detail += "; to delete by prefix, switch on `listing` in the configuration of redis_proxy"
		}
	case method != 0:
		detail = x.r.Method + " is switched off: it is not in `methods` in the configuration of redis_proxy"
	}
	return s.fail(x, notAllowed.because(detail))
}
