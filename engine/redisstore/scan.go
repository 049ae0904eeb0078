package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Each server process keeps its keys in an order of its own. So a cursor of HSCAN leads past
// some keys if another process gets it: after a failover, a move of the slot, or a restart.
// All passes run on one connection, since the process behind a connection never changes. The
// cursors of Scan name the connection. If there is another one by now, the pass begins anew.

// scanning is the connection of all passes.
type scanning struct {
	mu     sync.Mutex
	client *redis.Client // to whose server it leads; nil if there is no connection
	conn   *redis.Conn
	number uint64 // counts the connections
}

// on returns the connection to the server of client, and its name.
func (c *scanning) on(client *redis.Client) (*redis.Conn, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != client {
		if c.client != nil {
			_ = c.conn.Close()
		}
		c.client, c.conn = client, client.Conn()
		c.number++
	}
	return c.conn, strconv.FormatUint(c.number, 10)
}

// leave ends a connection that failed.
func (c *scanning) leave(conn *redis.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn && c.client != nil {
		_ = conn.Close()
		c.client = nil
	}
}

// Scan implements store.Store.
func (s *Store) Scan(ctx context.Context, prefix, after string) (keys []string, next string, err error) {
	from, place, _ := strings.Cut(after, ":")
	var at string
	reply, err := s.repeat(ctx, browsing, func(ctx context.Context, client *redis.Client) ([]any, error) {
		conn, name := s.scanning.on(client)
		if at = name; from != name {
			place = "0"
		}
		reply, err := browseScript.Run(ctx, conn, s.keys.reads(), "scan", prefix, place).Slice()
		if err != nil && !isReply(err) {
			s.scanning.leave(conn)
		}
		return reply, err
	})
	if err != nil {
		return nil, "", fmt.Errorf("scanning: %w", err)
	}
	r := reader{reply: reply}
	if next, keys = r.string(), r.strings(); next == "0" {
		return keys, "", r.failure()
	}
	return keys, at + ":" + next, r.failure()
}
