package redistest

import "testing"

func TestAClusterHasPrimariesThatChange(t *testing.T) {
	c := StartCluster(t, 3)
	owner := c.Owner("{a}")
	c.Failover(owner)
	if now := c.Owner("{a}"); now == owner {
		t.Errorf("node %d still has the slot", now)
	}
	c.AwaitReplicas()
	to := c.Owner("{b}")
	if to == c.Owner("{a}") {
		to = c.Owner("{c}")
	}
	c.MoveSlot("{a}", to)
	if now := c.Owner("{a}"); now != to {
		t.Errorf("node %d has the slot, want %d", now, to)
	}
}

func TestSentinelsFailOver(t *testing.T) {
	g := StartGuarded(t)
	old := g.Primary()
	g.Failover()
	if g.Primary() == old {
		t.Error("the old primary is the primary")
	}
}
