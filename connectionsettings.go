package redisproxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis-proxy/caddy-redis-proxy/engine/redisstore"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// target returns the Redis server of the handler; nil for the embedded store. It reads no
// files.
func (h *Handler) target() (*redisstore.Target, error) {
	target, err := targetOf(h.connection())
	if err != nil {
		return nil, err
	}
	return target, h.checkTLS(target)
}

// connection returns the address of the store and the credentials.
func (h *Handler) connection() running.Connection {
	return running.Connection{Store: h.Store, Username: h.RedisUsername, Password: h.RedisPassword}
}

// targetOf returns the Redis server of a connection; nil for the embedded store.
func targetOf(c running.Connection) (*redisstore.Target, error) {
	credentials := "redis_password"
	if c.Password == "" {
		credentials = "redis_username"
	}
	hasCredentials := c.Username != "" || c.Password != ""
	conflict := func(text string) error { return &conflictError{[]string{credentials}, text} }
	if c.Store == running.Embedded && hasCredentials {
		return nil, conflict("the embedded store takes no credentials; set store to the URL of a Redis server, or leave " + credentials + " out")
	}
	if c.Store == running.Embedded {
		return nil, nil
	}
	target, err := redisstore.Parse(c.Store)
	switch {
	case err != nil:
		return nil, &conflictError{[]string{"store"}, err.Error()}
	case !hasCredentials:
		return target, nil
	case target.HasCredentials():
		return nil, conflict("the URL of store has credentials too; take them out of the URL, or leave " + credentials + " out")
	case c.Password == "":
		return nil, conflict("a user without a password is not sent to Redis; set redis_password too")
	}
	return target.WithCredentials(c.Username, c.Password), nil
}

// checkTLS checks that the settings of TLS fit to the store.
func (h *Handler) checkTLS(target *redisstore.Target) error {
	for _, s := range []struct {
		name  string
		isSet bool
	}{
		{"redis_ca", len(h.RedisCA) > 0},
		{"redis_cert", len(h.RedisCert) > 0},
		{"redis_server_name", h.RedisServerName != ""},
	} {
		text := ""
		switch {
		case !s.isSet:
		case target == nil:
			text = "the embedded store has no TLS; set store to the URL of a Redis server with rediss://, or leave " + s.name + " out"
		case target.IsSocket():
			text = "a Unix socket has no TLS; write rediss://host in store, or leave " + s.name + " out"
		case !target.HasTLS():
			text = "store does not use TLS; write rediss in place of redis in its URL, or leave " + s.name + " out"
		case target.SkipsVerify() && s.name != "redis_cert":
			text = "the option skip_verify in the URL of store switches off the check that this is for; leave the option out, or leave " + s.name + " out"
		}
		if text != "" {
			return &conflictError{[]string{s.name}, text}
		}
	}
	return nil
}

// withCertificates returns target with what the files of redis_ca and redis_cert have now.
func (h *Handler) withCertificates(target *redisstore.Target) (*redisstore.Target, error) {
	if target == nil || !target.HasTLS() {
		return target, nil
	}
	secure := &redisstore.TLS{ServerName: h.RedisServerName}
	if err := secure.ReadCA(h.RedisCA); err != nil {
		return nil, fmt.Errorf("redis_ca: %w", err)
	}
	if len(h.RedisCert) > 0 {
		if err := secure.ReadCertificate(h.RedisCert[0], h.RedisCert[1]); err != nil {
			return nil, fmt.Errorf("redis_cert: %w", err)
		}
	}
	return target.WithTLS(secure), nil
}

func checkFiles(files []string) error {
	for _, file := range files {
		switch {
		case file == "":
			return errors.New("the name of a file is empty; write a path, or leave the line out")
		case strings.Contains(file, "-----BEGIN "): // no error may show a key
			return errors.New("it has the content of a file; write its path, without {file.…} around it")
		}
	}
	return nil
}

func checkCertFiles(files []string) error {
	if len(files) != 0 && len(files) != 2 {
		return errors.New("it takes two files; write that of the certificate, and then that of its key")
	}
	return checkFiles(files)
}
