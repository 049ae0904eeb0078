package redisstore

import "strconv"

// keyspace names the keys and the channel of a partition in Redis, or of a namespace with
// one. The braces put all keys in one slot of a Redis Cluster.
type keyspace struct {
	tag string // the namespace, or what partitionTag returns
	db  int
}

// scripts returns the KEYS of a script that may change anything, in the order of entry.lua.
//
// The last key never exists, and no script uses it. While a slot moves, a node of a Cluster
// refuses commands on keys that do not exist. It looks at the KEYS of a script before it runs
// it, and at each command again. A script may remove the last entry, and so the keys that it
// writes next: the node would stop it half-way. Due to the last key, it does not run at all.
func (k keyspace) scripts(writer string) []string {
	return append(k.fetches(), k.prefix()+"writer:"+writer, k.prefix()+"expiries", k.prefix()+"absent")
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

func (k keyspace) prefix() string { return "{" + k.tag + "}:" }

// events returns the channel of the events. It has the number of the database, since
// channels belong to no database.
func (k keyspace) events() string {
	return k.prefix() + "events:" + strconv.Itoa(k.db)
}
