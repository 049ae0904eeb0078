package running

// Operation is the kind of a request.
type Operation uint8

const (
	OpOther Operation = iota // OPTIONS, unknown methods, and paths that miss the prefix only in case, slashes, dots or escapes
	OpGet                    // GET and HEAD
	OpBatchGet
	OpPost
	OpPut
	OpDelete
	OpList         // of keys
	OpDeletePrefix // of all keys with a prefix
	OpBulk         // a bulk request; its lines count by themselves
	OpBulkGet
	OpBulkCreate
	OpBulkPut
	OpBulkDelete
	OpBulkOther // a line without a known op
	OpWatch
	numOperations
)

// isRead reports whether the operation reads entries.
func (op Operation) isRead() bool { return op == OpGet || op == OpBatchGet || op == OpBulkGet }

// canFailWith reports whether an error of the service can be the outcome of the
// operation. Reads, listings and watches do not queue and change nothing.
func (op Operation) canFailWith(o Outcome) bool {
	return !op.isRead() && op != OpList && op != OpWatch || o != OutcomeQueueFull && o != OutcomeUnknown && o != OutcomeNotDurable
}

// OperationNames are the names of operations in metrics and JSON.
var OperationNames = [numOperations]string{
	OpOther: "other", OpGet: "get", OpBatchGet: "batch_get", OpPost: "post", OpPut: "put", OpDelete: "delete",
	OpList: "list", OpDeletePrefix: "delete_prefix", OpWatch: "watch",
	OpBulk: "bulk", OpBulkGet: "bulk_get", OpBulkCreate: "bulk_create", OpBulkPut: "bulk_put", OpBulkDelete: "bulk_delete", OpBulkOther: "bulk_other",
}

// OperationSet is a set of operations.
type OperationSet uint32

// With returns the set with op in it.
func (s OperationSet) With(op Operation) OperationSet { return s | 1<<op }

// Has reports whether op is in the set.
func (s OperationSet) Has(op Operation) bool { return s&(1<<op) != 0 }
