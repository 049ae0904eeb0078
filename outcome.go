package redisproxy

import "net/http"

// operation is what a request asks for.
type operation uint8

const (
	opOther operation = iota // OPTIONS, unknown methods, paths that miss the prefix or were garbled
	opGet                    // GET and HEAD
	opBatchGet
	opPost
	opPut
	opDelete
	operations
)

var operationNames = [operations]string{
	opOther: "other", opGet: "get", opBatchGet: "batch_get", opPost: "post", opPut: "put", opDelete: "delete",
}

func operationOf(method string, where place) operation {
	if where < collection {
		return opOther
	}
	switch method {
	case http.MethodGet, http.MethodHead:
		if where == collection {
			return opBatchGet
		}
		return opGet
	case http.MethodPost:
		return opPost
	case http.MethodPut:
		return opPut
	case http.MethodDelete:
		return opDelete
	}
	return opOther
}

// methodsOf returns the methods that ask for it.
func methodsOf(op operation) methodSet {
	switch op {
	case opGet, opBatchGet:
		return methodGet | methodHead
	case opPost:
		return methodPost
	case opPut:
		return methodPut
	case opDelete:
		return methodDelete
	}
	return 0
}

// outcome is how a request was answered.
type outcome uint8

const (
	outcomeFailed outcome = iota // in a way that has no name: 500

	// Reads. A batch read is local if all of it was; its keys may be absent.
	outcomeLocal
	outcomeStore
	outcomeStale    // stale_if_error
	outcomeAbsent   // also a DELETE
	outcomeNotLocal // only-if-cached

	outcomeCreated
	outcomeReplaced
	outcomeDeleted
	outcomeConflict

	outcomePreconditionFailed
	outcomeBadRequest
	outcomeBadPath
	outcomeForbidden
	outcomeNotAllowed
	outcomeTooLarge
	outcomeUnsupportedType
	outcomeSlowBody
	outcomeClientGone

	outcomeQueueFull
	outcomeTimedOut
	outcomeUnavailable
	outcomeRefused
	outcomeUnknown // a write that may have been applied
	outcomeClosed

	outcomeOptions
	outcomes
)

var outcomeNames = [outcomes]string{
	outcomeFailed: "failed", outcomeLocal: "local", outcomeStore: "store", outcomeStale: "stale", outcomeAbsent: "absent", outcomeNotLocal: "not_local",
	outcomeCreated: "created", outcomeReplaced: "replaced", outcomeDeleted: "deleted", outcomeConflict: "conflict",
	outcomePreconditionFailed: "precondition_failed", outcomeBadRequest: "bad_request", outcomeBadPath: "bad_path", outcomeForbidden: "forbidden", outcomeNotAllowed: "not_allowed",
	outcomeTooLarge: "too_large", outcomeUnsupportedType: "unsupported_type", outcomeSlowBody: "slow_body", outcomeClientGone: "client_gone",
	outcomeQueueFull: "queue_full", outcomeTimedOut: "timeout", outcomeUnavailable: "unavailable", outcomeRefused: "refused",
	outcomeUnknown: "unknown", outcomeClosed: "closed", outcomeOptions: "options",
}

// isError reports whether the service failed, not the client.
func (o outcome) isError() bool {
	switch o {
	case outcomeFailed, outcomeQueueFull, outcomeTimedOut, outcomeUnavailable, outcomeRefused, outcomeUnknown, outcomeClosed:
		return true
	}
	return false
}

// isPossible reports whether an operation can end in an error of the service:
// reads neither queue nor change anything.
func (o outcome) isPossible(op operation) bool {
	isRead := op == opGet || op == opBatchGet
	return !isRead || o != outcomeQueueFull && o != outcomeUnknown
}
