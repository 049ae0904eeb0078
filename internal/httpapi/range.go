package httpapi

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"
)

// serveRange answers a part of a value. The preconditions are already checked, so
// http.ServeContent gets only the range headers.
func (s *Server) serveRange(x *exchange, v *representations, body *representation, status string, life time.Duration) error {
	s.setHeaders(x.w.Header(), v, body, status, false)
	if life > 0 {
		setLife(x.w.Header(), life)
	}
	x.w.Header().Set("Accept-Ranges", "bytes") // also if the range is not satisfiable
	part := &http.Request{Method: http.MethodGet, Header: http.Header{
		"Range":    {withoutEmptySuffixes(x.r.Header["Range"][0])},
		"If-Range": x.r.Header["If-Range"],
	}}
	to := &rangeWriter{ResponseWriter: x.w}
	http.ServeContent(to, part, "", time.Time{}, bytes.NewReader(body.body))
	if !to.unsatisfiable {
		return nil
	}
	x.w.Header().Del("Content-Security-Policy")
	// http.ServeContent does not set it if it cannot parse the range.
	x.w.Header().Set("Content-Range", "bytes */"+body.length)
	return s.answerProblem(x, problem{
		Status: http.StatusRequestedRangeNotSatisfiable,
		Detail: "the value has " + body.length + " bytes, and none of them is in the range",
	})
}

// hasByteRange reports whether a request asks for a range of bytes. Other units are
// ignored (RFC 9110, section 14.2). Several If-Range lines do not tell which version the
// client has a part of; the whole value is then never wrong.
func hasByteRange(header http.Header) bool {
	lines := header["Range"]
	return len(lines) == 1 && len(lines[0]) > 6 && strings.EqualFold(lines[0][:6], "bytes=") && len(header["If-Range"]) <= 1
}

// withoutEmptySuffixes removes the ranges of the last 0 bytes. http.ServeContent would
// answer them with a range that ends before it begins. If no range is left, the result
// is one that http.ServeContent calls unsatisfiable.
func withoutEmptySuffixes(ranges string) string {
	parts := strings.Split(ranges[len("bytes="):], ",")
	parts = slices.DeleteFunc(parts, func(part string) bool {
		digits, isSuffix := strings.CutPrefix(strings.TrimSpace(part), "-")
		return isSuffix && digits != "" && strings.Trim(digits, "0") == ""
	})
	if len(parts) == 0 {
		return "bytes=none"
	}
	return "bytes=" + strings.Join(parts, ",")
}

// rangeWriter keeps http.ServeContent from answering an error in its own words.
type rangeWriter struct {
	http.ResponseWriter
	unsatisfiable bool
}

func (w *rangeWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		w.unsatisfiable = true
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *rangeWriter) Write(b []byte) (int, error) {
	if w.unsatisfiable {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}
