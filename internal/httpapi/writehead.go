package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
)

// partHeaders say that the body of a write is a part of the value, or the first part of
// an upload that will go on later.
var partHeaders = [...]string{"Content-Range", "Upload-Offset", "Tus-Resumable"}

// methodHeaders and methodParameter replace the method of a request on some servers.
var methodHeaders = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

const methodParameter = "_method"

// checkWriteHead refuses a write whose headers or query ask for another write than this
// server would carry out. If it ignored them, nobody would notice the mistake. It does
// not refuse unknown parameters: other handlers and key_prefix may use them.
func checkWriteHead(r *http.Request) error {
	for _, name := range partHeaders {
		if r.Header[name] != nil {
			// RFC 9110, section 14.5, demands 400 for Content-Range.
			return badRequest("%s says that the body is only a part of the value, and values are stored as a whole; send the whole value in one request, without %s", name, name)
		}
	}
	if slices.Contains(r.Header["Upload-Complete"], "?0") || slices.Contains(r.Header["Upload-Incomplete"], "?1") {
		return badRequest("the request says that its body is the beginning of an upload, and uploads cannot be resumed; send the whole value in one request")
	}
	for _, name := range methodHeaders {
		for _, method := range r.Header[name] {
			if err := checkMethod(r, name, method); err != nil {
				return err
			}
		}
	}
	if r.URL.RawQuery == "" {
		return nil
	}
	for name, value := range content.FormFields(r.URL.RawQuery) {
		switch {
		case name == "raw":
		case strings.EqualFold(name, "raw"):
			return badRequest("the query has the parameter %q; parameters are case-sensitive, write it raw", name)
		case name == methodParameter:
			if err := checkMethod(r, "the parameter "+name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkMethod refuses a method that is not the method of the request.
func checkMethod(r *http.Request, where, method string) error {
	if strings.EqualFold(strings.TrimSpace(method), r.Method) {
		return nil
	}
	return badRequest("%s asks for the method %q, but the request is a %s; send it with the method that you mean", where, method, r.Method)
}
