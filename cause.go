package redisproxy

import "github.com/redis-proxy/caddy-redis-proxy/engine/store"

// causeDetails say to clients what is wrong with the store. What to do about it is
// not theirs, and stands in the log.
var causeDetails = map[store.Cause]string{
	store.Credentials:     "the store does not accept the user or the password of this server",
	store.Permission:      "the user of this server lacks a right in the store",
	store.Full:            "the store is full",
	store.ReadOnly:        "the store can only be read",
	store.NotSaved:        "the store takes no writes, since it cannot save them",
	store.TooFewReplicas:  "the store takes no writes, since it has too few replicas",
	store.Busy:            "the store is not ready for requests",
	store.NoDatabase:      "the store does not have the database that this server is set up for",
	store.TLS:             "no secure connection to the store comes about, or it expects one",
	store.NotRedis:        "no Redis that runs scripts answers where the store should be",
	store.Elsewhere:       "another node of the cluster has the entries",
	store.UnknownLayout:   "another version of this server keeps the entries in another layout",
	store.UnknownEviction: "another version of this server set an eviction policy that this one does not know",
	store.WrongType:       "another program uses the keys of this cache in the store",
}
