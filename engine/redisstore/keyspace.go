package redisstore

import "strconv"

// keyspace names the keys and the channel of a namespace in Redis. The braces put all
// keys in one slot of a Redis Cluster.
type keyspace struct {
	namespace string
	db        int
}

// scripts returns the KEYS of every script, in the order of entry.lua.
func (k keyspace) scripts(writer string) []string {
	prefix := "{" + k.namespace + "}:"
	return []string{
		prefix + "values", prefix + "meta", prefix + "ranks", prefix + "state", prefix + "writer:" + writer,
		prefix + "ghosts", prefix + "shadow",
	}
}

// reads returns the KEYS of a script that only reads: values, meta, ranks and state.
func (k keyspace) reads() []string {
	return k.scripts("")[:4]
}

// events returns the channel of the namespace. It has the number of the database, since
// channels belong to no database.
func (k keyspace) events() string {
	return "{" + k.namespace + "}:events:" + strconv.Itoa(k.db)
}
