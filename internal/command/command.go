// Package command is `caddy redis-proxy`: it exports and imports the entries of a
// namespace, and tells which version of the module this Caddy has.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/suggest"
)

// Settings has the functions that read the module's settings. Flags take the same values
// as settings.
type Settings struct {
	// Caches returns the cache of each redis_proxy in a configuration in JSON.
	Caches func(config []byte) ([]Cache, error)
	// Target reads the setting store, which may have placeholders. It returns nil for
	// the embedded store.
	Target func(value string) (*redisstore.Target, error)
	// SetLimit reads the setting max_keys, max_bytes or eviction.
	SetLimit func(limits *store.Limits, name, value string) error
	// MostPartitions is the largest number in the setting partitions.
	MostPartitions int
	// Default has the default namespace and limits of a cache in Redis.
	Default Cache
}

// Cache is a namespace in a store.
type Cache struct {
	Target    *redisstore.Target // nil for the embedded store
	Namespace string
	// Partitions is 0 if only Redis knows how many there are.
	Partitions int
	Limits     store.Limits
	KeyPrefix  string
}

// Register adds `caddy redis-proxy` to Caddy's commands.
func Register(settings Settings) {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "redis-proxy",
		Usage: "<export|import|version>",
		Short: "Exports and imports the entries of redis_proxy in Redis, and tells its version",
		Long: `
Writes the entries of a redis_proxy namespace to a file, and restores them from
it. The restored cache evicts in the same order as the old one. The commands talk
to Redis, not to a running Caddy. docs/export.md describes the file.

"version" tells the version of redis_proxy in this Caddy.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(exportCommand(&settings), importCommand(&settings), versionCommand())
			// The subcommands use this function too.
			cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
				return exiting(func(cmd *cobra.Command, _ []string) error { return usageError{flagError(cmd, err)} })(cmd, nil)
			})
			cmd.RunE = exiting(func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usageError{errors.New(suggest.Unknown("command", args[0], names(cmd.Commands())))}
				}
				return cmd.Help()
			})
		},
	})
}

// names returns the names of commands that are typed.
func names(commands []*cobra.Command) (all []string) {
	for _, c := range commands {
		if c.IsAvailableCommand() {
			all = append(all, c.Name())
		}
	}
	return all
}

// usageError is a mistake in the arguments or the input of a command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// flagError says what is wrong with a flag. It repeats no value, since that of --store may
// have a password.
func flagError(cmd *cobra.Command, err error) error {
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if missing, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name, isLong := missing.GetSpecifiedName(), missing.GetSpecifiedShortnames() == ""
		near := suggest.Nearest(name, known)
		switch {
		case !isLong:
			return fmt.Errorf("there is no flag%s; --help lists all flags; long flags begin with two hyphens", suggest.Quoted("-"+name))
		case near == "":
			return fmt.Errorf("there is no flag%s; --help lists them", suggest.Quoted("--"+name))
		}
		return fmt.Errorf("there is no flag%s; did you mean --%s?", suggest.Quoted("--"+name), near)
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("--%s: the value is not valid; expected %s", invalid.GetFlag().Name, invalid.GetFlag().Value.Type())
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s: the value is missing; write it after the flag", missing.GetFlag().Name)
	}
	return errors.New("a flag cannot be read; --help lists them")
}

const exitCodes = `
Exit codes: 0: everything was done. 1: the command failed or was interrupted; the
output says how far it came. 2: the arguments or the input are wrong; nothing was
changed.`

// exiting returns run with the exit codes that the help describes.
func exiting(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			err := run(cmd, args)
			return exitCode(err), err
		})(cmd, args)
	}
}

func exitCode(err error) int {
	_, isUsage := errors.AsType[usageError](err)
	_, isLine := errors.AsType[*dump.LineError](err)
	switch {
	case err == nil:
		return caddy.ExitCodeSuccess
	case store.CauseOf(err) == store.NoDatabase: // the mistake is in the URL
		return 2
	case isUsage || isLine || errors.Is(err, dump.ErrCutOff) || errors.Is(err, dump.ErrOther) || errors.Is(err, dump.ErrNothing):
		return 2
	default:
		return 1
	}
}

// logWarningsOnly is for --quiet. Caddy logs some lines for each configuration that it
// reads, and cron would send them by mail at each run.
func logWarningsOnly() {
	_, logger, _ := caddy.BufferedLog()
	caddy.UnbufferDefaultLogger(logger.WithOptions(zap.IncreaseLevel(zap.WarnLevel)))
}

// newCommand returns a command that takes flags and no arguments. An interrupt ends the
// context of run.
func newCommand(name, short, long string, run func(context.Context, *cobra.Command) error) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Long:  long + "\n" + exitCodes,
		RunE: exiting(func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("the command takes no argument%s; write values after flags, such as --store", suggest.Quoted(args[0]))}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			// A second signal ends the process, whatever it waits for.
			context.AfterFunc(ctx, stop)
			err := run(ctx, cmd)
			if err != nil && ctx.Err() != nil {
				return interrupted(err)
			}
			return err
		}),
	}
}
