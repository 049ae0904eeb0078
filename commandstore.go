package redisproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// storeFlags say which namespace of which Redis a command works on.
type storeFlags struct{ config, adapter, store, namespace string }

func (f *storeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "the configuration whose redis_proxy says where the entries are; default: ./Caddyfile")
	flags.StringVarP(&f.adapter, "adapter", "a", "", "the config adapter, where the name of the file does not tell")
	flags.StringVarP(&f.store, "store", "s", "", "instead of --config: the URL of the Redis; '{env.REDIS_URL}' keeps a password out of the list of processes")
	flags.StringVarP(&f.namespace, "namespace", "n", "", "the namespace; with --config only needed where that has several; default: cache")
}

// found is a namespace in a Redis.
type found struct {
	target    *redisstore.Target
	namespace string
	limits    store.Limits // as configured; may be empty
	keyPrefix string       // that of one of its handlers, if all have one
}

// checkStoredKey says why no request could name a key, whatever max_key_size a
// handler has.
func checkStoredKey(key string) error { return (&Handler{maxKeySize: mostKeySize}).checkKey(key) }

// open returns the store of the namespace. Whether its Redis can be reached is
// found out at once: before anything is written, and in the words of the dialer.
func (f *found) open(ctx context.Context) (*redisstore.Store, error) {
	st := redisstore.New(redisstore.Config{Target: f.target, Namespace: f.namespace, Logger: caddy.Log().Named("redis_proxy")})
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if err := st.Check(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// reachTimeout bounds the first call of a command.
const reachTimeout = 10 * time.Second

// find looks for what the flags name. Its errors are usageErrors.
func (f *storeFlags) find() (found, error) {
	var got found
	var err error
	switch {
	case f.store != "" && (f.config != "" || f.adapter != ""):
		err = errors.New("--config and --store both say where the entries are: give one of them")
	case f.store != "":
		got, err = f.findByURL()
	default:
		got, err = f.findInConfig()
	}
	if err != nil {
		return found{}, usageError{err}
	}
	return got, nil
}

func (f *storeFlags) findByURL() (found, error) {
	target, err := parseStore("--store", f.store)
	if err != nil {
		return found{}, err
	}
	namespace := f.namespace
	setDefaultString(&namespace, defaultNamespace)
	if err := checkNamespace(namespace); err != nil {
		return found{}, fmt.Errorf("--namespace: %w", err)
	}
	return found{target: target, namespace: namespace}, nil
}

// parseStore reads a URL in which placeholders may stand.
func parseStore(flag, url string) (*redisstore.Target, error) {
	url, err := resolveSecret(caddy.NewReplacer(), url)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if url == storeEmbedded {
		return nil, errEmbedded
	}
	target, err := redisstore.Parse(url)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return target, nil
}

var errEmbedded = errors.New("the entries of an embedded store are in the memory of the running Caddy and end with it: only those in a Redis can be exported and imported")

func (f *storeFlags) findInConfig() (found, error) {
	config, _, _, err := caddycmd.LoadConfig(f.config, f.adapter)
	if err != nil {
		return found{}, err
	}
	if config == nil {
		return found{}, errors.New("nothing says where the entries are: give --config, or --store and --namespace")
	}
	handlers, err := handlersIn(config)
	if err != nil {
		return found{}, err
	}
	choice := make(map[string][]*Handler) // by identity
	var embedded bool
	for _, h := range handlers {
		shared, err := h.sharedSettings()
		if err != nil {
			return found{}, err
		}
		if f.namespace != "" && h.Namespace != f.namespace {
			continue
		}
		if shared.target == nil {
			embedded = true
			continue
		}
		name := h.Namespace + " in " + shared.target.Identity()
		choice[name] = append(choice[name], h)
	}
	switch names := slices.Sorted(maps.Keys(choice)); {
	case len(names) > 1:
		return found{}, fmt.Errorf("the configuration has several namespaces (%s): choose with --namespace, or with --store", strings.Join(names, ", "))
	case len(names) == 0 && embedded:
		return found{}, errEmbedded
	case len(names) == 0 && f.namespace != "":
		return found{}, fmt.Errorf("the configuration has no redis_proxy with the namespace %q", f.namespace)
	case len(names) == 0:
		return found{}, errors.New("the configuration has no redis_proxy")
	default:
		chosen := choice[names[0]]
		keyPrefix := chosen[0].KeyPrefix
		if slices.ContainsFunc(chosen, func(h *Handler) bool { return h.KeyPrefix == "" }) {
			keyPrefix = ""
		}
		shared, err := chosen[0].sharedSettings()
		return found{target: shared.target, namespace: shared.namespace, limits: shared.settings.Limits, keyPrefix: keyPrefix}, err
	}
}

// handlersIn finds all redis_proxy handlers in a configuration, wherever they
// stand, and sets their defaults.
func handlersIn(config []byte) ([]*Handler, error) {
	var tree any
	if err := json.Unmarshal(config, &tree); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var handlers []*Handler
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
		handlers = append(handlers, h)
	}
	return handlers, nil
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
