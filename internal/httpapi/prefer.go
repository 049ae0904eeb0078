package httpapi

import (
	"fmt"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// The values of respond_with, and of the preference `return` (RFC 7240, section 4.2).
const (
	RespondMinimal        = "minimal"
	RespondRepresentation = "representation"
)

// CheckRespondWith checks the setting respond_with.
func CheckRespondWith(value string) error {
	if value != RespondMinimal && value != RespondRepresentation {
		return fmt.Errorf("it does not take %q; write %s or %s", value, RespondMinimal, RespondRepresentation)
	}
	return nil
}

// endWrite answers a write that changed the store. The headers of the status must be set.
// If the client or respond_with asks for it, the answer has the entry as GET would answer
// it: the value that this request wrote, not one that came after it.
func (s *Server) endWrite(x *exchange, status int, written store.Value, version store.Version) {
	header := x.w.Header()
	wanted := s.config.RespondWith
	if preferred := preferredReturn(x.r.Header["Prefer"]); preferred != "" {
		wanted = preferred
		header["Preference-Applied"] = []string{"return=" + preferred}
	}
	if wanted != RespondRepresentation {
		x.w.WriteHeader(status)
		return
	}

	prepared, _ := Prepare(x.key, &store.Entry{Value: written, Version: version})
	body := &prepared.(*representations).plain
	set := headerValues{header, make([]string, 0, 5)}
	if location := s.pathOf(x.r).Location(x.key, x.where); location != "" {
		// Without it, a client could not tell an entry from a report about the write
		// (RFC 9110, section 8.7).
		set.set("Content-Location", location)
	}
	set.set("Content-Type", body.contentType)
	set.set("Content-Length", body.length)
	set.set("X-Content-Type-Options", "nosniff")
	if body.mayAct {
		set.set("Content-Security-Policy", policyOfValues)
	}
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body.body)
}

// preferredReturn returns the value of the first preference `return` in the lines of
// Prefer: later ones do not count (RFC 7240, section 2). It returns "" if there is none,
// or one with another value: preferences that are not known are ignored.
func preferredReturn(lines []string) string {
	for _, line := range lines {
		for line != "" {
			name, rest := nextDirective(line)
			_, value, _ := strings.Cut(line[:len(line)-len(rest)], "=")
			line = rest
			if !strings.EqualFold(name, "return") {
				continue
			}
			value, _, _ = strings.Cut(value, ";")
			value = strings.ToLower(strings.Trim(value, ` ,"`+"\t"))
			if CheckRespondWith(value) != nil {
				return ""
			}
			return value
		}
	}
	return ""
}
