package httpapi

import (
	"net/http"

	"github.com/redis-proxy/caddy-redis-proxy/internal/httpapi/keypath"
	"github.com/redis-proxy/caddy-redis-proxy/internal/running"
)

// operationOf returns the operation of a request.
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

// OperationsOf returns the operations that these methods allow, with those of listing and
// watch if these are on.
func OperationsOf(methods Methods, listing, watch bool) (set running.OperationSet) {
	if watch && methods.has(methodGet|methodHead) {
		set = set.With(running.OpWatch)
	}
	if listing && methods.has(methodGet|methodHead) {
		set = set.With(running.OpList)
	}
	if listing && methods.has(methodDelete) {
		set = set.With(running.OpDeletePrefix)
	}
	for _, name := range methodNames {
		if methods.has(methodOf(name)) {
			set = set.With(operationOf(name, keypath.Item)).With(operationOf(name, keypath.Collection))
		}
	}
	return set
}
