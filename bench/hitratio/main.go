// Command hitratio replays traces of requests with the eviction policies, and for comparison
// with a plain LRU, otter's W-TinyLFU and the optimum. It prints the hit ratios as Markdown,
// and draws them over the capacity.
//
//	make hitratio
//	make hitratio TRACES=mine.txt FLAGS='-capacities 1000,10000'    # traces of your own
//
// It runs at the root of the checkout. An argument is a trace or a folder of traces. A trace
// is a text file, with or without gzip. Each line is the key of a GET, in the order of the
// requests. After a miss, the key is created (cache-aside). The local tier is off.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := measure(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "hitratio:", err)
		stop()
		os.Exit(1)
	}
}

// options say what is measured.
type options struct {
	paths           []string // files and folders; none: the loads of docs/eviction.md
	capacities      []int    // none: suitable ones for each trace
	pictures        string   // a folder, or ""
	engineRequests  int
	redisRequests   int
	frontedRequests int
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("hitratio", flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: hitratio [flags] [trace or folder of traces ...]\n%s\n", format)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.pictures, "pictures", "docs", "the `folder` to draw into; empty: nowhere")
	flags.IntVar(&o.engineRequests, "engine-requests", 100_000, "leave the engine out for longer traces")
	flags.IntVar(&o.redisRequests, "redis-requests", 20_000, "leave Redis out for longer traces")
	flags.IntVar(&o.frontedRequests, "fronted-requests", 200_000, "leave the local tier out for longer traces, if they are not yours")
	capacities := flags.String("capacities", "", "the `capacities` in keys for traces that are given, as in 1000,10000; empty: 1 %, 5 % and 20 % of the keys of each")
	_ = flags.Parse(args) // it exits
	o.paths = flags.Args()
	if *capacities == "" {
		return o, nil
	}
	if len(o.paths) == 0 {
		return o, errors.New("-capacities is for traces that are given as arguments, and there are none")
	}
	for field := range strings.SplitSeq(*capacities, ",") {
		c, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || c < 1 {
			return o, fmt.Errorf("-capacities: %q is no number of keys from 1 on; write for example -capacities 1000,10000", field)
		}
		o.capacities = append(o.capacities, c)
	}
	slices.Sort(o.capacities)
	o.capacities = slices.Compact(o.capacities)
	return o, nil
}

// publicFolder may have the public traces.
const publicFolder = "../traces"

// loads returns the loads to measure: traces, and the synthetic loads unless there are
// traces of a user.
func (o *options) loads() ([]loads, error) {
	paths := o.paths
	if len(paths) == 0 {
		paths = []string{publicFolder}
	}
	all, err := read(paths, o.capacities)
	if len(o.paths) == 0 && errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "there is no folder %s with the public traces: only the synthetic loads are replayed (TRACES=folder replays traces of yours)\n", publicFolder)
		err = nil
	}
	if err != nil || slices.ContainsFunc(all, func(l loads) bool { return l.own }) {
		return all, err
	}
	return append(all, invented()), nil
}

func measure(ctx context.Context) error {
	o, err := parseOptions(os.Args[1:])
	if err != nil {
		return err
	}
	begun := time.Now()
	all, err := o.loads()
	if err != nil {
		return err
	}
	ours := inMemory(o.engineRequests)
	lines := append([]*contender{bound, wTinyLFU}, ours...)
	columns := append([]*contender{bound, wTinyLFU, plainLRU}, ours...)

	results := results{}
	var tables []table
	var short []row
	for _, l := range all {
		results.want(l.rows, columns)
		tables = append(tables, table{l.title, l.rows, columns})
		if o.pictures != "" && l.file != "" {
			results.want(l.points, lines)
		}
		for _, r := range l.rows {
			if len(r.trace.requests) <= o.redisRequests {
				short = append(short, r)
			}
		}
	}
	if len(short) > 0 {
		server, stop, err := startRedis()
		if err != nil {
			return err
		}
		defer stop()
		throughRedis := inRedis(server.URL())
		results.want(short, throughRedis)
		tables = append(tables, table{"The shorter ones through Redis:", short, throughRedis})
	}

	var fronted []row
	for _, l := range all {
		for _, r := range l.rows {
			if l.own || len(r.trace.requests) <= o.frontedRequests {
				fronted = append(fronted, r)
			}
		}
	}
	if len(fronted) > 0 {
		for _, t := range []table{
			{"With a local tier in front, hit ratio of all requests:", fronted, behindLocal(false)},
			{"With a local tier in front, hit ratio of the requests that reach the store:", fronted, behindLocal(true)},
		} {
			results.want(t.rows, t.contenders)
			tables = append(tables, t)
		}
	}

	fmt.Fprintf(os.Stderr, "%d replays on %d processors\n", len(results), runtime.GOMAXPROCS(0))
	if err := results.fill(ctx); err != nil {
		return err
	}
	fmt.Printf("Our policies are replayed through the engine and the memory store, traces of more\n"+
		"than %d requests through the store alone. W-TinyLFU varies by chance, and is the\n"+
		"mean of 3 to 9 runs.\n", o.engineRequests)
	for _, t := range tables {
		t.print(os.Stdout, results)
	}
	fmt.Printf("\nMeasured in %v.\n", time.Since(begun).Round(time.Second))
	return o.draw(all, lines, results)
}

func (o *options) draw(all []loads, lines []*contender, r results) error {
	if o.pictures == "" {
		return nil
	}
	for _, l := range all {
		if l.file == "" {
			continue
		}
		c := chart{l.title, l.points, lines}
		path := filepath.Join(o.pictures, l.file)
		if err := os.WriteFile(path, c.svg(r), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "drawn:", path)
	}
	return nil
}

// startRedis starts a server. The function that it returns stops it.
func startRedis() (*redistest.Server, func(), error) {
	// The path must be short: the server's Unix socket is in the directory.
	dir, err := os.MkdirTemp("", "hitratio")
	if err != nil {
		return nil, nil, err
	}
	server, err := redistest.Run(dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	return server, func() {
		server.Stop()
		os.RemoveAll(dir)
	}, nil
}
