package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
)

// ttlParameter is the parameter of a query, and the field of a body, that says how long an
// entry lives: whole seconds, or ttlNone.
const (
	ttlParameter = "ttl"
	ttlNone      = "none"
)

// ttlOf returns how long an entry lives, by the ttl of a request; 0 for ever.
func (s *Server) ttlOf(asked content.TTL) (time.Duration, error) {
	if !asked.IsSet {
		return s.config.DefaultTTL, nil
	}
	most := s.config.MaxTTL
	if most == 0 {
		most = store.MaxTTL
	}
	if asked.Text == ttlNone && s.config.MaxTTL == 0 {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(asked.Text, 10, 64)
	if err == nil && seconds > 0 && seconds <= uint64(most/time.Second) {
		return time.Duration(seconds) * time.Second, nil
	}
	allowed := "a whole number of seconds from 1 to " + strconv.FormatInt(int64(most/time.Second), 10)
	switch {
	case s.config.MaxTTL == 0:
		allowed += ", or none for an entry that does not expire"
	case asked.Text == ttlNone:
		allowed += ": max_ttl in the configuration of redis_proxy lets every entry expire"
	case err == nil && seconds > 0:
		allowed += ", the limit that max_ttl sets"
	}
	text := asked.Text
	if len(text) > 40 {
		text = strings.ToValidUTF8(text[:40], "") + "…"
	}
	return 0, badRequest("the ttl is %s; write %s", text, allowed)
}

// queryTTL returns the ttl in the query of a write.
func queryTTL(r *http.Request) (content.TTL, error) {
	var ttl content.TTL
	if r.URL.RawQuery == "" {
		return ttl, nil
	}
	for name, value := range content.FormFields(r.URL.RawQuery) {
		switch {
		case name == ttlParameter && r.Method == http.MethodDelete:
			return ttl, badRequest("the query has a ttl, and a DELETE stores nothing that could expire; leave it out")
		case name == ttlParameter && ttl.IsSet:
			return ttl, badRequest("the query has the parameter ttl twice; write it once")
		case name == ttlParameter:
			ttl = content.TTL{Text: value, IsSet: true}
			if value == "" {
				ttl.Text = "empty"
			}
		case strings.EqualFold(name, ttlParameter):
			return ttl, badRequest("the query has the parameter %q; parameters are case-sensitive, write it ttl", name)
		}
	}
	return ttl, nil
}

// checkReadQuery refuses a read that asks for a life: it would change nothing.
func checkReadQuery(query string) error {
	if query == "" || query == "raw" {
		return nil
	}
	for name := range content.FormFields(query) {
		if strings.EqualFold(name, ttlParameter) {
			return badRequest("the query has the parameter %s, and a read changes no entry; send it with the write, or leave it out", name)
		}
	}
	return nil
}

// setLife says in an answer when its entry expires, and lets no cache keep it for longer.
func setLife(header http.Header, life time.Duration) {
	header["Expires"] = []string{time.Now().Add(life).UTC().Format(http.TimeFormat)}
	clampAges(header, life)
}

// clampAges lets no cache keep an answer for longer than life.
func clampAges(header http.Header, life time.Duration) {
	for i, line := range header["Cache-Control"] {
		if clamped := clampAge(line, life); clamped != line {
			header["Cache-Control"][i] = clamped
		}
	}
}

// clampAge returns a Cache-Control line that lets nobody use an answer for longer than
// life.
func clampAge(line string, life time.Duration) string {
	const ages, stale = "max-age s-maxage", "stale-while-revalidate stale-if-error"
	left := int64(life / time.Second)
	longest := int64(0)
	for rest := line; rest != ""; {
		var directive string
		directive, rest = cutDirective(rest)
		if _, age, ok := ageIn(directive, ages); ok {
			longest = max(longest, min(age, left))
		}
	}
	var directives []string
	for rest := line; rest != ""; {
		var directive string
		directive, rest = cutDirective(rest)
		if name, age, ok := ageIn(directive, ages); ok && age > left {
			directive = name + "=" + strconv.FormatInt(left, 10)
		} else if name, age, ok := ageIn(directive, stale); ok && age > left-longest {
			directive = name + "=" + strconv.FormatInt(left-longest, 10)
		}
		directives = append(directives, directive)
	}
	return strings.Join(directives, ", ")
}

// ageIn returns name and age of a directive, if its name is one of names. An age that is
// no number is as long as can be.
func ageIn(directive, names string) (name string, age int64, ok bool) {
	name, value, _ := strings.Cut(directive, "=")
	name = strings.ToLower(strings.TrimSpace(name))
	for n := range strings.SplitSeq(names, " ") {
		if n == name {
			age, err := strconv.ParseInt(strings.Trim(value, " \t\""), 10, 64)
			if err != nil || age < 0 {
				age = 1 << 40
			}
			return name, age, true
		}
	}
	return "", 0, false
}

// cutDirective cuts the first directive off a Cache-Control line.
func cutDirective(line string) (directive, rest string) {
	_, rest = nextDirective(line)
	directive = line[:len(line)-len(rest)]
	if rest != "" {
		directive = strings.TrimSuffix(directive, ",")
	}
	return strings.Trim(directive, " \t"), rest
}
