package store

import "testing"

func TestPoliciesAreFoundByTheirNames(t *testing.T) {
	for _, want := range Policies {
		p, ok := PolicyByName(want.Name)
		if !ok || p.Name != want.Name || p.Enter == nil || p.Fetch == nil {
			t.Errorf("%q: got %+v, %v", want.Name, p, ok)
		}
	}
	for _, name := range []string{"", "Rank", "rank ", "lru"} {
		if _, ok := PolicyByName(name); ok {
			t.Errorf("%q is a policy", name)
		}
	}
}
