package redisstore

import "strconv"

// keyspace names the keys and the channel of a namespace in Redis. The braces put all
// keys in one slot of a Redis Cluster.
type keyspace struct {
	namespace string
	db        int
}

// scripts returns the KEYS of a script that may change anything, in the order of entry.lua.
func (k keyspace) scripts(writer string) []string {
	return append(k.fetches(), k.prefix()+"writer:"+writer)
}

// fetches returns the KEYS of a fetch.
func (k keyspace) fetches() []string {
	prefix := k.prefix()
	return []string{prefix + "values", prefix + "meta", prefix + "ranks", prefix + "state", prefix + "ghosts", prefix + "shadow"}
}

// reads returns the KEYS of a script that only reads: values, meta, ranks and state.
func (k keyspace) reads() []string {
	return k.fetches()[:4]
}

func (k keyspace) prefix() string { return "{" + k.namespace + "}:" }

// events returns the channel of the namespace. It has the number of the database, since
// channels belong to no database.
func (k keyspace) events() string {
	return "{" + k.namespace + "}:events:" + strconv.Itoa(k.db)
}
