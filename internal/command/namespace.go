package command

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

// storeFlags are flags that choose the namespace and the Redis of a command.
type storeFlags struct{ config, adapter, store, namespace string }

func (f *storeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "use the redis_proxy in this configuration; default: ./Caddyfile")
	flags.StringVarP(&f.adapter, "adapter", "a", "", "the config adapter, as for caddy run")
	flags.StringVarP(&f.store, "store", "s", "", "instead of --config: the URL of Redis; '{env.REDIS_URL}' keeps a password out of the list of processes")
	flags.StringVarP(&f.namespace, "namespace", "n", "", "the namespace; with --config needed only if the configuration has several; with --store the default is cache")
}

// checkStoredKey returns an error for a key that no request can name, whatever
// max_key_size is.
func checkStoredKey(key string) error { return keypath.CheckKey(key, keypath.MaxKeySize) }

// find returns the cache that the flags choose. Its errors are usageErrors.
func (f *storeFlags) find(settings *Settings) (Cache, error) {
	var found Cache
	var err error
	switch {
	case f.store != "" && (f.config != "" || f.adapter != ""):
		err = errors.New("--config and --store cannot be combined; give one of them")
	case f.store != "":
		found, err = f.findByURL(settings)
	default:
		found, err = f.findInConfig(settings)
	}
	if err != nil {
		return Cache{}, usageError{err}
	}
	return found, nil
}

// findByURL returns a cache without limits. Flags and files have those.
func (f *storeFlags) findByURL(settings *Settings) (Cache, error) {
	target, err := settings.parseStore("--store", f.store)
	if err != nil {
		return Cache{}, err
	}
	namespace := cmp.Or(f.namespace, settings.Default.Namespace)
	if err := store.CheckNamespace(namespace); err != nil {
		return Cache{}, fmt.Errorf("--namespace: %w", err)
	}
	return Cache{Target: target, Namespace: namespace}, nil
}

// parseStore reads a flag with the URL of a Redis.
func (s *Settings) parseStore(flag, url string) (*redisstore.Target, error) {
	target, err := s.Target(url)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", flag, err)
	case target == nil:
		return nil, errEmbedded
	}
	return target, nil
}

var errEmbedded = errors.New("the entries of an embedded store are in the memory of the running Caddy and end with it; only entries in a Redis can be exported and imported")

func (f *storeFlags) findInConfig(settings *Settings) (Cache, error) {
	config, _, _, err := caddycmd.LoadConfig(f.config, f.adapter)
	if err != nil {
		return Cache{}, err
	}
	if config == nil {
		return Cache{}, errors.New("nothing says where the entries are; give --config, or --store and --namespace")
	}
	configured, err := settings.Caches(config)
	if err != nil {
		return Cache{}, err
	}
	choice := make(map[string]Cache) // by namespace and server
	var embedded bool
	for _, c := range configured {
		if f.namespace != "" && c.Namespace != f.namespace {
			continue
		}
		if c.Target == nil {
			embedded = true
			continue
		}
		name := c.Namespace + " in " + c.Target.Identity()
		chosen, isThere := choice[name]
		if !isThere {
			chosen = c
		}
		if c.KeyPrefix == "" {
			chosen.KeyPrefix = "" // a handler without a prefix can name all keys
		}
		choice[name] = chosen
	}
	switch names := slices.Sorted(maps.Keys(choice)); {
	case len(names) > 1:
		return Cache{}, fmt.Errorf("the configuration has several namespaces (%s); choose one with --namespace or --store", strings.Join(names, ", "))
	case len(names) == 0 && embedded:
		return Cache{}, errEmbedded
	case len(names) == 0 && f.namespace != "":
		return Cache{}, fmt.Errorf("the configuration has no redis_proxy with the namespace %q", f.namespace)
	case len(names) == 0:
		return Cache{}, errors.New("the configuration has no redis_proxy")
	default:
		return choice[names[0]], nil
	}
}
