package redisproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
)

func importCommand() *cobra.Command {
	var to storeFlags
	var limits limitFlags
	var input, from string
	var original, partial, quiet bool
	cmd := newCommand("import", "Puts the entries of a file, or of the original, into a namespace", `
Restores the entries of an export with their places in the eviction order. The
whole file is read before anything is changed. Keys that exist keep their values
and are counted, so that an import that was interrupted is simply run again. If
there is not room for all, the entries worth most remain.

With --original the entries come from a Redis that the Python stack which
redis_proxy replaces has filled: LRU-STORE and LRU-KEYS, which stay as they are.

Limits count only for a namespace that does not exist yet. They are those of
--config, else the flags, else those of the file.

  caddy redis-proxy import --config Caddyfile --input cache.jsonl
  caddy redis-proxy import --config Caddyfile --original --from redis://old:6379/0`,
		func(ctx context.Context, cmd *cobra.Command) error {
			found, err := to.find()
			if err != nil {
				return err
			}
			if err := limits.apply(&found, to.store != ""); err != nil {
				return err
			}
			p := newProgress(cmd.ErrOrStderr(), quiet)
			switch {
			case original && cmd.Flags().Changed("input"):
				return usageError{errors.New("--original reads a Redis, and --input a file: give one of both")}
			case original:
				return importOriginal(ctx, found, from, p)
			case from != "":
				return usageError{errors.New("--from says where the data of --original are, which is not there")}
			}
			return importFile(ctx, found, input, partial, cmd.InOrStdin(), p)
		})
	to.add(cmd)
	limits.add(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&input, "input", "i", "-", "the file to read; - is the standard input")
	flags.BoolVar(&partial, "partial", false, "take a file that was cut off for what is there of it")
	flags.BoolVar(&original, "original", false, "read LRU-STORE and LRU-KEYS from a Redis")
	flags.StringVar(&from, "from", "", "with --original: the URL of that Redis, like --store; default: the same one")
	flags.BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	return cmd
}

func importFile(ctx context.Context, to found, input string, partial bool, stdin io.Reader, p *progress) error {
	file, size, err := openInput(input, stdin)
	if err != nil {
		return err
	}
	defer file.Close()
	contents, err := dump.Open(file, size, checkStoredKey)
	if err != nil {
		return err
	}
	if !contents.Contents.IsWhole && !partial {
		return fmt.Errorf("%w: `export --resume` would complete it, and --partial takes the %d entries that are there", dump.ErrCutOff, contents.Contents.Entries)
	}
	limits := contents.Limits()
	if to.limits.MaxKeys == 0 {
		to.limits.MaxKeys, to.limits.MaxBytes = limits.MaxKeys, limits.MaxBytes
	}
	setDefaultString(&to.limits.Eviction, limits.Eviction)
	if err := checkEviction(to.limits.Eviction); err != nil {
		return usageError{err}
	}
	st, err := to.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	i := &dump.Import{Target: st, Limits: to.limits, Progress: func(c dump.ImportCounts) { p.show(c) }}
	counts, err := i.File(ctx, contents)
	p.end(counts)
	return again(err)
}

// openInput opens a file that can be read at any place.
func openInput(name string, stdin io.Reader) (*os.File, int64, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, 0, usageError{err}
		}
		info, err := file.Stat()
		if err == nil && info.Mode().IsRegular() {
			return file, info.Size(), nil
		}
		defer file.Close()
		stdin = file
	}
	file, err := os.CreateTemp("", "redis-proxy-import-*")
	if err != nil {
		return nil, 0, err
	}
	_ = os.Remove(file.Name()) // it goes with its descriptor
	size, err := io.Copy(file, stdin)
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, size, nil
}

func again(err error) error {
	if err != nil {
		return fmt.Errorf("%w (the command can be repeated: what is there already stays)", err)
	}
	return nil
}

// limitFlags are the limits of a namespace that an import makes.
type limitFlags struct {
	maxKeys  int
	maxBytes string
	eviction string
}

func (f *limitFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.maxKeys, "max-keys", 0, "with --store: how many keys a new namespace may have")
	flags.StringVar(&f.maxBytes, "max-bytes", "", "with --store: how many bytes a new namespace may have, such as 1GiB; 0 is no limit")
	flags.StringVar(&f.eviction, "eviction", "", "with --store: the eviction policy of a new namespace")
}

// apply puts the limits into what was found by URL.
func (f *limitFlags) apply(to *found, byURL bool) error {
	if !byURL {
		if f.maxKeys != 0 || f.maxBytes != "" || f.eviction != "" {
			return usageError{errors.New("--max-keys, --max-bytes and --eviction are for --store: the configuration has its own")}
		}
		return nil
	}
	if f.maxKeys < 0 {
		return usageError{errors.New("--max-keys: must be greater than 0")}
	}
	to.limits = store.Limits{MaxKeys: f.maxKeys, Eviction: f.eviction}
	if f.eviction != "" {
		if err := checkEviction(f.eviction); err != nil {
			return usageError{fmt.Errorf("--eviction: %w", err)}
		}
	}
	if f.maxBytes != "" {
		bytes, err := parseSize(f.maxBytes)
		if err != nil {
			return usageError{fmt.Errorf("--max-bytes: %w", err)}
		}
		to.limits.MaxBytes = bytes
	}
	return nil
}

// importOriginal reads what the original left in a Redis.
func importOriginal(ctx context.Context, to found, from string, p *progress) error {
	source := to.target
	if from != "" {
		var err error
		if source, err = parseStore("--from", from); err != nil {
			return usageError{err}
		}
	}
	original := redisstore.OpenOriginal(source)
	defer original.Close()
	size, err := original.Size(ctx)
	if err != nil {
		if !errors.Is(err, store.ErrUnavailable) {
			err = usageError{err}
		}
		return err
	}
	if to.limits.MaxKeys == 0 {
		to.limits.MaxKeys = max(size, defaultMaxKeys)
	}
	setDefaultString(&to.limits.Eviction, store.Rank.Name)
	st, err := to.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	i := &dump.Import{Target: st, Limits: to.limits, Progress: func(c dump.ImportCounts) { p.show(c) }}
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
	counts, err := i.Ranked(ctx, size, entries, func(e *dump.Entry) error { return checkStoredKey(e.Key) })
	p.end(counts)
	return again(err)
}
