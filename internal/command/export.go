package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/redis-proxy/caddy-redis-proxy/engine/dump"
)

func exportCommand(settings *Settings) *cobra.Command {
	var from storeFlags
	var output string
	var resume, quiet bool
	cmd := newCommand("export", "Writes all entries of a namespace to a file", `
Writes the entries of a namespace as JSON lines in eviction order, each with its
value, type, rank and age. The export changes no rank, and other users of the
Redis can go on meanwhile. --resume continues a file that was not finished.

  caddy redis-proxy export --config Caddyfile --output cache.jsonl
  caddy redis-proxy export --store '{env.REDIS_URL}' --namespace cache | gzip > cache.jsonl.gz`,
		func(ctx context.Context, cmd *cobra.Command) error {
			if quiet {
				logWarningsOnly()
			}
			found, err := from.find(settings)
			if err != nil {
				return err
			}
			e := exporting{from: found, output: output, resume: resume, progress: newProgress(cmd.ErrOrStderr(), quiet)}
			return e.run(ctx, cmd.OutOrStdout())
		})
	from.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "-", "the file to write; - is the standard output")
	cmd.Flags().BoolVar(&resume, "resume", false, "continue the file that --output names, if it exists")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress, and log warnings only")
	return cmd
}

// exporting is one run of the export command.
type exporting struct {
	from     Cache
	output   string
	resume   bool
	progress *progress
}

func (e *exporting) run(ctx context.Context, stdout io.Writer) (err error) {
	partitions, _, err := e.from.open(ctx)
	if err != nil {
		return err
	}
	defer partitions.Close()
	x := &dump.Export{Namespace: e.from.Namespace, Check: checkStoredKey}
	for _, st := range partitions.Stores() {
		x.Sources = append(x.Sources, st)
	}
	x.Progress = func(c dump.ExportCounts) { e.progress.show(c) }
	if err := unlessInterrupted(ctx, func() error { return x.Begin(ctx) }); err != nil {
		return err
	}
	if e.output == "-" {
		if e.resume {
			return usageError{errors.New("--resume needs --output: the command cannot know what an earlier run wrote to standard output")}
		}
		return e.toStream(ctx, x, stdout)
	}

	file, err := os.OpenFile(e.output, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return usageError{err}
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return err
	case info.Mode().IsRegular():
		return e.toFile(ctx, x, file, info.Size())
	case e.resume:
		return usageError{fmt.Errorf("--resume needs a regular file, and %s is not one", e.output)}
	}
	return e.toStream(ctx, x, file)
}

// toStream exports to a device or a pipe, which no later run can continue.
func (e *exporting) toStream(ctx context.Context, x *dump.Export, to io.Writer) error {
	counts, err := x.Run(ctx, to)
	e.progress.end(counts)
	return incomplete(err, counts, "the output", "only a file that --output names can be continued")
}

// incomplete says what an export that failed has written.
func incomplete(err error, counts dump.ExportCounts, name, goOn string) error {
	if err == nil || errors.Is(err, dump.ErrReplaced) {
		return err
	}
	return halfDone{err, fmt.Sprintf("%s is incomplete, with %d of %d entries; import refuses it without --partial; %s", name, counts.Entries, max(counts.Total, counts.Entries), goOn)}
}

// toFile exports to a regular file, or continues one with --resume.
func (e *exporting) toFile(ctx context.Context, x *dump.Export, file *os.File, size int64) error {
	if size > 0 && !e.resume {
		return usageError{fmt.Errorf("%s exists and is not empty; --resume continues it", file.Name())}
	}
	if size > 0 {
		had, err := x.Resume(file)
		if err != nil {
			return err
		}
		if had.IsWhole {
			e.progress.end(dump.ExportCounts{Entries: had.Entries, Bytes: had.End})
			return nil
		}
		if err := file.Truncate(had.End); err != nil {
			return err
		}
		if _, err := file.Seek(had.End, io.SeekStart); err != nil {
			return err
		}
	}
	counts, err := x.Run(ctx, file)
	e.progress.end(counts)
	err = incomplete(err, counts, file.Name(), "repeat the command with --resume to go on")
	return errors.Join(err, file.Sync())
}
