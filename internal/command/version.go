package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/redis-proxy/caddy-redis-proxy/internal/suggest"
	"github.com/redis-proxy/caddy-redis-proxy/internal/version"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tells the version of redis_proxy in this Caddy",
		Long: `
Prints the version of redis_proxy and the commit that it was built from, the
versions of the layout in Redis, of events and of export files, and those of
Caddy and Go. It needs no configuration and no Redis. docs/upgrade.md says which
versions may run side by side.`,
		RunE: exiting(func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("the command takes no argument%s", suggest.Quoted(args[0]))}
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.This())
			return err
		}),
	}
}
