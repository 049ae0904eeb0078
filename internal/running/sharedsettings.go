package running

import (
	"strings"

	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

// Embedded is the setting `store` of caches whose values live in this process.
const Embedded = "embedded"

// SharedSettings are the settings that all handlers of one identity in a configuration
// share.
type SharedSettings struct {
	Connection Connection
	Target     *redisstore.Target // nil for the embedded store
	Namespace  string
	Partitions int // at least 1
	Settings   engine.Settings

	// Named has these settings under their names. Handlers of one identity must agree
	// in all of them.
	Named []Setting
}

// Connection says where the store is, as configured.
type Connection struct{ Store, Username, Password string }

// Setting is a setting that belongs to a cache, not to a handler.
type Setting struct {
	Name  string
	Value any // comparable
	// OfConnection says that no view shows the value. RedactedStore is shown in its place.
	OfConnection bool
}

// identity identifies a cache: server, database and namespace. It has no credentials, so
// a change of these keeps the cache.
func (s *SharedSettings) identity() string {
	if s.Target == nil {
		return Embedded + " " + s.Namespace
	}
	return s.Target.Identity() + " " + s.Namespace
}

// connectsLike reports whether connections of s and t are made alike. Files of certificates
// may have other content under the same names.
func (s *SharedSettings) connectsLike(t *SharedSettings) bool {
	return s.Connection == t.Connection && (s.Target == nil || s.Target.HasTLSOf(t.Target))
}

// difference returns the name of a setting in which s and t differ, or "".
func (s *SharedSettings) difference(t *SharedSettings) string {
	for i, a := range s.Named {
		if a.Value != t.Named[i].Value {
			return a.Name
		}
	}
	return ""
}

// RedactedStore returns the setting `store` without its password.
func (s *SharedSettings) RedactedStore() string {
	if s.Target == nil {
		return s.Connection.Store
	}
	return s.Target.Redacted()
}

// StoreName names the store without credentials.
func (s *SharedSettings) StoreName() string {
	if s.Target == nil {
		return Embedded
	}
	return strings.TrimPrefix(s.Target.Identity(), "tcp:")
}

// withNames returns a logger whose lines tell which of several caches they are about.
func (s *SharedSettings) withNames(logger *zap.Logger) *zap.Logger {
	return logger.With(zap.String("namespace", s.Namespace), zap.String("store", s.StoreName()))
}
