package redisproxy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// warnedAddresses has the addresses of which this process has warned. Several handlers may
// stand on one server.
var warnedAddresses sync.Map

// warnOfSharedPorts warns if another process listens on an address of the handler's server,
// when Caddy has started with its first configuration. Caddy itself does not notice: it sets
// SO_REUSEPORT, so two processes share a port, and each gets some of the connections. Two
// caches on one port look as if values were lost.
//
// It looks now, because later this process listens there itself: so only before the first
// configuration of the process runs, and not in a reload. It warns later, because `caddy
// validate` provisions too, mostly beside the Caddy that serves.
func warnOfSharedPorts(ctx caddy.Context, logger *zap.Logger) error {
	// The context holds the server while Caddy provisions it.
	server, isKnown := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	isReload := caddy.ActiveContext().Context != nil
	if !isKnown || isReload {
		return nil
	}
	var shared []string
	for _, a := range addresses(server.Listen) {
		if isTaken(ctx, a) {
			shared = append(shared, a.JoinHostPort(0))
		}
	}
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

// addresses returns the TCP addresses in the form of a server's setting listen, one for each
// port.
func addresses(listen []string) (all []caddy.NetworkAddress) {
	for _, text := range listen {
		// Caddy reports mistakes in addresses itself.
		address, err := caddy.ParseNetworkAddress(text)
		if err == nil && strings.HasPrefix(address.Network, "tcp") {
			all = append(all, address.Expand()...)
		}
	}
	return all
}

// isTaken reports whether a process accepts connections at the address. To listen there would
// be surer, but for that moment no other process could begin to: `caddy validate` must not keep
// a Caddy from starting.
func isTaken(ctx context.Context, address caddy.NetworkAddress) bool {
	if !isOwn(address.Host) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, address.Network, address.JoinHostPort(0))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// isOwn reports whether a host to listen on is of this machine. A standby may listen on an address
// that another machine has now.
func isOwn(host string) bool {
	ip := net.ParseIP(host)
	if ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		return true
	}
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		own, ok := a.(*net.IPNet)
		return ok && own.IP.Equal(ip)
	})
}

// onEvent is a function that runs at an event of Caddy.
type onEvent func()

// Handle implements caddyevents.Handler.
func (f onEvent) Handle(context.Context, caddy.Event) error {
	f()
	return nil
}
