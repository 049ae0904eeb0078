package store

import "errors"

// Cause is why a store refuses or cannot be used, where that is known. Causes are
// for programs and for clients: they tell nothing of servers, users or keys.
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
	// NotSaved says that the store takes no writes, since it cannot save them to disk.
	NotSaved Cause = "not_saved"
	// TooFewReplicas says that the store takes no writes without more replicas.
	TooFewReplicas Cause = "too_few_replicas"
	// Busy says that the store cannot work for a while: it loads its data, say.
	Busy Cause = "busy"
	// NoDatabase says that the store has no such database.
	NoDatabase Cause = "no_database"
	// TLS says that no TLS came about, or that the store expects it.
	TLS Cause = "tls"
	// NotRedis says that it is something else that answers.
	NotRedis Cause = "not_redis"
	// Elsewhere says that another node of a cluster has the keys.
	Elsewhere Cause = "elsewhere"
	// UnknownLayout says that another version of this program wrote the namespace.
	UnknownLayout Cause = "unknown_layout"
	// UnknownEviction says that the namespace has an eviction policy of another version.
	UnknownEviction Cause = "unknown_eviction"
	// WrongType says that somebody else keeps something under a key of the namespace.
	WrongType Cause = "wrong_type"
)

// Causes are all of them.
var Causes = []Cause{
	Credentials, Permission, Full, ReadOnly, NotSaved, TooFewReplicas, Busy, NoDatabase,
	TLS, NotRedis, Elsewhere, UnknownLayout, UnknownEviction, WrongType,
}

// CausedError is an error whose cause is known.
type CausedError struct {
	Cause Cause
	Err   error
	// Advice says what to do; it is a part of the text.
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
