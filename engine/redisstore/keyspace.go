package redisstore

import "strconv"

// keyspace names what a namespace uses in Redis. The braces put all of it in
// one slot of a Redis Cluster.
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

// reads returns the KEYS of a script that only reads: all but a writer's.
func (k keyspace) reads() []string {
	return k.scripts("")[:4]
}

// events is the channel of the namespace. Channels do not know databases.
func (k keyspace) events() string {
	return "{" + k.namespace + "}:events:" + strconv.Itoa(k.db)
}
