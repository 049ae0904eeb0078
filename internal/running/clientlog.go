package running

import (
	"context"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

func init() { redis.SetLogger(clientLog{}) }

// clientLog passes on what go-redis prints, which has one logger for the whole
// process and for all plugins that use it. Its words repeat what calls return,
// so they are for debugging.
type clientLog struct{}

func (clientLog) Printf(_ context.Context, format string, v ...any) {
	if c := caddy.Log().Named("redis").Check(zap.DebugLevel, "go-redis"); c != nil {
		c.Write(zap.String("message", fmt.Sprintf(format, v...)))
	}
}
