package redisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// greeting is a redis.Hook that marks the errors of the commands with which go-redis sets
// up a connection. They come before everything else on it.
type greeting struct{}

func (greeting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (greeting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil && isGreeting(cmd) {
			return ungreeted(err)
		}
		return err
	}
}

func (greeting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err != nil && isGreeting(cmds[0]) {
			return ungreeted(err)
		}
		return err
	}
}

func isGreeting(cmd redis.Cmder) bool {
	switch cmd.Name() {
	case "hello", "auth", "select", "client":
		return true
	}
	return false
}

// ungreetedError says that a connection failed before its greeting had ended. So nothing
// else was sent on it. It has no method Unwrap: go-redis takes one layer off such errors.
type ungreetedError struct{ error }

func (e *ungreetedError) Is(target error) bool { return errors.Is(e.error, target) }

func (e *ungreetedError) As(target any) bool { return errors.As(e.error, target) }

// ungreeted marks an error of a greeting, unless the server said it.
func ungreeted(err error) error {
	if err == nil || isReply(err) {
		return err
	}
	return &ungreetedError{err}
}
