package running

// Outcome is how a request was answered.
type Outcome uint8

const (
	OutcomeFailed Outcome = iota // any other failure: 500

	// Reads. A batch read is local if all its answers were; its keys may be absent.
	OutcomeLocal
	OutcomeStore
	OutcomeStale    // by stale_if_error
	OutcomeAbsent   // of a DELETE too
	OutcomeNotLocal // of only-if-cached

	OutcomeCreated
	OutcomeReplaced
	OutcomeDeleted
	OutcomeConflict
	OutcomeWatched // a stream of events
	OutcomeCrowded // as many watchers as there may be

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
	OutcomeUnknown    // a write that may have been applied
	OutcomeNotDurable // a write that was applied and may be lost
	OutcomeClosed

	OutcomeOptions
	OutcomeStreamed // a bulk request, to its end
	numOutcomes
)

// OutcomeNames are the names of outcomes in metrics, JSON and placeholders.
var OutcomeNames = [numOutcomes]string{
	OutcomeFailed: "failed", OutcomeLocal: "local", OutcomeStore: "store", OutcomeStale: "stale", OutcomeAbsent: "absent", OutcomeNotLocal: "not_local",
	OutcomeCreated: "created", OutcomeReplaced: "replaced", OutcomeDeleted: "deleted", OutcomeConflict: "conflict",
	OutcomeWatched: "watched", OutcomeCrowded: "crowded",
	OutcomePreconditionFailed: "precondition_failed", OutcomeBadRequest: "bad_request", OutcomeBadPath: "bad_path", OutcomeForbidden: "forbidden", OutcomeNotAllowed: "not_allowed",
	OutcomeTooLarge: "too_large", OutcomeUnsupportedType: "unsupported_type", OutcomeSlowBody: "slow_body", OutcomeClientGone: "client_gone",
	OutcomeQueueFull: "queue_full", OutcomeTimedOut: "timeout", OutcomeUnavailable: "unavailable", OutcomeRefused: "refused",
	OutcomeUnknown: "unknown", OutcomeNotDurable: "not_durable", OutcomeClosed: "closed", OutcomeOptions: "options",
	OutcomeStreamed: "streamed",
}

// isError reports whether the service failed, not the client.
func (o Outcome) isError() bool {
	switch o {
	case OutcomeFailed, OutcomeQueueFull, OutcomeTimedOut, OutcomeUnavailable, OutcomeRefused, OutcomeUnknown, OutcomeNotDurable, OutcomeClosed:
		return true
	}
	return false
}
