package running

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// pool holds one cache for each identity. So there is one worker, even while an old and a
// new configuration overlap.
var pool = caddy.NewUsagePool()

// Registration is the request of a handler for a cache.
type Registration struct {
	// Configuration identifies the configuration of the handler.
	Configuration any
	Shared        SharedSettings
	Logger        *zap.Logger
}

// registration is the common registration of all handlers of one configuration.
type registration struct {
	Registration
	handlers int
}

// Acquire returns the cache of r's identity, and creates it if there is none. It fails if
// another handler of the same configuration has other settings.
func Acquire(ctx context.Context, r Registration, prepare Prepare) (*Cache, error) {
	identity := r.Shared.identity()
	value, loaded, err := pool.LoadOrNew(identity, func() (caddy.Destructor, error) {
		return newCache(ctx, r, prepare), nil
	})
	if err != nil {
		return nil, err
	}
	c := value.(*Cache)
	if loaded {
		if err := c.register(r); err != nil {
			_, _ = pool.Delete(identity)
			return nil, err
		}
	}
	return c, nil
}

// Release undoes Acquire for one handler of a configuration. The last Release closes the
// engine.
func (c *Cache) Release(configuration any) error {
	c.unregister(configuration)
	_, err := pool.Delete(c.identity)
	return err
}

// Caches returns the running caches, sorted by ID.
func Caches() []*Cache {
	var all []*Cache
	pool.Range(func(_, value any) bool {
		all = append(all, value.(*Cache))
		return true
	})
	slices.SortFunc(all, func(a, b *Cache) int { return cmp.Compare(a.ID(), b.ID()) })
	return all
}

// register counts one more handler of a configuration. Its settings take effect when no
// older registration is left.
func (c *Cache) register(r Registration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.registrations {
		if other.Configuration != r.Configuration {
			continue
		}
		if name := other.Shared.difference(&r.Shared); name != "" {
			return fmt.Errorf("%s differs between handlers that share the namespace %q of one store: "+
				"give them the same value, or another namespace", name, r.Shared.Namespace)
		}
		other.handlers++
		return nil
	}
	if n := c.registrations[0].Shared.Partitions; r.Shared.Partitions != n {
		return fmt.Errorf("partitions: it is %d, and the namespace %q of this store has %d, which never changes: "+
			"leave %d, or export the entries and import them into another namespace with %d (docs/export.md says how)",
			r.Shared.Partitions, r.Shared.Namespace, n, n, r.Shared.Partitions)
	}
	c.registrations = append(c.registrations, &registration{Registration: r, handlers: 1})
	r.warnOfCertificates()
	return nil
}

// warnOfCertificates logs the certificates of files that are not valid now, once for each
// configuration.
func (r *Registration) warnOfCertificates() {
	if r.Shared.Target != nil {
		r.Shared.Target.WarnOfCertificates(r.Shared.withNames(r.Logger))
	}
}

// unregister removes one handler from the count. If that was the last handler of the configuration in
// effect, the next configuration takes effect.
func (c *Cache) unregister(configuration any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.registrations, func(r *registration) bool { return r.Configuration == configuration })
	r := c.registrations[i]
	if r.handlers--; r.handlers > 0 {
		return
	}
	c.registrations = slices.Delete(c.registrations, i, i+1)
	if len(c.registrations) == 0 {
		c.lastShared = r.Shared
	}
	if i > 0 || len(c.registrations) == 0 {
		return
	}
	next := c.registrations[0]
	c.log.handOver(next.Logger)
	if !next.Shared.connectsLike(&r.Shared) {
		c.redis.SetTarget(next.Shared.Target)
	}
	c.Engine.Configure(next.Shared.Settings)
	c.Bodies.Configure(next.Shared.Settings.MaxQueueBytes)
}

// SharedSettings returns the settings in effect. While the engine is being closed, these
// are the last ones.
func (c *Cache) SharedSettings() SharedSettings {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.registrations) == 0 {
		return c.lastShared
	}
	return c.registrations[0].Shared
}
