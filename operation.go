package redisproxy

import (
	"net/http"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// operationOf returns what a request asks for.
func operationOf(method string, where keypath.Place) running.Operation {
	if where < keypath.Collection {
		return running.OpOther
	}
	switch method {
	case http.MethodGet, http.MethodHead:
		if where == keypath.Collection {
			return running.OpBatchGet
		}
		return running.OpGet
	case http.MethodPost:
		return running.OpPost
	case http.MethodPut:
		return running.OpPut
	case http.MethodDelete:
		return running.OpDelete
	}
	return running.OpOther
}

// methodsOf returns the methods that ask for it.
func methodsOf(op running.Operation) methodSet {
	switch op {
	case running.OpGet, running.OpBatchGet:
		return methodGet | methodHead
	case running.OpPost:
		return methodPost
	case running.OpPut:
		return methodPut
	case running.OpDelete:
		return methodDelete
	}
	return 0
}
