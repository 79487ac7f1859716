package events

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ridehail/ridehail/location"
)

func TestNodesSeeEachOtherComeAndGo(t *testing.T) {
	runOnAll(t, func(t *testing.T, r *rig) {
		const ttl = 400 * time.Millisecond
		a, b := NewMembers(r.Redis, "a", ttl), NewMembers(r.openNode(t), "b", ttl)
		if !a.OwnsRegion("anything") || !b.OwnsRegion("anything") {
			t.Error("a node alone owns everything")
		}

		startWork(t, a.Run)
		stop := startWork(t, b.Run)
		both := func() bool { return len(a.AliveNodes()) == 2 && len(b.AliveNodes()) == 2 }
		waitUntil(t, "both to see both", both)
		if a.OwnsRegion("x") == b.OwnsRegion("x") {
			t.Error("a region needs exactly one owner")
		}
		r.deleteKeys(t)

		for range 10 {
			if !both() {
				t.Fatal("a flush made a node forget the other")
			}
			time.Sleep(ttl / 20)
		}

		r.proxy.takeDown()
		time.Sleep(2 * ttl) // longer than any heartbeat lives
		if !both() {
			t.Error("without Redis the last view must stand")
		}

		r.proxy.bringUp()
		waitUntil(t, "both again", both)
		stop()
		waitUntil(t, "b to be gone", func() bool { return slices.Equal(a.AliveNodes(), []string{"a"}) })
	})
}

func TestRegionsMoveOnlyFromTheNodeThatLeaves(t *testing.T) {
	nodes := []string{"a", "b", "c", "d"}
	owned := map[string]int{}
	for i := range 4000 {
		region := location.Region(fmt.Sprintf("85%08xffff", i))
		was := RegionOwner(region, nodes)
		owned[was]++
		if now := RegionOwner(region, nodes[:3]); was != "d" && now != was {
			t.Fatalf("region %s moved from %s to %s", region, was, now)
		}
	}

	for n, k := range owned {
		if k < 850 || k > 1150 {
			t.Errorf("node %s owns %d of 4000", n, k)
		}
	}
}
