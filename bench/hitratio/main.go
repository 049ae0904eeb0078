// Command hitratio replays traces of requests through the eviction policies,
// and beside them through a plain LRU, otter's W-TinyLFU and the optimum. It
// prints the hit ratios as Markdown, and draws them over the capacity.
//
//	go run ./bench/hitratio                                  # make hitratio
//	go run ./bench/hitratio -capacities 1000,10000 mine.gz   # a trace of your own
//
// A trace is a gzip file with a key a line, in request order. Each line is a
// GET; where it is a miss the key is created. The local tier is off.
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redistest"
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
	traces          string // a folder
	pictures        string // a folder, or ""
	engineRequests  int
	redisRequests   int
	frontedRequests int
	own             []string // files to measure with instead
	capacities      []int    // for own
}

func parseOptions() (options, error) {
	var o options
	flag.StringVar(&o.traces, "traces", "../shared/traces", "the `folder` with the traces")
	flag.StringVar(&o.pictures, "pictures", "docs", "the `folder` to draw into; empty: nowhere")
	flag.IntVar(&o.engineRequests, "engine-requests", 100_000, "leave the engine out for longer traces")
	flag.IntVar(&o.redisRequests, "redis-requests", 20_000, "leave Redis out for longer traces")
	flag.IntVar(&o.frontedRequests, "fronted-requests", 200_000, "leave the local tier out for longer traces")
	capacities := flag.String("capacities", "100,1000,10000", "the `capacities` for the files that are given as arguments")
	flag.Parse()
	o.own = flag.Args()
	for _, field := range strings.Split(*capacities, ",") {
		c, err := strconv.Atoi(field)
		if err != nil || c < 1 {
			return o, fmt.Errorf("-capacities: %q is no capacity", field)
		}
		o.capacities = append(o.capacities, c)
	}
	return o, nil
}

func measure(ctx context.Context) error {
	o, err := parseOptions()
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
		if o.pictures != "" {
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
			if len(r.trace.requests) <= o.frontedRequests {
				fronted = append(fronted, r)
			}
		}
	}
	for _, t := range []table{
		{"With a local tier in front, hit ratio of all requests:", fronted, behindLocal(false)},
		{"With a local tier in front, hit ratio of the requests that reach the store:", fronted, behindLocal(true)},
	} {
		results.want(t.rows, t.contenders)
		tables = append(tables, t)
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

// loads returns what is to be measured.
func (o *options) loads() ([]loads, error) {
	if len(o.own) > 0 {
		l, err := fromArguments(o.own, o.capacities)
		return []loads{l}, err
	}
	l, err := fromFolder(o.traces)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "there is no folder %s with traces (TRACES=folder): only the synthetic loads are replayed\n", o.traces)
		return []loads{invented()}, nil
	}
	return []loads{l, invented()}, err
}

func (o *options) draw(all []loads, lines []*contender, r results) error {
	if o.pictures == "" {
		return nil
	}
	for _, l := range all {
		if len(l.points) == 0 {
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

// startRedis starts a server of our own.
func startRedis() (*redistest.Server, func(), error) {
	// A short path: the server's Unix socket lies in it.
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
