package redistest

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis-proxy/caddy-redis-proxy/internal/testkit/child"
)

var errPortTaken = errors.New("its port was taken")

// serving waits until the process answers. It asks over the Unix socket, which no other
// process can have. A redis-server opens the socket only once it has its port.
func serving(ctx context.Context, p *child.Process, socket string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if answers(ctx, socket) {
			return nil
		}
		select {
		case <-p.Done:
			if p.Output.Contains("Address already in use") {
				return errPortTaken
			}
			return errors.New("it ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// answers reports whether a server takes commands. A server that wants a password does. A
// server that still loads its data does not.
func answers(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && (strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH"))
}
