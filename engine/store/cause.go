package store

import "errors"

// Cause is the known reason why a store refuses a call or cannot be used. Programs and
// clients may see causes: they name no server, no user and no key.
type Cause string

const (
	// Credentials says that the store does not accept user and password.
	Credentials Cause = "credentials"
	// Permission says that the user lacks a right.
	Permission Cause = "permission"
	// Full says that the store has no memory left.
	Full Cause = "full"
	// ReadOnly says that the store is a replica.
	ReadOnly Cause = "read_only"
	// NotSaved says that the store takes no writes because it cannot save them to disk.
	NotSaved Cause = "not_saved"
	// TooFewReplicas says that the store takes no writes until it has more replicas.
	TooFewReplicas Cause = "too_few_replicas"
	// Busy says that the store cannot work for a while, for example while it loads its
	// data.
	Busy Cause = "busy"
	// NoDatabase says that the store has no such database.
	NoDatabase Cause = "no_database"
	// TLS says that the TLS handshake failed, or that the store expects TLS.
	TLS Cause = "tls"
	// NotRedis says that the server is no Redis.
	NotRedis Cause = "not_redis"
	// Elsewhere says that another node of a cluster has the keys.
	Elsewhere Cause = "elsewhere"
	// UnknownLayout says that another version of this program wrote the namespace.
	UnknownLayout Cause = "unknown_layout"
	// UnknownEviction says that the namespace has an eviction policy that this version
	// does not know.
	UnknownEviction Cause = "unknown_eviction"
	// OtherPartitions says that the namespace has another number of partitions, or that
	// its keys are spread in another way.
	OtherPartitions Cause = "other_partitions"
	// WrongType says that another program uses a key of the namespace.
	WrongType Cause = "wrong_type"
	// NotDurable says that the store does not make writes as durable in time as was
	// demanded: replicas or disk are missing, or too slow.
	NotDurable Cause = "not_durable"
	// TooOld says that the store is of a version that cannot do what was demanded.
	TooOld Cause = "too_old"
	// NoAppendOnly says that the store has no append-only file on its disk.
	NoAppendOnly Cause = "no_append_only"
)

// Causes lists all causes.
var Causes = []Cause{
	Credentials, Permission, Full, ReadOnly, NotSaved, TooFewReplicas, Busy, NoDatabase,
	TLS, NotRedis, Elsewhere, UnknownLayout, UnknownEviction, OtherPartitions, WrongType, NotDurable, TooOld,
	NoAppendOnly,
}

// CausedError is an error with a known cause.
type CausedError struct {
	Cause Cause
	Err   error
	// Advice says what to do. Error returns it behind the text of Err.
	Advice string
}

func (e *CausedError) Error() string {
	if e.Advice == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "; " + e.Advice
}

func (e *CausedError) Unwrap() error { return e.Err }

// CauseOf returns the cause of an error; "" if it is not known.
func CauseOf(err error) Cause {
	if caused, ok := errors.AsType[*CausedError](err); ok {
		return caused.Cause
	}
	return ""
}
