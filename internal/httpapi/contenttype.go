package httpapi

import (
	"net/http"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// sentContentType returns the Content-Type of a write. The store keeps it with the value.
func sentContentType(header http.Header) (string, error) {
	lines := header["Content-Type"]
	switch len(lines) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", badRequest("the request has %d Content-Type lines, and a value has one type; send one", len(lines))
	}
	return lines[0], checkContentType("Content-Type", lines[0])
}

// checkContentType checks a content type that the header or the field with the name has.
func checkContentType(name, contentType string) error {
	if err := store.CheckContentType(contentType); err != nil {
		return badRequest("the content type %v", err)
	}
	// A comma outside quotes shows that a proxy has joined several lines.
	if _, second := nextDirective(contentType); second != "" {
		return badRequest("%s has several types, with a comma between them, and a value has one; send one", name)
	}
	return nil
}

// mediaType returns the type and subtype of a Content-Type, in lower case.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// checkMultipart refuses multipart bodies: the store would keep their boundaries with
// the value.
func checkMultipart(media string) error {
	switch media {
	case "multipart/form-data":
		return unsupportedType.because("the body is multipart/form-data (curl -F, or FormData in a browser), whose fields are not read; send the fields as application/x-www-form-urlencoded or as JSON, or the value alone with its own type; ?raw after a key stores the body as it is")
	case "multipart/byteranges":
		return unsupportedType.because("the body is multipart/byteranges, which holds parts of a value, and values are stored as a whole; send the whole value; ?raw after a key stores the body as it is")
	}
	return nil
}

// isEncoded reports whether Content-Encoding lines name any encoding.
func isEncoded(lines []string) bool {
	for _, line := range lines {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return true
			}
		}
	}
	return false
}

// ContentTypeOf returns the content type in answers with the bytes of an entry. It is
// the type that the client sent with them. If another program wrote another kind of
// value or an invalid type, it is application/octet-stream.
func ContentTypeOf(e *store.Entry) string {
	if e.Kind != store.Raw || e.ContentType == "" || store.CheckContentType(e.ContentType) != nil {
		return typeOctetStream
	}
	return e.ContentType
}
