package running

import (
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

// Embedded is the setting `store` of caches whose values live in this process.
const Embedded = "embedded"

// Shared is what all handlers of one identity in one configuration have in common.
type Shared struct {
	Connection Connection
	Target     *redisstore.Target // nil for the embedded store
	Namespace  string
	Settings   engine.Settings

	// Agreed has the same as the configuration names it. Handlers of one identity
	// must agree in all of it.
	Agreed []Setting
}

// Connection says where the store is, as configured.
type Connection struct{ Store, Username, Password string }

// Setting is one that belongs to a cache, not to each handler.
type Setting struct {
	Name     string
	Value    any // comparable
	IsSecret bool
}

// identity tells engines apart: server, database and namespace. Credentials
// are no part of it, so that changing them keeps the engine.
func (s *Shared) identity() string {
	if s.Target == nil {
		return Embedded + " " + s.Namespace
	}
	return s.Target.Identity() + " " + s.Namespace
}

// difference names a setting in which s and t differ, or is empty.
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
