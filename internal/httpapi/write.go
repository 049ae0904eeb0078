package httpapi

import (
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/content"
	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
)

// serveWrite answers POST, PUT and DELETE.
func (s *Server) serveWrite(x *exchange, method Methods) error {
	if err := s.config.CrossOrigin.Check(x.r); err != nil {
		return s.fail(x, forbidden.because(err.Error()+"; `trusted_origins` in the configuration of redis_proxy allows other origins"))
	}
	if x.where == keypath.Item {
		if err := s.checkFullKey(x.keyPrefix, x.key); err != nil {
			return s.failKey(x, err)
		}
		x.rec.key = x.key
	}
	if err := checkWriteHead(x.r); err != nil {
		return s.fail(x, err)
	}
	if isBulk(x) {
		return s.serveBulk(x)
	}
	ttl, err := queryTTL(x.r)
	if err != nil {
		return s.fail(x, err)
	}
	write := store.Write{Op: writeOps[method], Key: x.keyPrefix + x.key}
	if write.IfMatch, err = ifMatch(x.r.Header); err != nil {
		return s.fail(x, err)
	}
	if write.IfNoneMatch, err = ifNoneMatch(x.r.Header); err != nil {
		return s.fail(x, err)
	}
	if method != methodDelete {
		var room room
		defer room.leave()
		c, err := s.readWrite(x, &room)
		switch {
		case err != nil:
			return s.fail(x, err)
		case c.TTL.IsSet && ttl.IsSet:
			return s.fail(x, badRequest("the query and the body both have a ttl; write it once"))
		case c.TTL.IsSet:
			ttl = c.TTL
		}
		x.key, write.Value = c.Key, c.Value
		if write.TTL, err = s.ttlOf(ttl); err != nil {
			return s.fail(x, err)
		}
		x.rec.key, write.Key = x.key, x.keyPrefix+x.key
	}
	result, err := s.config.Cache.Engine.Write(x.r.Context(), write)
	if err != nil {
		return s.fail(x, err)
	}
	return s.answerWrite(x, write.Value, result)
}

// writeOps has what each method that writes asks the store for.
var writeOps = map[Methods]store.Op{methodPost: store.Create, methodPut: store.Put, methodDelete: store.Delete}

// readWrite reads the content of a POST or PUT, with its key.
func (s *Server) readWrite(x *exchange, room *room) (content.Content, error) {
	c, err := s.readContent(x, room)
	if err != nil {
		return c, err
	}
	switch {
	case x.where == keypath.Item && c.HasKey && c.Key != x.key:
		return c, badRequest("the field key is not the key in the path; leave it out")
	case x.where == keypath.Item:
		c.Key = x.key
		return c, nil
	case !c.HasKey:
		return c, badRequest("the body has no field key, and the path names none either")
	}
	if err := s.checkFullKey(x.keyPrefix, c.Key); err != nil {
		return c, badRequest("%v", err)
	}
	return c, nil
}
