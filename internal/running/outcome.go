package running

// Operation is what a request asks for.
type Operation uint8

const (
	OpOther Operation = iota // OPTIONS, unknown methods, paths that miss the prefix or were garbled
	OpGet                    // GET and HEAD
	OpBatchGet
	OpPost
	OpPut
	OpDelete
	Operations // how many there are
)

// OperationNames are the names of operations in metrics and JSON.
var OperationNames = [Operations]string{
	OpOther: "other", OpGet: "get", OpBatchGet: "batch_get", OpPost: "post", OpPut: "put", OpDelete: "delete",
}

// OperationSet is a set of operations.
type OperationSet uint32

// With returns the set with one more.
func (s OperationSet) With(op Operation) OperationSet { return s | 1<<op }

// Has reports whether the set has an operation.
func (s OperationSet) Has(op Operation) bool { return s&(1<<op) != 0 }

// Outcome is how a request was answered.
type Outcome uint8

const (
	OutcomeFailed Outcome = iota // any other failure: 500

	// Reads. A batch read is local if all its answers were; its keys may be absent.
	OutcomeLocal
	OutcomeStore
	OutcomeStale    // stale_if_error
	OutcomeAbsent   // also a DELETE
	OutcomeNotLocal // only-if-cached

	OutcomeCreated
	OutcomeReplaced
	OutcomeDeleted
	OutcomeConflict

	OutcomePreconditionFailed
	OutcomeBadRequest
	OutcomeBadPath
	OutcomeForbidden
	OutcomeNotAllowed
	OutcomeTooLarge
	OutcomeUnsupportedType
	OutcomeSlowBody
	OutcomeClientGone

	OutcomeQueueFull
	OutcomeTimedOut
	OutcomeUnavailable
	OutcomeRefused
	OutcomeUnknown // a write that may have been applied
	OutcomeClosed

	OutcomeOptions
	Outcomes // how many there are
)

// OutcomeNames are the names of outcomes in metrics, JSON and placeholders.
var OutcomeNames = [Outcomes]string{
	OutcomeFailed: "failed", OutcomeLocal: "local", OutcomeStore: "store", OutcomeStale: "stale", OutcomeAbsent: "absent", OutcomeNotLocal: "not_local",
	OutcomeCreated: "created", OutcomeReplaced: "replaced", OutcomeDeleted: "deleted", OutcomeConflict: "conflict",
	OutcomePreconditionFailed: "precondition_failed", OutcomeBadRequest: "bad_request", OutcomeBadPath: "bad_path", OutcomeForbidden: "forbidden", OutcomeNotAllowed: "not_allowed",
	OutcomeTooLarge: "too_large", OutcomeUnsupportedType: "unsupported_type", OutcomeSlowBody: "slow_body", OutcomeClientGone: "client_gone",
	OutcomeQueueFull: "queue_full", OutcomeTimedOut: "timeout", OutcomeUnavailable: "unavailable", OutcomeRefused: "refused",
	OutcomeUnknown: "unknown", OutcomeClosed: "closed", OutcomeOptions: "options",
}

// IsError reports whether the service failed, not the client.
func (o Outcome) IsError() bool {
	switch o {
	case OutcomeFailed, OutcomeQueueFull, OutcomeTimedOut, OutcomeUnavailable, OutcomeRefused, OutcomeUnknown, OutcomeClosed:
		return true
	}
	return false
}

// IsPossible reports whether an operation can end in an error of the service. Reads do not
// queue and change nothing.
func (o Outcome) IsPossible(op Operation) bool {
	isRead := op == OpGet || op == OpBatchGet
	return !isRead || o != OutcomeQueueFull && o != OutcomeUnknown
}
