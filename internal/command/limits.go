package command

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

// limitFlags are flags for a namespace that an import creates: its limits, and its
// partitions.
type limitFlags struct {
	settings *Settings
	flags    *pflag.FlagSet
}

// limitSettings are the settings that limitFlags set.
var limitSettings = []string{"max_keys", "max_bytes", "eviction"}

func (f *limitFlags) add(cmd *cobra.Command) {
	f.flags = cmd.Flags()
	f.flags.String("max-keys", "", "with --store: how many keys a new namespace may have")
	f.flags.String("max-bytes", "", "with --store: how many bytes a new namespace may have, such as 1GiB; 0 is no limit")
	f.flags.String("eviction", "", "with --store: the eviction policy of a new namespace")
	f.flags.Int("partitions", 1, "with --store: over how many partitions of a Redis Cluster a new namespace is spread")
}

// check checks the flags that were given, for a cache.
func (f *limitFlags) check(c *Cache) error {
	isOwn := errors.New("--max-keys, --max-bytes, --eviction and --partitions are for --store: the configuration has its own")
	if n, isGiven := f.partitions(); isGiven {
		switch {
		case !c.isByURL():
			return usageError{isOwn}
		case n < 1 || n > f.settings.MostPartitions:
			return usageError{fmt.Errorf("--partitions: %d is not possible; write a number from 1 to %d", n, f.settings.MostPartitions)}
		case n > 1 && !c.Target.IsCluster():
			return usageError{fmt.Errorf("--partitions: %d need a Redis Cluster; write --store redis+cluster://… if it is one", n)}
		}
	}
	for name, flag := range f.given() {
		if !c.isByURL() {
			return usageError{isOwn}
		}
		if err := f.settings.SetLimit(new(store.Limits), name, flag.Value.String()); err != nil {
			return usageError{fmt.Errorf("--%s: %w", flag.Name, err)}
		}
	}
	return nil
}

// partitions returns the flag --partitions, and whether it was given.
func (f *limitFlags) partitions() (n int, isGiven bool) {
	n, _ = f.flags.GetInt("partitions")
	return n, f.flags.Changed("partitions")
}

// given returns the flags of limits that were given, by the names of their settings.
func (f *limitFlags) given() iter.Seq2[string, *pflag.Flag] {
	return func(yield func(string, *pflag.Flag) bool) {
		for _, name := range limitSettings {
			flag := f.flags.Lookup(strings.ReplaceAll(name, "_", "-"))
			if flag.Changed && !yield(name, flag) {
				return
			}
		}
	}
}

// over returns the configured limits, if there are any. Otherwise it returns defaults with
// the flags that were given.
func (f *limitFlags) over(configured, defaults store.Limits) store.Limits {
	if configured != (store.Limits{}) {
		return configured
	}
	for name, flag := range f.given() {
		_ = f.settings.SetLimit(&defaults, name, flag.Value.String()) // check has checked it
	}
	return defaults
}
