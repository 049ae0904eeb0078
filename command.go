package redisproxy

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/redis-proxy/caddy-redis-proxy/engine"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/command"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

func init() {
	command.Register(command.Settings{
		Caches:   cachesIn,
		Target:   parseTarget,
		SetLimit: setLimit,

		MostPartitions: redisstore.MaxPartitions,
		Default: command.Cache{
			Namespace: defaultNamespace,
			Limits:    store.Limits{MaxKeys: defaultMaxKeys, Eviction: store.Policies[0].Name},
		},
	})
}

// parseTarget reads the setting store, without credentials beside it.
func parseTarget(value string) (*redisstore.Target, error) {
	value, err := resolveSecret(caddy.NewReplacer(), value)
	if err != nil || value == running.Embedded {
		return nil, err
	}
	return redisstore.Parse(value)
}

// setLimit sets one of the limits. The row of its setting says how to parse and check it.
func setLimit(limits *store.Limits, name, value string) error {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return fmt.Errorf("%s is no limit", name)
	}
	of := engine.Settings{Limits: *limits}
	var err error
	switch typ := settings[i].typ.(type) {
	case countSetting:
		err = set(typ.shared(&of), value, parseCount, typ.valid)
	case sizeSetting[int64]:
		err = set(typ.shared(&of), value, parseSize, typ.valid)
	case textSetting:
		*typ.shared(&of) = value
		err = typ.validate(value)
	default:
		err = fmt.Errorf("%s is no limit", name)
	}
	*limits = of.Limits
	return err
}

func set[T any](to *T, value string, parse func(string) (T, error), valid func(T) error) error {
	n, err := parse(value)
	if err != nil {
		return err
	}
	*to = n
	return valid(n)
}

// cachesIn returns the cache of every redis_proxy in a configuration.
func cachesIn(config []byte) ([]command.Cache, error) {
	var tree any
	if err := json.Unmarshal(config, &tree); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var caches []command.Cache
	for module := range objects(tree) {
		if module["handler"] != "redis_proxy" {
			continue
		}
		delete(module, "handler") // which Caddy takes for itself
		settings, err := json.Marshal(module)
		if err != nil {
			return nil, err
		}
		h := new(Handler)
		if err := json.Unmarshal(settings, h); err != nil {
			return nil, fmt.Errorf("reading the settings of redis_proxy: %w", err)
		}
		if err := h.resolve(caddy.NewReplacer()); err != nil {
			return nil, err
		}
		h.setDefaults()
		if err := h.Validate(); err != nil {
			return nil, err
		}
		shared, err := h.sharedSettings()
		if err != nil {
			return nil, err
		}
		caches = append(caches, command.Cache{
			Target:     shared.Target,
			Namespace:  shared.Namespace,
			Partitions: shared.Partitions,
			Limits:     shared.Settings.Limits,
			KeyPrefix:  h.KeyPrefix,
		})
	}
	return caches, nil
}

// objects returns all JSON objects in a tree.
func objects(tree any) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) { visitObjects(tree, yield) }
}

func visitObjects(tree any, visit func(map[string]any) bool) bool {
	switch node := tree.(type) {
	case map[string]any:
		if !visit(node) {
			return false
		}
		for _, name := range slices.Sorted(maps.Keys(node)) {
			if !visitObjects(node[name], visit) {
				return false
			}
		}
	case []any:
		for _, child := range node {
			if !visitObjects(child, visit) {
				return false
			}
		}
	}
	return true
}
