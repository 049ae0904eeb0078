package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// node is a running Caddy.
type node struct {
	url string
	cmd *exec.Cmd
}

const config = `{
	admin off
	persist_config off
	storage file_system %s
}
http://%s {
	bind 127.0.0.1
	redis_proxy_dashboard /ops/*
	redis_proxy {
		store %s
		max_keys 5000
		local_ttl 5s
	}
}
`

func startNode(ctx context.Context, dir, store string) (*node, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, dir, addr, store), 0o600); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		return nil, err
	}
	n := &node{url: "http://" + addr, cmd: exec.Command(path, "run", "--config", file, "--adapter", "caddyfile")}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); ; {
		resp, err := http.Get(n.url + "/ops/")
		if err == nil {
			resp.Body.Close()
			return n, nil
		}
		if time.Now().After(deadline) {
			n.stop()
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.stop()
			return nil, ctx.Err()
		}
	}
}

func (n *node) stop() {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	_ = n.cmd.Wait()
}
