package redisproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// warnedAddresses has the addresses of which this process has warned. Several handlers may
// stand on one server.
var warnedAddresses sync.Map

// warnOfSharedPorts warns if another process listens on an address of the handler's server,
// when Caddy has started. Caddy itself does not notice: it sets SO_REUSEPORT, so two
// processes share a port, and each gets some of the connections. Two caches on one port look
// as if values were lost.
//
// It looks now, because later this process listens there itself, and warns later, because
// `caddy validate` provisions too, mostly beside the Caddy that serves.
func warnOfSharedPorts(ctx caddy.Context, logger *zap.Logger) error {
	// The context holds the server while Caddy provisions it.
	server, isKnown := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !isKnown {
		return nil
	}
	shared := sharedAddresses(ctx, server.Listen)
	if len(shared) == 0 {
		return nil
	}
	app, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("getting the events app: %w", err)
	}
	return app.(*caddyevents.App).On("started", onEvent(func() {
		for _, address := range shared {
			if _, warned := warnedAddresses.LoadOrStore(address, true); !warned {
				logger.Warn("another process listens on this address too, so each request reaches one of the two, and they may have different values; stop the one that you do not want, or use another port",
					zap.String("address", address))
			}
		}
	}))
}

// sharedAddresses returns those TCP addresses on which another process listens, and not this
// one.
func sharedAddresses(ctx context.Context, listen []string) (shared []string) {
	for _, spec := range listen {
		// Caddy reports mistakes in addresses itself.
		network, _ := caddy.ParseNetworkAddress(spec)
		if network.Network != "tcp" && network.Network != "tcp4" && network.Network != "tcp6" {
			continue
		}
		for _, one := range network.Expand() {
			address := one.JoinHostPort(0)
			if caddy.ListenerUsage(one.Network, address) == 0 && isTaken(ctx, one.Network, address) {
				shared = append(shared, address)
			}
		}
	}
	return shared
}

// isTaken reports whether a process listens on the address: Go does not set SO_REUSEPORT.
func isTaken(ctx context.Context, network, address string) bool {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, network, address)
	if err == nil {
		listener.Close()
	}
	return errors.Is(err, syscall.EADDRINUSE)
}

// onEvent is a function that runs at an event of Caddy.
type onEvent func()

// Handle implements caddyevents.Handler.
func (f onEvent) Handle(context.Context, caddy.Event) error {
	f()
	return nil
}
