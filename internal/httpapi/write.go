package httpapi

import (
	"github.com/redis-proxy/caddy-redis-proxy/engine/store"
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
	write := store.Write{Op: writeOps[method], Key: x.keyPrefix + x.key}
	var err error
	if write.IfMatch, err = ifMatch(x.r.Header); err != nil {
		return s.fail(x, err)
	}
	if write.IfNoneMatch, err = ifNoneMatch(x.r.Header); err != nil {
		return s.fail(x, err)
	}
	if method != methodDelete {
		var room room
		defer room.leave()
		if x.key, write.Value, err = s.readWrite(x, &room); err != nil {
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

// readWrite reads key and value of a POST or PUT.
func (s *Server) readWrite(x *exchange, room *room) (string, store.Value, error) {
	c, err := s.readContent(x, room)
	if err != nil {
		return "", store.Value{}, err
	}
	switch {
	case x.where == keypath.Item && c.HasKey && c.Key != x.key:
		return "", store.Value{}, badRequest("the field key is not the key in the path; leave it out")
	case x.where == keypath.Item:
		return x.key, c.Value, nil
	case !c.HasKey:
		return "", store.Value{}, badRequest("the body has no field key, and the path names none either")
	}
	if err := s.checkFullKey(x.keyPrefix, c.Key); err != nil {
		return "", store.Value{}, badRequest("%v", err)
	}
	return c.Key, c.Value, nil
}
