package httpapi

import (
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

// readContent reads the body and returns the value and key in it. An error is one for
// fail.
func (s *Server) readContent(x *exchange, room *room) (content.Content, error) {
	raw := x.r.URL.RawQuery != "" && wantsRaw(x.r.URL.RawQuery)
	contentType, err := sentContentType(x.r.Header)
	if err != nil {
		return content.Content{}, err
	}
	if err := checkEncoding(x); err != nil {
		return content.Content{}, err
	}
	media := mediaType(contentType)
	if !raw {
		if err := checkMultipart(media); err != nil {
			return content.Content{}, err
		}
	}
	isFields := media == typeJSON || media == typeForm
	if x.where == keypath.Collection && (raw || !isFields) {
		return content.Content{}, unsupportedType.because("the path names no key, so the body must name one: send application/json with the fields key and value, a form with both, or application/x-ndjson with many operations, one a line; send any other value to " + s.pathPrefix + "/{key}")
	}

	body, err := s.readBody(x.w, x.r, room)
	if err != nil {
		return content.Content{}, err
	}
	switch {
	case raw || !isFields:
		if contentType == "" {
			contentType = typeOctetStream
		}
		return content.Content{Value: store.Value{Data: body, Kind: store.Raw, ContentType: contentType}}, nil
	case media == typeJSON:
		return asBadRequest(content.DecodeJSON(body))
	default:
		return asBadRequest(content.DecodeForm(body, contentType))
	}
}

// checkEncoding refuses a body that is encoded.
func checkEncoding(x *exchange) error {
	if !isEncoded(x.r.Header["Content-Encoding"]) {
		return nil
	}
	x.w.Header().Set("Accept-Encoding", "identity")
	return unsupportedType.because("Content-Encoding is not supported; send the body as it is")
}

func asBadRequest(c content.Content, err error) (content.Content, error) {
	if err != nil {
		err = badRequest("%v", err)
	}
	return c, err
}
