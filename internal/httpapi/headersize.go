package httpapi

import (
	"cmp"
	"context"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

const (
	// defaultMaxHeaderSize is Caddy's max_header_size.
	defaultMaxHeaderSize = 16 << 10
	// http1Slack is how many more bytes net/http reads, on HTTP/1 only.
	http1Slack = 4 << 10
	// otherHeaders is an estimate of the bytes of a request without its path.
	otherHeaders = 1 << 10
)

// WarnOfLongKeys warns if a path with a key of max_key_size does not fit into the
// server's limit for the request line and headers. The server answers such a request
// with 431, before any handler runs.
func (s *Server) WarnOfLongKeys(ctx context.Context) {
	limit := defaultMaxHeaderSize
	// The context holds the server while Caddy provisions it.
	server, isKnown := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if isKnown {
		limit = cmp.Or(server.MaxHeaderBytes, limit)
	}
	inPath := s.config.MaxKeySize - len(placeholder.ReplaceAllString(s.config.KeyPrefix, ""))
	// A byte that has to be percent-encoded takes three.
	needed := len(s.pathPrefix) + 3*inPath + otherHeaders
	if needed <= limit {
		return
	}
	message := "max_key_size: percent-encoded keys of that size do not fit into a request line, and get 431; "
	if inPath > limit+http1Slack {
		message = "max_key_size: keys of that size do not fit into a request line, and get 431; "
	}
	message += "raise max_header_size in the global option servers, or lower max_key_size"
	if !isKnown {
		message += " (max_header_size is not known here, and taken to be the default)"
	}
	s.config.Logger.Warn(message, zap.Int("max_key_size", s.config.MaxKeySize), zap.Int("max_header_size", limit), zap.Int("needed", needed))
}
