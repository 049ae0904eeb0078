package redisproxy

import (
	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
)

// shared is what all handlers of one identity in one configuration have in
// common.
type shared struct {
	connection connection
	target     *redisstore.Target // nil for the embedded store
	namespace  string
	settings   engine.Settings

	// agreed has the same as the configuration names it. Handlers of one
	// identity must agree in all of it.
	agreed []agreedSetting
}

// agreedSetting is a setting that belongs to an engine, not to each handler.
type agreedSetting struct {
	name     string
	value    any // comparable
	isSecret bool
}

func (h *Handler) sharedSettings() (shared, error) {
	s := shared{connection: h.connection(), namespace: h.Namespace}
	for _, setting := range settings {
		if value := setting.kind.share(h, &s.settings); value != nil {
			_, isSecret := setting.kind.(secretSetting)
			s.agreed = append(s.agreed, agreedSetting{setting.name, value, isSecret})
		}
	}
	var err error
	if s.target, err = s.connection.target(); err != nil {
		return shared{}, err
	}
	return s, nil
}

// identity tells engines apart: server, database and namespace. Credentials
// are no part of it, so that changing them keeps the engine.
func (s *shared) identity() string {
	if s.target == nil {
		return storeEmbedded + " " + s.namespace
	}
	return s.target.Identity() + " " + s.namespace
}

// difference names a setting in which s and t differ, or is empty.
func (s *shared) difference(t *shared) string {
	for i, a := range s.agreed {
		if a.value != t.agreed[i].value {
			return a.name
		}
	}
	return ""
}
