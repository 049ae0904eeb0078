// Command screenshots takes the pictures of docs/dashboard.md. They show two nodes with one
// Redis, under load for as long as the charts look back.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/redistest"
)

var (
	binary   = flag.String("caddy", "./caddy", "the Caddy to run")
	out      = flag.String("out", "docs", "where the pictures go")
	duration = flag.Duration("for", 10*time.Minute+15*time.Second, "how long to load it before")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "shots")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	redis, err := redistest.Run(dir)
	if err != nil {
		return err
	}
	defer redis.Stop()

	var nodes []*node
	for i := range 2 {
		n, err := startNode(ctx, filepath.Join(dir, fmt.Sprintf("node%d", i)), redis.URL())
		if err != nil {
			return err
		}
		defer n.stop()
		nodes = append(nodes, n)
	}
	fmt.Println("loading two nodes for", *duration)
	loading, end := context.WithCancel(ctx)
	defer end()
	loaded := make(chan error, 1)
	go func() { loaded <- load(loading, nodes) }()
	select {
	case <-time.After(*duration):
	case err := <-loaded:
		return err
	}
	err = takePictures(nodes[0].url+"/ops/", filepath.Join(dir, "chromium"), *out)
	end()
	<-loaded
	return err
}
