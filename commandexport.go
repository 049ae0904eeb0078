package redisproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
)

func exportCommand() *cobra.Command {
	var from storeFlags
	var output string
	var resume, quiet bool
	cmd := newCommand("export", "Writes all entries of a namespace to a file", `
Writes the entries of a namespace as JSON lines: next to leave first, each with
its value, type, rank and age. Ranks stay as they are, and other users of the
Redis go on meanwhile. --resume continues a file that was not finished.

  caddy redis-proxy export --config Caddyfile --output cache.jsonl
  caddy redis-proxy export --store '{env.REDIS_URL}' --namespace cache | gzip > cache.jsonl.gz`,
		func(ctx context.Context, cmd *cobra.Command) error {
			found, err := from.find()
			if err != nil {
				return err
			}
			return export(ctx, found, output, resume, cmd.OutOrStdout(), newProgress(cmd.ErrOrStderr(), quiet))
		})
	from.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "-", "the file to write; - is the standard output")
	cmd.Flags().BoolVar(&resume, "resume", false, "continue the file that --output names, if it is there")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	return cmd
}

func export(ctx context.Context, from found, output string, resume bool, stdout io.Writer, p *progress) (err error) {
	st, err := from.open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	x := &dump.Export{Source: st, Namespace: from.namespace, Check: checkStoredKey}
	x.Progress = func(c dump.ExportCounts) { p.show(c) }
	if err := x.Begin(ctx); err != nil {
		return err
	}
	if output == "-" {
		if resume {
			return usageError{errors.New("--resume needs --output: what the standard output got is not known any more")}
		}
		counts, err := x.Run(ctx, stdout)
		p.end(counts)
		return err
	}

	file, err := os.OpenFile(output, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return usageError{err}
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	had, err := prepareFile(x, file, resume)
	if err != nil {
		return err
	}
	if had.IsWhole {
		p.end(dump.ExportCounts{Entries: had.Entries, Bytes: had.End})
		return nil
	}
	counts, err := x.Run(ctx, file)
	p.end(counts)
	if err != nil {
		return fmt.Errorf("%w (repeat the command with --resume to go on)", err)
	}
	return file.Sync()
}

// prepareFile puts file where an export goes on, and returns what it holds.
func prepareFile(x *dump.Export, file *os.File, resume bool) (dump.Contents, error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return dump.Contents{}, err
	}
	if !resume {
		return dump.Contents{}, usageError{fmt.Errorf("%s exists and is not empty: --resume continues it", file.Name())}
	}
	had, err := x.Resume(file)
	if err != nil || had.IsWhole {
		return had, err
	}
	if err := file.Truncate(had.End); err != nil {
		return had, err
	}
	_, err = file.Seek(had.End, io.SeekStart)
	return had, err
}
