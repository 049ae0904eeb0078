package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func importCommand(settings *Settings) *cobra.Command {
	var to storeFlags
	limits := limitFlags{settings: settings}
	var input, from, keyPrefix string
	var original, partial, quiet bool
	cmd := newCommand("import", "Restores the entries of a file, or of the original, into a namespace", `
Restores the entries of an export with their places in the eviction order. It
reads the whole file before it changes anything. Keys that exist keep their
values and are counted. So an interrupted import can simply be run again. If
there is no room for all entries, the most valued ones remain.

With --original, the entries come from the Redis of the Python stack that
redis_proxy replaces: LRU-STORE and LRU-KEYS. Both stay as they are.

Keys stay as they are. Keys of an export already begin with the text of
key_prefix. --key-prefix puts a text before each key, for keys of the original or
of a file from elsewhere.

Limits are used only for a namespace that does not exist yet. With --config they
are those of the configuration. With --store they are those of the flags, and of
the file for flags that are not given. The same holds for partitions; with --store
the default is 1, whatever the file has.

  caddy redis-proxy import --config Caddyfile --input cache.jsonl
  caddy redis-proxy import --config Caddyfile --original --from redis://old:6379/0`,
		func(ctx context.Context, cmd *cobra.Command) error {
			if quiet {
				logWarningsOnly()
			}
			found, err := to.find(settings)
			if err != nil {
				return err
			}
			if err := limits.check(&found); err != nil {
				return err
			}
			if n, isGiven := limits.partitions(); isGiven {
				found.Partitions = n
			}
			i := importing{to: found, limits: &limits, keyPrefix: keyPrefix, progress: newProgress(cmd.ErrOrStderr(), quiet)}
			switch {
			case original && (cmd.Flags().Changed("input") || partial):
				return usageError{errors.New("--original reads from Redis, and --input and --partial are for a file; give one or the other")}
			case original && found.KeyPrefix != "" && !cmd.Flags().Changed("key-prefix"):
				return usageError{fmt.Errorf("redis_proxy puts %s before every key (key_prefix); give the text for the keys of the original with --key-prefix", found.KeyPrefix)}
			case original:
				return i.original(ctx, from)
			case from != "":
				return usageError{errors.New("--from is the URL of the original, and needs --original")}
			}
			return i.file(ctx, input, partial, cmd.InOrStdin())
		})
	to.add(cmd)
	limits.add(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&input, "input", "i", "-", "the file to read; - is the standard input")
	flags.BoolVar(&partial, "partial", false, "import the entries of a file that was cut off")
	flags.BoolVar(&original, "original", false, "read LRU-STORE and LRU-KEYS from a Redis")
	flags.StringVar(&keyPrefix, "key-prefix", "", "put this text before each key, as key_prefix does")
	flags.StringVar(&from, "from", "", "with --original: the URL of that Redis, as in --store; default: the same Redis")
	flags.BoolVarP(&quiet, "quiet", "q", false, "show no progress, and log warnings only")
	return cmd
}

// importing is one run of the import command.
type importing struct {
	to        Cache
	limits    *limitFlags
	keyPrefix string
	progress  *progress
}

// file imports an export.
func (i *importing) file(ctx context.Context, input string, partial bool, stdin io.Reader) error {
	var contents *dump.File // it stays open until the process ends
	err := unlessInterrupted(ctx, func() error {
		file, size, err := openInput(input, stdin)
		if err != nil {
			return err
		}
		contents, err = dump.Open(file, size, checkPrefixed(i.keyPrefix))
		return err
	})
	if err != nil {
		return err
	}
	if !contents.Contents.IsWhole && !partial {
		return fmt.Errorf("%w: `export --resume` completes it; --partial imports the %d entries that it has", dump.ErrCutOff, contents.Contents.Entries)
	}
	limits := i.limits.over(i.to.Limits, contents.Limits())
	if err := store.CheckPolicy(limits.Eviction); err != nil {
		return usageError{err}
	}
	partitions, isNew, err := i.to.open(ctx)
	if err != nil {
		return err
	}
	defer partitions.Close()
	into, err := i.into(ctx, partitions, limits, isNew)
	if err != nil {
		return err
	}
	counts, err := into.File(ctx, contents)
	i.progress.end(counts)
	return again(err, counts)
}

// into returns an import into partitions, with the limits of the whole namespace.
func (i *importing) into(ctx context.Context, p *redisstore.Partitions, limits store.Limits, isNew bool) (*dump.Import, error) {
	if isNew {
		if err := checkShares(limits, len(p.Stores())); err != nil {
			return nil, err
		}
	}
	located, err := locate(ctx, p)
	if err != nil {
		return nil, err
	}
	into := &dump.Import{Locate: located, Limits: limits, Prefix: i.keyPrefix, Progress: func(c dump.ImportCounts) { i.progress.show(c) }}
	for _, st := range p.Stores() {
		into.Targets = append(into.Targets, st)
	}
	return into, nil
}

// checkPrefixed returns a check of keys that will get a prefix.
func checkPrefixed(prefix string) func(key string) error {
	return func(key string) error { return checkStoredKey(prefix + key) }
}

// openInput opens a file for reading at any place. It copies a pipe or a device to a
// temporary file.
func openInput(name string, stdin io.Reader) (*os.File, int64, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, 0, usageError{err}
		}
		info, err := file.Stat()
		switch {
		case err == nil && info.Mode().IsRegular():
			return file, info.Size(), nil
		case err == nil && info.IsDir():
			return nil, 0, errors.Join(usageError{fmt.Errorf("%s is a directory", name)}, file.Close())
		}
		defer file.Close()
		stdin = file
	}
	file, err := os.CreateTemp("", "redis-proxy-import-*")
	if err != nil {
		return nil, 0, err
	}
	_ = os.Remove(file.Name()) // it exists until it is closed
	size, err := io.Copy(file, stdin)
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, size, nil
}

// again says how far an import came that failed.
func again(err error, counts dump.ImportCounts) error {
	if err == nil {
		return nil
	}
	state := counts.String()
	if errors.Is(err, store.ErrFateUnknown) {
		state += "; more may be restored, by a call to Redis that had no answer"
	}
	return halfDone{err, state + "; restored entries stay; repeat the command to go on"}
}

// original imports the entries of the original from a Redis.
func (i *importing) original(ctx context.Context, from string) error {
	source := i.to.Target
	if from != "" {
		var err error
		if source, err = i.limits.settings.parseStore("--from", from); err != nil {
			return usageError{err}
		}
	}
	original := redisstore.OpenOriginal(source)
	defer original.Close()
	var size int
	err := unlessInterrupted(ctx, func() (err error) {
		size, err = original.Size(ctx)
		return err
	})
	if err != nil {
		if !errors.Is(err, store.ErrUnavailable) {
			err = usageError{err}
		}
		return err
	}
	partitions, isNew, err := i.to.open(ctx)
	if err != nil {
		return err
	}
	defer partitions.Close()
	defaults := i.limits.settings.Default.Limits
	defaults.MaxKeys = max(roomFor(size, len(partitions.Stores())), defaults.MaxKeys)
	into, err := i.into(ctx, partitions, i.limits.over(i.to.Limits, defaults), isNew)
	if err != nil {
		return err
	}
	entries := func(yield func(dump.Entry, error) bool) {
		goOn := true
		err := original.Each(ctx, func(r redisstore.Ranked) bool {
			goOn = yield(dump.Entry{Key: r.Key, Value: r.Value, Rank: r.Rank}, nil)
			return goOn
		})
		if err != nil && goOn {
			yield(dump.Entry{}, err)
		}
	}
	counts, err := into.Ranked(ctx, size, entries, checkPrefixed(i.keyPrefix))
	i.progress.end(counts)
	return again(err, counts)
}

// roomFor returns a max_keys with which all of so many keys have room in n partitions.
// Chance gives some partitions more than others, by a few times the square root of their
// mean.
func roomFor(keys, n int) int {
	if n == 1 {
		return keys
	}
	mean := float64(keys) / float64(n)
	return n * int(math.Ceil(mean+6*math.Sqrt(mean)+1))
}
