package running

import (
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

// Embedded is the setting `store` of caches whose values live in this process.
const Embedded = "embedded"

// Shared are the settings that all handlers of one identity in a configuration share.
type Shared struct {
	Connection Connection
	Target     *redisstore.Target // nil for the embedded store
	Namespace  string
	Settings   engine.Settings

	// Agreed has these settings under their names. Handlers of one identity must agree
	// in all of them.
	Agreed []Setting
}

// Connection says where the store is, as configured.
type Connection struct{ Store, Username, Password string }

// Setting is a setting that belongs to a cache, not to a handler.
type Setting struct {
	Name     string
	Value    any // comparable
	IsSecret bool
}

// identity identifies a cache: server, database and namespace. It has no credentials, so
// a change of these keeps the cache.
func (s *Shared) identity() string {
	if s.Target == nil {
		return Embedded + " " + s.Namespace
	}
	return s.Target.Identity() + " " + s.Namespace
}

// difference names a setting in which s and t differ; "" if they agree.
func (s *Shared) difference(t *Shared) string {
	for i, a := range s.Agreed {
		if a.Value != t.Agreed[i].Value {
			return a.Name
		}
	}
	return ""
}

// RedactedStore returns the setting `store` without its password.
func (s *Shared) RedactedStore() string {
	if s.Target == nil {
		return s.Connection.Store
	}
	return s.Target.Redacted()
}

// StoreName names the store without credentials.
func (s *Shared) StoreName() string {
	if s.Target == nil {
		return Embedded
	}
	return strings.TrimPrefix(s.Target.Identity(), "tcp:")
}
