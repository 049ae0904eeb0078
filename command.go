package redisproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "redis-proxy",
		Usage: "<export|import>",
		Short: "Exports and imports what redis_proxy keeps in Redis",
		Long: `
Writes the entries of a redis_proxy namespace to a file, and reads them back, so
that the restored cache evicts as the old one would have. It talks to Redis, not
to a running Caddy. docs/export.md describes the file.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(exportCommand(), importCommand())
			// Also for both of them.
			cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
				return exiting(func(*cobra.Command, []string) error { return usageError{err} })(cmd, nil)
			})
			cmd.RunE = exiting(func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usageError{fmt.Errorf("unknown command %q: expected export or import", args[0])}
				}
				return cmd.Help()
			})
		},
	})
}

// usageError is a mistake in how a command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

const exitCodes = `
Exit codes: 0 all was done. 1 it failed or was interrupted; what was done is
said. 2 the arguments or the input are wrong, and nothing was changed.`

// exiting makes of a command's function one that exits as the help says.
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
	case strings.Contains(err.Error(), "DB index is out of range"): // says Redis of the URL
		return 2
	case isUsage || isLine || errors.Is(err, dump.ErrCutOff) || errors.Is(err, dump.ErrOther) || errors.Is(err, dump.ErrNothing):
		return 2
	default:
		return 1
	}
}

// logWarningsOnly is for --quiet: what Caddy says of each configuration that it
// reads would otherwise be in every mail of a cron job.
func logWarningsOnly() {
	_, logger, _ := caddy.BufferedLog()
	caddy.UnbufferDefaultLogger(logger.WithOptions(zap.IncreaseLevel(zap.WarnLevel)))
}

// newCommand returns a command without arguments.
func newCommand(name, short, long string, run func(context.Context, *cobra.Command) error) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Long:  long + "\n" + exitCodes,
		RunE: exiting(func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q", args[0])}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			// A second signal ends the process, whatever it waits for.
			context.AfterFunc(ctx, stop)
			err := run(ctx, cmd)
			if err != nil && ctx.Err() != nil {
				return fmt.Errorf("interrupted: %w", err)
			}
			return err
		}),
	}
}
