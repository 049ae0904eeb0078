package redisstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// clientLog passes on what go-redis prints. Its words repeat what calls
// return, so they are for debugging.
type clientLog struct{ logger *zap.Logger }

func (l clientLog) Printf(_ context.Context, format string, v ...any) {
	if c := l.logger.Check(zap.DebugLevel, "go-redis"); c != nil {
		c.Write(zap.String("message", fmt.Sprintf(format, v...)))
	}
}

var routeOnce sync.Once

// routeClientLog takes the lines of go-redis off stderr. Its logger is one
// for the whole process, which other users of go-redis share, so it is set
// once and left alone.
func routeClientLog(logger *zap.Logger) {
	routeOnce.Do(func() { redis.SetLogger(clientLog{logger}) })
}
