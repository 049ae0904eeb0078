package running

import (
	"context"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

func init() { redis.SetLogger(redisClientLog{}) }

// redisClientLog writes the log of go-redis at level DEBUG, since it only repeats errors
// that calls return. go-redis has one logger for the whole process, with all plugins.
type redisClientLog struct{}

func (redisClientLog) Printf(_ context.Context, format string, v ...any) {
	if c := caddy.Log().Named("redis").Check(zap.DebugLevel, "go-redis"); c != nil {
		c.Write(zap.String("message", fmt.Sprintf(format, v...)))
	}
}
