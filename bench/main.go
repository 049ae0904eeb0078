// Command bench measures the cost of this module: beside Caddy's own respond, beside plain
// Redis, beside itself under other conditions, and beside other programs that answer from
// Redis over HTTP, if they are installed. It starts a redis-server and a Caddy of
// its own on free loopback ports, loads them, and prints the results as Markdown. The exit
// code says whether it ran, not whether the results meet their targets.
//
//	make bench          # about four minutes, or six with peers
//	make bench-quick    # about thirty seconds
//
// FLAGS gives it flags, as in FLAGS=-help. It runs at the root of the checkout.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// options say how much is measured.
type options struct {
	quick       bool
	rounds      int
	duration    time.Duration // of one round of one side
	rows        *regexp.Regexp
	connections int // 0: the number of each side
	manyKeys    int // keys of the large namespace; a tenth of them for memory
	samples     int // of the coherence delay
	caddy       string
	profiles    string // a directory, or ""
}

func parseOptions() (options, error) {
	o := options{manyKeys: 1_000_000, samples: 500}
	flag.BoolVar(&o.quick, "quick", false, "fewer and shorter rounds, and 100,000 keys where else there are 1,000,000")
	flag.IntVar(&o.rounds, "rounds", 15, "rounds of every side (3 with -quick)")
	flag.DurationVar(&o.duration, "duration", time.Second/2, "how long one round of one side lasts (200ms with -quick)")
	rows := flag.String("rows", "", "measure only rows whose first column matches this regular `expression`")
	flag.IntVar(&o.connections, "connections", 0, "kept-alive connections of the load generator (default: by row, 64 or 256)")
	flag.StringVar(&o.caddy, "caddy", "./caddy", "the Caddy to measure")
	flag.StringVar(&o.profiles, "profiles", "", "also write profiles of the server (CPU time, allocations) under each load into this `directory`")
	flag.Parse()
	if o.quick {
		given := map[string]bool{}
		flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if !given["rounds"] {
			o.rounds = 3
		}
		if !given["duration"] {
			o.duration = 200 * time.Millisecond
		}
		o.manyKeys, o.samples = 100_000, 200
	}
	var err error
	o.rows, err = regexp.Compile(*rows)
	if err != nil {
		return o, fmt.Errorf("-rows: %w", err)
	}
	return o, o.check()
}

// leastDuration is the shortest round. A shorter one may get no answer.
const leastDuration = 50 * time.Millisecond

func (o *options) check() error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q: there are no arguments, only flags (-help lists them)", flag.Arg(0))
	case o.rounds < 1:
		return fmt.Errorf("-rounds: %d is too few; write 1 or more", o.rounds)
	case o.duration < leastDuration:
		return fmt.Errorf("-duration: in %v nothing is answered; write %v or more", o.duration, leastDuration)
	case o.connections < 0:
		return errors.New("-connections: must not be negative; 0 leaves it to each row")
	}
	return nil
}

func run(ctx context.Context) error {
	o, err := parseOptions()
	if err != nil {
		return err
	}
	// The path must be short: Redis's Unix socket is in the directory.
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	cores, err := pin()
	if err != nil {
		return err
	}
	b := &bench{options: o, dir: dir, cores: cores}
	defer b.close()
	if err := b.describe(ctx); err != nil {
		return err
	}
	return b.measure(ctx)
}

// bench is one run of this command.
type bench struct {
	options
	dir   string
	cores cores

	servers *servers // nil until a part needs them
	results []result
	details []detail

	peerLines []peerLine
	peerNotes []string // versions, and why a peer is missing
}

// start starts the servers, for the first part that needs them.
func (b *bench) start(ctx context.Context) (*servers, error) {
	if b.servers != nil {
		return b.servers, nil
	}
	s, err := startServers(ctx, b, b.sites())
	if err != nil {
		return nil, err
	}
	b.servers = s
	return s, nil
}

func (b *bench) close() {
	if b.servers != nil {
		b.servers.stop()
	}
}

// measure runs the parts with wanted rows, and prints the tables.
func (b *bench) measure(ctx context.Context) error {
	begun := time.Now()
	found := false
	for _, p := range b.parts() {
		wanted := p.rows[:0:0]
		for _, r := range p.rows {
			if b.rows.MatchString(r.what) {
				wanted = append(wanted, r)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		found = true
		if err := p.run(ctx, wanted); err != nil {
			return fmt.Errorf("measuring %q: %w", wanted[0].what, err)
		}
	}
	if !found {
		return fmt.Errorf("no row matches %q", b.rows)
	}
	b.print(time.Since(begun))
	return nil
}

// progress prints a line on standard error.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
