package store

// Policy says how an entry's score comes about. The entry with the lowest
// score leaves a store first; among equal scores, the one that was created
// first.
//
// A store that keeps its order elsewhere has a fragment of the same name with
// the same functions (redisstore: a table in a Lua file). The suite in
// storetest runs every policy on every store.
type Policy struct {
	// Name is the word in Limits.Eviction.
	Name string
	// Enter returns the score of an entry that is created.
	Enter func() float64
	// Fetch returns the new score of an entry that was fetched.
	Fetch func(score float64) float64
}

// Rank keeps what is fetched most often: an entry enters with 0, and each
// fetch adds 1.
var Rank = Policy{
	Name:  "rank",
	Enter: func() float64 { return 0 },
	Fetch: func(score float64) float64 { return score + 1 },
}

// Policies are all policies there are, the default first.
var Policies = []Policy{Rank}

// PolicyByName returns the policy with the given name.
func PolicyByName(name string) (Policy, bool) {
	for _, p := range Policies {
		if p.Name == name {
			return p, true
		}
	}
	return Policy{}, false
}
